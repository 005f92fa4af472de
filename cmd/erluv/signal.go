package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"erluv/cluster"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// signalCommand sends a signal to a program.
type signalCommand struct {
	operator
	all bool
}

func (c *command) signal() *cobra.Command {
	s := &signalCommand{operator: operator{command: c}}
	cmd := s.addNode(s.add(&cobra.Command{
		Use: "signal W SIGNAL", Short: "send a signal to a program",
		Long: `Send a signal to a program of an erluv on this machine, or of others. W is the
program's name, its os_pid or the number of its worker, as in erluv ps. With
--node it is a name. SIGNAL is HUP, SIGHUP or sighup, or a number.`,
		Example: `  sudo erluv signal web HUP
  sudo erluv signal --all 17.0 SIGUSR1`,
		Args: exactly(2, "signal takes a program and a signal"), ValidArgsFunction: s.complete,
		RunE: s.run,
	}, true))
	cmd.Flags().BoolVar(&s.all, "all", false, "also signal all processes that the program started")
	return cmd
}

func (s *signalCommand) run(_ *cobra.Command, args []string) error {
	sig, err := signalOf(args[1])
	if err != nil {
		return usageError{err}
	}
	request := etf.Tuple{etf.Atom("signal"), gen.Signal(sig)}
	if s.all {
		request = etf.Tuple{etf.Atom("signal"), etf.Atom("group"), gen.Signal(sig)}
	}
	list, err := s.act(args[0], look, request)
	if err != nil {
		return err
	}
	return show(&s.operator, list, func(node string, _ etf.Term) any { return signalled{node, nameOf(sig)} },
		func(w io.Writer, list []told[etf.Term]) error {
			if s.node == "" {
				return nil
			}
			return printHosts(w, list)
		})
}

// nameOf returns Erlang's name of a signal, or its number.
func nameOf(sig unix.Signal) string {
	return cmp.Or(strings.ToLower(unix.SignalName(sig)), strconv.Itoa(int(sig)))
}

// signalled is the output of signal as JSON.
type signalled struct {
	Node   string `json:"node"`
	Signal string `json:"signal"`
}

// printHosts prints the erluvs at which something was done.
func printHosts[T any](w io.Writer, list []told[T]) error {
	var b strings.Builder
	for _, t := range list {
		b.WriteString(cluster.Show(t.node) + "\n")
	}
	return print(w, b.String())
}

// maxSignal is the last signal of Linux.
const maxSignal = 64

// signalOf reads a signal as kill(1) does, or as Erlang writes it.
func signalOf(s string) (unix.Signal, error) {
	if n, err := strconv.Atoi(s); err == nil && n > 0 && n <= maxSignal {
		return unix.Signal(n), nil
	}
	name := strings.ToUpper(s)
	if sig := unix.SignalNum("SIG" + strings.TrimPrefix(name, "SIG")); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("%q is no signal: it takes a name such as TERM, or a number from 1 to %d", s, maxSignal)
}

// exactly accepts n arguments, and answers other numbers with the error wrong.
func exactly(n int, wrong string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{errors.New(wrong)}
		}
		return nil
	}
}
