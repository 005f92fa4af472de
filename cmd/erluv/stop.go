package main

import (
	"encoding/json"
	"errors"
	"io"
	"strings"

	"erluv/cluster"
	"erluv/stat"
	"erluv/wire/etf"

	"github.com/spf13/cobra"
)

// stop is the command that stops a program.
type stop struct{ operator }

func (c *command) stop() *cobra.Command {
	s := &stop{operator{command: c}}
	return s.addNode(s.add(&cobra.Command{
		Use: "stop W", Short: "stop a program, and print how it ended",
		Long: `Stop a program of an erluv on this machine, or of others, as its supervisor
would. The program gets its stop signal, and SIGKILL if it does not end in time.
erluv does not restart it. When all its processes have ended, the command prints
how it ended. W is the program's name, its os_pid or the number of its worker,
as in erluv ps. With --node it is a name.`,
		Example: `  sudo erluv stop web
  sudo erluv stop 17.0 --format json`,
		Args: exactly(1, "stop takes a program"), ValidArgsFunction: s.complete,
		RunE: s.run,
	}, true))
}

func (s *stop) run(_ *cobra.Command, args []string) error {
	list, err := s.act(args[0], ask, etf.Atom("stop"))
	if err != nil {
		return err
	}
	ends := make([]told[[]stat.Item], len(list))
	for i, t := range list {
		ends[i] = told[[]stat.Item]{node: t.node, err: t.err}
		if ok, _ := t.value.(etf.Tuple); len(ok) == 2 && ok[0] == etf.Atom("ok") {
			ends[i].value = endOf(ok[1])
		} else if t.err == nil {
			ends[i].err = errors.New("erluv answers with something else than how the program has ended")
		}
	}
	return show(&s.operator, ends, s.object, s.print)
}

// endOf returns the end of a program: {exit_status, N}, {signal, S} or {signal, S, How}.
func endOf(exit etf.Term) []stat.Item {
	t, _ := exit.(etf.Tuple)
	if len(t) > 1 {
		items := stat.Read(etf.Map{{Key: t[0], Value: t[1]}})
		if len(t) > 2 {
			items = append(items, stat.Read(etf.Map{{Key: etf.Atom("how"), Value: t[2]}})...)
		}
		return items
	}
	return stat.Read(etf.Map{{Key: etf.Atom("exit"), Value: exit}})
}

// object is the output of stop as JSON. With --node it also names the erluv.
func (s *stop) object(node string, end []stat.Item) any {
	if s.node != "" {
		end = append([]stat.Item{{Key: "node", Value: node}}, end...)
	}
	return json.RawMessage(stat.JSON(end))
}

func (s *stop) print(w io.Writer, list []told[[]stat.Item]) error {
	var b strings.Builder
	for _, t := range list {
		if s.node != "" {
			b.WriteString(cluster.Show(t.node) + gap)
		}
		b.WriteString(stat.Text(t.value))
	}
	return print(w, b.String())
}
