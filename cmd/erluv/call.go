package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"erluv/cluster"
	"erluv/stat"
	"erluv/wire/etf"

	"github.com/spf13/cobra"
)

const (
	aboutCall = `Call a function on a node, or with --all on every node of its cluster (see
map), and print what it returns. Arguments are a list of Erlang terms, [] if
there are none. Output and logs of the function appear only at the node where it
runs.`

	examplesOfCall = `  erluv call shop@myhost erlang system_info '[otp_release]'
  erluv call shop@myhost --all erlang memory '[total]'
  erluv call shop@myhost application get_env '[shop, port]'`

	// mapTime bounds the map at the beginning of a call on all nodes, unless --timeout is more.
	mapTime = 10 * time.Second
)

// callCommand is `erluv call`.
type callCommand struct {
	*command
	all, hidden, json bool
	timeout           time.Duration
}

func callOf(c *command) *cobra.Command {
	k := &callCommand{command: c}
	cmd := takes(&cobra.Command{
		Use: "call [flags] NAME@HOST MODULE FUNCTION [ARGUMENTS]", Short: "call a function on a node, or on all of a cluster",
		Long: aboutCall, Example: examplesOfCall, RunE: k.run,
	}, 3, 4)
	cmd.Flags().BoolVar(&k.all, "all", false, "call on every node of the cluster")
	cmd.Flags().BoolVar(&k.hidden, "hidden", false, "with --all: also on hidden nodes, as map --hidden")
	cmd.Flags().BoolVar(&k.json, "json", false, "print JSON, with each result as text in Erlang's syntax")
	timeoutFlag(cmd, &k.timeout, 10*time.Second, "longest time of the function on each node")
	return cmd
}

func (k *callCommand) run(cmd *cobra.Command, args []string) error {
	if k.timeout <= 0 {
		return usageError{errTimeout}
	}
	for _, name := range args[1:3] {
		if !etf.Atom(name).Valid() || name == "" {
			return usageError{fmt.Errorf("%.80q is no name of a module or a function", name)}
		}
	}
	arguments := etf.List(nil)
	if len(args) == 4 {
		var err error
		if arguments, err = cluster.Args(args[3]); err != nil {
			return usageError{err}
		}
	}
	cfg, err := k.enter(cmd, args)
	if err != nil {
		return err
	}
	ctx, cancel := untilSignal()
	defer cancel()
	v, err := open(ctx, cfg)
	if err != nil {
		return err
	}
	defer v.leave()
	// The entry sends nothing while the function runs. It counts as gone only after a silence of
	// its own net_ticktime.
	ticktime, err := cluster.Ticktime(ctx, v)
	if err != nil {
		return err
	}
	v.SetTicktime(ticktime)
	return k.call(ctx, v, args[1], args[2], arguments)
}

func (k *callCommand) call(ctx context.Context, v view, module, function string, args etf.List) error {
	nodes := []cluster.Node{{Name: v.Peer().Name, State: cluster.Up}}
	var others []cluster.Result
	if k.all {
		drawn, err := v.look(ctx, max(mapTime, k.timeout), maxNodes)
		if err != nil {
			return err
		}
		if !k.hidden {
			drawn = drawn.WithoutStrays()
		}
		if drawn.Incomplete != "" {
			complain(k.stderr, "not all nodes are called: "+drawn.Incomplete)
		}
		nodes, others = drawn.Callable()
	}
	results, err := cluster.Each(ctx, v, nodes, module, function, args, k.timeout)
	if err != nil {
		return err
	}
	return k.report(append(results, others...))
}

// report prints the results of the nodes. It fails if a node has returned nothing.
func (k *callCommand) report(results []cluster.Result) error {
	failed := 0
	for _, r := range results {
		if r.Err != nil {
			failed++
		}
	}
	text := k.lines(results)
	switch {
	case k.json:
		text = asJSON(results)
	case !k.all && failed == 0:
		text = etf.Format(results[0].Value) + "\n"
	case !k.all:
		return fmt.Errorf("%s: %w", results[0].Node, results[0].Err)
	}
	if err := print(k.stdout, text); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d nodes have returned nothing", failed, len(results))
	}
	return nil
}

// lines returns a line for each node. Nodes that have returned nothing are marked.
func (k *callCommand) lines(results []cluster.Result) string {
	var b strings.Builder
	tab := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.StripEscape)
	for _, r := range results {
		what := "  " + etf.Format(r.Value)
		if r.Err != nil {
			what = "! " + r.Err.Error()
		}
		fmt.Fprintf(tab, "%s\t%s\n", cluster.Show(r.Node), what)
	}
	_ = tab.Flush() // to memory
	return b.String()
}

func asJSON(results []cluster.Result) string {
	type row struct {
		Node   string  `json:"node"`
		Result *string `json:"result,omitempty"`
		Error  string  `json:"error,omitempty"`
	}
	rows := make([]row, len(results))
	for i, r := range results {
		rows[i].Node = r.Node
		if r.Err != nil {
			rows[i].Error = r.Err.Error()
		} else {
			value := etf.Format(r.Value)
			rows[i].Result = &value
		}
	}
	b, _ := json.MarshalIndent(rows, "", "  ") // texts only
	return string(stat.SafeJSON(b)) + "\n"
}
