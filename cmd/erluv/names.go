package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"erluv/cluster"
	"erluv/stat"
	"erluv/wire/epmd"

	"github.com/spf13/cobra"
)

const (
	aboutNames = `List the nodes that the EPMD of a host knows, by default of this host. Each line
has the name without the host, and the port where the node listens.`

	examplesOfNames = `  erluv names
  erluv names db1.example.com`
)

// namesCommand is `erluv names`.
type namesCommand struct {
	*command
	json    bool
	timeout time.Duration
}

func namesOf(c *command) *cobra.Command {
	n := &namesCommand{command: c}
	cmd := takes(&cobra.Command{
		Use: "names [flags] [HOST]", Short: "list the nodes that EPMD knows", Long: aboutNames,
		Example: examplesOfNames, RunE: n.run,
	}, 0, 1)
	cmd.Flags().BoolVar(&n.json, "json", false, "print JSON")
	timeoutFlag(cmd, &n.timeout, 5*time.Second, "longest time until EPMD answers")
	return cmd
}

func (n *namesCommand) run(_ *cobra.Command, args []string) error {
	if n.timeout <= 0 {
		return usageError{errTimeout}
	}
	cfg, err := n.load()
	if err != nil {
		return err
	}
	host := "localhost"
	if len(args) == 1 {
		host = args[0]
	}
	ctx, cancel := untilSignal()
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, n.timeout)
	defer stop()
	names, err := epmd.Names(ctx, net.JoinHostPort(host, strconv.Itoa(cfg.EPMDPort)))
	if err != nil {
		return err
	}
	slices.SortFunc(names, func(a, b epmd.Registered) int { return strings.Compare(a.Name, b.Name) })
	return print(n.stdout, n.rendered(names))
}

func (n *namesCommand) rendered(names []epmd.Registered) string {
	if n.json {
		type row struct {
			Name string `json:"name"`
			Port uint16 `json:"port"`
		}
		rows := make([]row, len(names))
		for i, name := range names {
			rows[i] = row(name)
		}
		b, _ := json.MarshalIndent(rows, "", "  ") // texts and numbers
		return string(stat.SafeJSON(b)) + "\n"
	}
	if len(names) == 0 {
		return "no node is registered\n"
	}
	var b strings.Builder
	tab := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "NAME\tPORT")
	for _, name := range names {
		fmt.Fprintf(tab, "%s\t%d\n", cluster.Show(name.Name), name.Port)
	}
	_ = tab.Flush() // to memory
	return b.String()
}
