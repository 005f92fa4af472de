package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"erluv/cluster"
	"erluv/config"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"github.com/spf13/cobra"
)

// drain is the command that makes a host stop all programs, and waits for that.
type drain struct {
	operator
	deadline time.Duration
	saying   sync.Mutex // several erluvs report their progress
}

func (c *command) drain() *cobra.Command {
	d := &drain{operator: operator{command: c}}
	cmd := d.addNode(d.add(&cobra.Command{
		Use: "drain", Short: "stop all programs of an erluv, and wait",
		Long: `Stop all programs of an erluv on this machine, or of others, and start no new
ones. The command waits until no program is left, and prints the number of those
that are. With --deadline, erluv then kills the rest, and the command names
them. After erluv status set ready, erluv starts programs again.`,
		Example: `  sudo erluv drain --deadline 1m
  erluv drain --node shop@myhost --format json`,
		RunE: d.run,
	}, true))
	cmd.Flags().DurationVar(&d.deadline, "deadline", 0, "kill the remaining programs after this time (default never)")
	noFiles(cmd, "deadline")
	return cmd
}

func (d *drain) run(cmd *cobra.Command, _ []string) error {
	deadline := etf.Term(etf.Atom("infinity"))
	if cmd.Flags().Changed("deadline") {
		if d.deadline < 0 || d.deadline > maxDeadline {
			return usageError{fmt.Errorf("--deadline takes what is from 0 to %v", maxDeadline)}
		}
		deadline = d.deadline.Milliseconds()
	}
	list, err := at(&d.operator, func(ctx context.Context, h host) ([]killed, error) { return d.drain(ctx, h, deadline) })
	if err != nil {
		return err
	}
	return show(&d.operator, list, func(node string, k []killed) any { return drained{node, k} }, d.print)
}

// maxDeadline is the longest deadline that erluv accepts.
const maxDeadline = 49 * 24 * time.Hour

// drained is the output of drain as JSON.
type drained struct {
	Node   string   `json:"node"`
	Killed []killed `json:"killed"`
}

// killed is a program that had to be killed.
type killed struct {
	Worker  string   `json:"worker"`
	Name    *string  `json:"name"`
	Command []string `json:"command"`
}

// drain drains one erluv. The answer names killed programs by pid, so drain looks them up before.
func (d *drain) drain(ctx context.Context, h host, deadline etf.Term) ([]killed, error) {
	before, err := programs(ctx, h)
	if err == nil {
		before, err = detailed(ctx, h, before)
	}
	if err != nil {
		return nil, err
	}
	known := map[string]programRow{}
	for _, p := range before {
		known[p.number()] = rowOf(p)
	}
	d.say(h, len(before))
	looking, enough := context.WithCancel(ctx)
	var looks sync.WaitGroup
	looks.Go(func() { d.follow(looking, h, len(before)) }) // ends with enough
	answer, err := ask(ctx, h, gen.Manager, etf.Tuple{etf.Atom("drain"), deadline})
	enough()
	looks.Wait()
	if err != nil {
		return nil, err
	}
	ok, _ := answer.(etf.Tuple)
	if len(ok) != 2 || ok[0] != etf.Atom("ok") {
		return nil, errors.New("erluv answers with something else than the programs that it has killed")
	}
	pids, _ := etf.Elements(ok[1])
	list := make([]killed, 0, len(pids))
	for _, p := range pids {
		pid, _ := p.(etf.Pid)
		row, ok := known[program{worker: pid}.number()]
		if !ok {
			row = programRow{Worker: program{worker: pid}.number(), Command: []string{}}
		}
		list = append(list, killed{row.Worker, row.Name, row.Command})
	}
	return list, nil
}

// followed is the interval between looks at the remaining programs.
const followed = time.Second

// follow reports the number of programs when it changes.
func (d *drain) follow(ctx context.Context, h host, said int) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(followed):
		}
		if list, err := programs(ctx, h); err == nil && len(list) != said {
			said = len(list)
			d.say(h, said)
		}
	}
}

// say reports the number of programs left on standard error. Standard output is for the result.
func (d *drain) say(h host, left int) {
	if d.format == config.FormatJSON || left == 0 {
		return
	}
	d.saying.Lock()
	defer d.saying.Unlock()
	where := ""
	if d.node != "" {
		where = cluster.Show(h.name) + ": "
	}
	complain(d.stderr, fmt.Sprintf("%s%s left", where, count(left)))
}

func count(programs int) string {
	if programs == 1 {
		return "1 program is"
	}
	return fmt.Sprintf("%d programs are", programs)
}

func (d *drain) print(w io.Writer, list []told[[]killed]) error {
	var b strings.Builder
	for _, t := range list {
		if d.node != "" {
			b.WriteString(cluster.Show(t.node) + gap)
		}
		b.WriteString("drained\n")
		for _, k := range t.value {
			row := programRow{Worker: k.Worker, Name: k.Name, Command: k.Command}
			b.WriteString("killed" + gap + row.called() + gap + row.commandLine() + "\n")
		}
	}
	return print(w, b.String())
}
