package main

import (
	"errors"
	"fmt"

	"erluv/config"
	"erluv/stat"
	"erluv/wire/etf"

	"github.com/spf13/cobra"
)

// stop is the command that stops a program.
type stop struct{ operator }

func (c *command) stop() *cobra.Command {
	s := &stop{operator{command: c}}
	return s.add(&cobra.Command{
		Use: "stop W", Short: "stop a program, and say how it has ended",
		Long: `Stop a program of an erluv on this machine, as its supervisor would: by its stop
signal, and SIGKILL if that does not end it in time. It is not started again.
When nothing of it is left, say how it has ended. W is its name, its os_pid or
its worker's number, as erluv ps prints them.`,
		Example: `  sudo erluv stop web
  sudo erluv stop 17.0 --format json`,
		Args: exactly(1, "stop takes a program"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: s.run,
	}, true)
}

func (s *stop) run(_ *cobra.Command, args []string) error {
	answer, err := s.act(args[0], ask, etf.Atom("stop"))
	if err != nil {
		return err
	}
	ok, _ := answer.(etf.Tuple)
	if len(ok) != 2 || ok[0] != etf.Atom("ok") {
		return errors.New("erluv answers with something else than how the program has ended")
	}
	return s.print(endOf(ok[1]))
}

// endOf is how a program has ended: {exit_status, N}, {signal, S} or {signal, S, How}.
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

func (s *stop) print(items []stat.Item) error {
	if s.format == config.FormatJSON {
		_, err := fmt.Fprintf(s.stdout, "%s\n", stat.JSON(items))
		return err
	}
	_, err := fmt.Fprint(s.stdout, stat.Text(items))
	return err
}
