package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"erluv/cluster"

	"github.com/spf13/cobra"
)

const (
	aboutMap = `Draw the cluster of a node: its nodes and their connections. erluv asks each
node through its neighbours, over connections that exist, so no node gets a new
one. Only the named node has a guest: erluv connects to it as a hidden node.`

	maxNodes = 1000

	examplesOfMap = `  erluv map shop@myhost
  erluv map --dot shop@myhost | dot -Tsvg >cluster.svg
  erluv map --json shop@myhost | jq '.nodes[] | select(.state != "up")'`
)

// mapCommand is `erluv map`.
type mapCommand struct {
	*command
	dot, json, text, hidden bool
	nodes                   int
	timeout                 time.Duration
}

func mapOf(c *command) *cobra.Command {
	m := &mapCommand{command: c}
	cmd := takes(&cobra.Command{
		Use: "map [flags] NAME@HOST", Short: "draw the cluster that a node is part of", Long: aboutMap,
		Example: examplesOfMap, RunE: m.run,
	}, 1, 1)
	cmd.Flags().BoolVar(&m.text, "text", false, "print text (the default)")
	cmd.Flags().BoolVar(&m.dot, "dot", false, "print a graph for Graphviz")
	cmd.Flags().BoolVar(&m.json, "json", false, "print JSON")
	cmd.Flags().BoolVar(&m.hidden, "hidden", false, "also draw hidden nodes without neighbours: erluv, C nodes, remote shells")
	cmd.Flags().IntVar(&m.nodes, "max-nodes", maxNodes, fmt.Sprintf("draw no more nodes than this `number` (default %d)", maxNodes))
	noFiles(cmd, "max-nodes")
	timeoutFlag(cmd, &m.timeout, 10*time.Second, "draw what is known after this time")
	return cmd
}

func (m *mapCommand) run(cmd *cobra.Command, args []string) error {
	if m.nodes < 1 || m.timeout <= 0 {
		return usageError{errors.New("--max-nodes and --timeout take what is more than 0")}
	}
	if m.dot && m.json || m.text && (m.dot || m.json) {
		return usageError{errors.New("--text, --dot and --json exclude each other")}
	}
	cfg, err := m.enter(cmd, args)
	if err != nil {
		return err
	}
	ctx, cancel := untilSignal()
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, m.timeout)
	defer stop()
	v, err := open(ctx, cfg)
	if err != nil {
		return err
	}
	defer v.leave()
	drawn, err := v.look(ctx, m.timeout, m.nodes)
	if err != nil {
		return err
	}
	if !m.hidden {
		drawn = drawn.WithoutStrays()
	}
	if err := print(m.stdout, m.rendered(drawn)); err != nil {
		return err
	}
	if drawn.Incomplete != "" {
		return fmt.Errorf("the map is incomplete: %s", drawn.Incomplete)
	}
	return nil
}

func (m *mapCommand) rendered(drawn *cluster.Map) string {
	switch {
	case m.dot:
		return drawn.DOT()
	case m.json:
		return drawn.JSON()
	}
	return drawn.Text()
}
