package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"erluv/cluster"
	"erluv/config"
	"erluv/wire/client"
	"erluv/wire/etf"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// enter reads the configuration of a command whose first argument is the node to connect to.
func (c *command) enter(cmd *cobra.Command, args []string) (*config.Config, error) {
	for _, key := range config.Keys() {
		if _, given := c.given[key.Name]; given && slices.Contains(whichNode, key.Name) {
			return nil, usageError{fmt.Errorf("%s takes the node as its argument, not by --%s", cmd.Name(), key.Flag())}
		}
	}
	if err := c.hideSecrets(cmd.Name(), own(cmd, args)...); err != nil {
		return nil, err
	}
	c.entry = args[0]
	return c.ready()
}

// own returns the parts of a command line that are not settings: the command's own flags, and the
// arguments.
func own(cmd *cobra.Command, args []string) (rest []string) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if _, setting := f.Value.(*value); !setting && f.Name != handoverFlag && f.Name != reportFlag {
			values := []string{f.Value.String()}
			if list, ok := f.Value.(pflag.SliceValue); ok {
				values = list.GetSlice()
			}
			for _, v := range values {
				rest = append(rest, "--"+f.Name+"="+v)
			}
		}
	})
	return append(append(rest, "--"), args...)
}

// takes makes a command accept between fewest and most arguments.
func takes(cmd *cobra.Command, fewest, most int) *cobra.Command {
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) < fewest || len(args) > most {
			return usageError{fmt.Errorf("%s is called as erluv %s", cmd.Name(), cmd.Use)}
		}
		return nil
	}
	return cmd
}

// timeoutFlag defines the flag --timeout of a command.
func timeoutFlag(cmd *cobra.Command, to *time.Duration, usual time.Duration, usage string) {
	cmd.Flags().DurationVar(to, "timeout", usual, fmt.Sprintf("%s (default %v)", usage, usual))
	noFiles(cmd, "timeout")
}

// noFiles keeps a shell from completing names of files as the value of a flag.
func noFiles(cmd *cobra.Command, flag string) {
	// It fails only for an undefined flag. Each caller has defined the flag before.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.NoFileCompletions)
}

// A view is a look at a cluster from one of its nodes.
type view struct {
	*client.Client
	leave func()
}

// open connects to the entry.
func open(ctx context.Context, cfg *config.Config) (view, error) {
	c, leave, err := dial(ctx, cfg, nil)
	if err != nil {
		return view{}, err
	}
	return view{c, leave}, nil
}

// Call is the client's Call, with a clear error for a node without rex.
func (v view) Call(ctx context.Context, to, request etf.Term) (etf.Term, error) {
	answer, err := v.Client.Call(ctx, to, request)
	if exit := (*client.Exit)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("%s is no Erlang VM that can be asked: it has no process %s", v.Peer().Name, etf.Format(to))
	}
	return answer, err
}

// look draws the map of the cluster within a time.
func (v view) look(ctx context.Context, timeout time.Duration, nodes int) (*cluster.Map, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	limits := cluster.Limits{Nodes: nodes, Wait: timeout / 5} // leaves time for two paths to a node
	return cluster.Look(ctx, v, v.Peer().Name, string(v.Self().Node), limits)
}

var errTimeout = errors.New("--timeout takes what is more than 0")

// print writes only the result of a command to standard output.
func print(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}
