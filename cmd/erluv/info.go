package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"erluv/stat"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"github.com/spf13/cobra"
)

// info is the command that prints what an erluv says of itself.
type info struct{ operator }

func (c *command) info() *cobra.Command {
	i := &info{operator{command: c}}
	return i.addNode(i.add(&cobra.Command{
		Use: "info", Short: "what an erluv says of itself",
		Long: `Print what an erluv on this machine, or another one, says of itself: its node,
its connections, versions, processes, sandbox. The keys are those of the request
info, see erluv-protocol(7).`,
		Example: `  sudo erluv info
  sudo erluv info --name erluv_db1 --format json`,
		RunE: i.run,
	}, true))
}

func (i *info) run(*cobra.Command, []string) error {
	list, err := at(&i.operator, func(ctx context.Context, h host) ([]stat.Item, error) {
		answer, err := look(ctx, h, gen.Manager, etf.Atom("info"))
		m, ok := answer.(etf.Map)
		if err == nil && !ok {
			err = errors.New("erluv answers with something else than a map")
		}
		return stat.Read(m), err
	})
	if err != nil {
		return err
	}
	return show(&i.operator, list, func(_ string, items []stat.Item) any { return json.RawMessage(stat.JSON(items)) },
		func(w io.Writer, list []told[[]stat.Item]) error {
			texts := make([]string, len(list))
			for i, t := range list {
				texts[i] = stat.Text(t.value)
			}
			return print(w, strings.Join(texts, "\n"))
		})
}
