package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"erluv/wire/etf"
	"erluv/wire/gen"

	"github.com/spf13/cobra"
)

// statusCommand is the command that prints the state of a host, or requests another state.
type statusCommand struct{ operator }

// states are the states that a user can request.
var states = []string{"ready", "standby", "stopped"}

func (c *command) status() *cobra.Command {
	s := &statusCommand{operator{command: c}}
	return s.addNode(s.add(&cobra.Command{
		Use: "status [set ready|standby|stopped]", Short: "print or set the state of an erluv",
		Long: `Print the state of an erluv on this machine, or of others. With set, request
another state, and print the result. An erluv that is ready starts programs. On
standby it starts no new ones, and the others go on. On the way to stopped it
stops them too, and its state is stopping until no program is left.`,
		Example: `  sudo erluv status
  sudo erluv status set standby
  erluv status --node shop@myhost`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) == 2 && args[0] == "set" && slices.Contains(states, args[1]) {
				return nil
			}
			return usageError{errors.New("status takes nothing, or set with ready, standby or stopped")}
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			words := [][]string{{"set"}, states, nil}[min(len(args), 2)]
			return words, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: s.run,
	}, true))
}

func (s *statusCommand) run(_ *cobra.Command, args []string) error {
	list, err := at(&s.operator, func(ctx context.Context, h host) (string, error) {
		if len(args) > 0 {
			if _, err := look(ctx, h, gen.Manager, etf.Tuple{etf.Atom("status"), etf.Atom("set"), etf.Atom(args[1])}); err != nil {
				return "", err
			}
		}
		return stateOf(ctx, h)
	})
	if err != nil {
		return err
	}
	return show(&s.operator, list, func(node, state string) any { return hostState{node, state} },
		func(w io.Writer, list []told[string]) error {
			if s.node == "" {
				return print(w, list[0].value+"\n")
			}
			table := [][]string{{"HOST", "STATUS"}}
			for _, t := range list {
				table = append(table, s.ofHost(t.node, []string{t.value}))
			}
			return print(w, grid(table, widthOf(w)))
		})
}

// hostState is the output of status as JSON.
type hostState struct {
	Node   string `json:"node"`
	Status string `json:"status"`
}

// stateOf asks for the state of a host.
func stateOf(ctx context.Context, c caller) (string, error) {
	answer, err := look(ctx, c, gen.Manager, etf.Tuple{etf.Atom("status"), etf.Atom("get")})
	state, ok := answer.(etf.Atom)
	if err == nil && !ok {
		err = fmt.Errorf("erluv answers with something else than a state")
	}
	return string(state), err
}
