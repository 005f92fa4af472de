package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"erluv/stat"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"github.com/spf13/cobra"
)

// info is the command that prints an erluv's info.
type info struct{ operator }

func (c *command) info() *cobra.Command {
	i := &info{operator{command: c}}
	return i.addNode(i.add(&cobra.Command{
		Use: "info [W]", Short: "describe an erluv, or a program",
		Long: `Describe an erluv on this machine, or another one: its node, connections,
version, processes and sandbox. With W, describe a program, running or ended. W
is its name, its os_pid or the number of its worker. The requests info and
{info, history} in erluv-protocol(7) have the same keys.`,
		Example: `  sudo erluv info
  sudo erluv info --name erluv_db1 --format json
  sudo erluv info web`,
		Args: atMostOne, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: i.run,
	}, true))
}

func (i *info) run(_ *cobra.Command, args []string) error {
	list, err := at(&i.operator, func(ctx context.Context, h host) ([]stat.Item, error) {
		if len(args) == 0 {
			return itemsOf(ctx, h, gen.Manager)
		}
		return ofProgram(ctx, h, args[0])
	})
	if err != nil {
		return err
	}
	return show(&i.operator, list, func(_ string, items []stat.Item) any { return json.RawMessage(stat.JSON(items)) },
		func(w io.Writer, list []told[[]stat.Item]) error {
			texts := make([]string, len(list))
			for i, t := range list {
				texts[i] = stat.Text(dated(t.value))
			}
			return print(w, strings.Join(texts, "\n"))
		})
}

// dated replaces times by dates of this machine's zone, for people. In JSON they are milliseconds
// since 1970.
func dated(items []stat.Item) []stat.Item {
	list := slices.Clone(items)
	for i, item := range list {
		switch v := item.Value.(type) {
		case int64:
			if slices.Contains([]string{"started", "ended", "since", "until"}, item.Key) {
				list[i].Value = stat.Word(time.UnixMilli(v).Format("2006-01-02T15:04:05.000Z07:00"))
			}
		case []stat.Item:
			list[i].Value = dated(v)
		case []any:
			values := slices.Clone(v)
			for i, v := range values {
				if items, ok := v.([]stat.Item); ok {
					values[i] = dated(items)
				}
			}
			list[i].Value = values
		}
	}
	return list
}

// ofProgram returns the info of a running program, or else of its last end.
func ofProgram(ctx context.Context, c caller, what string) ([]stat.Item, error) {
	to, err := find(ctx, c, what)
	if err == nil {
		var items []stat.Item
		if items, err = itemsOf(ctx, c, to); err == nil {
			return items, nil
		}
	}
	if !errors.Is(gone(what, err), errNoProgram) {
		return nil, err
	}
	end, err := findEnd(ctx, c, what)
	return end.items, err
}

func itemsOf(ctx context.Context, c caller, to etf.Term) ([]stat.Item, error) {
	answer, err := look(ctx, c, to, etf.Atom("info"))
	m, ok := answer.(etf.Map)
	if err == nil && !ok {
		err = errors.New("erluv answers with something else than a map")
	}
	return stat.Read(m), err
}

func atMostOne(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageError{errors.New("info takes one program at most")}
	}
	return nil
}
