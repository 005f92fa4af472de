package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"erluv/stat"
	"erluv/wire/client"
	"erluv/wire/etf"

	"github.com/spf13/cobra"
)

// ps is the command that lists programs.
type ps struct {
	operator
	all bool
}

func (c *command) ps() *cobra.Command {
	p := &ps{operator: operator{command: c}}
	cmd := p.addNode(p.add(&cobra.Command{
		Use: "ps", Short: "list the programs of an erluv",
		Long: `List the programs of an erluv on this machine, or of others. PROGRAM is the name
of a program, or the number of its worker. CPU is the processor time of the
process. MEMORY is that of all its processes if control groups count it, else
that of the process. EXIT is its last end: the exit status or signal, or the
cause if erluv stopped it. With --all, ended programs in erluv's history follow.
Their SINCE is the time since the end.`,
		Example: `  sudo erluv ps
  sudo erluv ps -a
  sudo erluv ps --name erluv_db1 --format json
  erluv ps --node shop@myhost`,
		RunE: p.run,
	}, true))
	cmd.Flags().BoolVarP(&p.all, "all", "a", false, "also list ended programs")
	return cmd
}

func (p *ps) run(*cobra.Command, []string) error {
	list, err := at(&p.operator, func(ctx context.Context, h host) ([]programRow, error) {
		list, err := programs(ctx, h)
		if err == nil {
			list, err = detailed(ctx, h, list)
		}
		if err != nil {
			return nil, err
		}
		ended, err := ends(ctx, h)
		return p.rows(list, ended), err
	})
	if err != nil {
		return err
	}
	return show(&p.operator, list, func(node string, rows []programRow) any { return programList{node, rows} },
		func(w io.Writer, list []told[[]programRow]) error {
			return p.print(w, list, time.Now(), widthOf(w))
		})
}

// rows returns the rows of running programs, and of ends with the last one first.
func (p *ps) rows(list, ended []program) []programRow {
	rows := make([]programRow, len(list))
	for i := range list {
		rows[i] = rowOf(list[i])
		if last := slices.IndexFunc(ended, func(e program) bool { return e.worker == list[i].worker }); last >= 0 {
			rows[i].ends(ended[last])
		}
	}
	if p.all {
		for _, e := range slices.Backward(ended) {
			rows = append(rows, endedRow(e))
		}
	}
	return rows
}

// lookers is how many programs are asked about at once, so that erluv is never idle in between.
const lookers = 32

// detailed fetches the full info of each program. It leaves out programs that have ended meanwhile.
func detailed(ctx context.Context, c caller, list []program) ([]program, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookBound, fmt.Errorf("erluv has not told of %d programs within %v", len(list), lookBound))
	defer cancel()
	errs := make([]error, len(list))
	beside(lookers, len(list), func(i int) { errs[i] = list[i].detail(ctx, c) })
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return nil, errs[i]
	}
	return slices.DeleteFunc(list, func(p program) bool { return p.items == nil }), nil
}

// detail fetches the full info of a program, or nothing if it has ended.
func (p *program) detail(ctx context.Context, c caller) error {
	answer, err := ask(ctx, c, p.worker, etf.Atom("info"))
	var exit *client.Exit
	if errors.As(err, &exit) {
		p.items = nil
		return nil
	}
	if err != nil {
		return err
	}
	items, ok := answer.(etf.Map)
	if !ok {
		return errors.New("erluv answers with something else than a map")
	}
	p.items = stat.Read(items)
	return nil
}

// programList is the output of ps as JSON.
type programList struct {
	Node     string       `json:"node"`
	Programs []programRow `json:"programs"`
}

// programRow is the output for a program. Unknown values are null.
type programRow struct {
	Worker   string   `json:"worker"`
	Name     *string  `json:"name"`
	Command  []string `json:"command"`
	State    string   `json:"state"`
	User     string   `json:"user"`
	OsPid    *int64   `json:"os_pid"`
	Started  *int64   `json:"started"` // milliseconds since 1970
	Restarts int64    `json:"restarts"`
	CPU      *int64   `json:"cpu"`    // milliseconds
	Memory   *int64   `json:"memory"` // bytes

	// The last end. For a running program it is the end of the previous run.
	Ended *int64          `json:"ended"` // milliseconds since 1970
	Cause *string         `json:"cause"`
	Exit  json.RawMessage `json:"exit"` // as erluv stop prints it

	exit string
}

// stateEnded is the state of a program that has ended.
const stateEnded = "ended"

// endedRow returns the row of an end.
func endedRow(e program) programRow {
	row := rowOf(e)
	row.State, row.Memory = stateEnded, number(e.items, "memory_peak")
	row.ends(e)
	return row
}

// ends adds an end to the row.
func (r *programRow) ends(e program) {
	r.Ended = number(e.items, "ended")
	if cause, ok := stat.Find(e.items, "cause").(stat.Word); ok {
		r.Cause = (*string)(&cause)
		r.exit = string(cause)
	}
	exit := stat.Find(e.items, "exit")
	r.Exit = stat.JSONValue(exit)
	switch exit := exit.(type) {
	case stat.Tuple:
		if r.exit == "exit" {
			r.exit = fmt.Sprintf("exit %d", exit.N)
		}
	case stat.Signalled:
		if r.exit == "exit" {
			r.exit = fmt.Sprintf("%v", exit.Signal)
		}
	}
}

func rowOf(p program) programRow {
	word, _ := stat.Find(p.items, "state").(stat.Word)
	user, _ := stat.Find(p.items, "user").(string)
	restarts, _ := stat.Find(p.items, "restarts").(int64)
	row := programRow{
		Worker: p.number(), Command: []string{}, State: string(word), User: user, Restarts: restarts,
		OsPid: number(p.items, "os_pid"), Started: number(p.items, "started"), CPU: number(p.items, "cpu"), Memory: number(p.items, "rss"),
	}
	if name, ok := stat.Find(p.items, "name").(stat.Word); ok {
		row.Name = (*string)(&name)
	}
	if cmd, ok := stat.Find(p.items, "cmd").([]string); ok {
		row.Command = cmd
	}
	if row.OsPid != nil && *row.OsPid == 0 {
		row.OsPid = nil
	}
	counted, _ := stat.Find(p.items, "cgroup").([]stat.Item)
	if memory := number(counted, "memory"); memory != nil {
		row.Memory = memory
	}
	return row
}

// number returns the number for a key, or nil.
func number(items []stat.Item, key string) *int64 {
	if n, ok := stat.Find(items, key).(int64); ok {
		return &n
	}
	return nil
}

// called returns the program's name in a table, by which other commands find it.
func (r programRow) called() string {
	if r.Name != nil && !stat.IsNumber(*r.Name) {
		return stat.Printable(*r.Name)
	}
	return r.Worker
}

// commandLine returns the command on one line.
func (r programRow) commandLine() string {
	shown := make([]string, len(r.Command))
	for i, arg := range r.Command {
		shown[i] = stat.Printable(arg)
	}
	return strings.Join(shown, " ")
}

// cells returns the columns of a program's line.
func (r programRow) cells(now time.Time) []string {
	since := "-"
	if r.Started != nil {
		since = age(now.Sub(time.UnixMilli(*r.Started)))
	}
	if r.State == stateEnded && r.Ended != nil {
		since = age(now.Sub(time.UnixMilli(*r.Ended)))
	}
	cpu, memory, pid := "-", "-", "-"
	if r.CPU != nil {
		cpu = age(time.Duration(*r.CPU) * time.Millisecond)
	}
	if r.Memory != nil {
		memory = size(*r.Memory)
	}
	if r.OsPid != nil {
		pid = fmt.Sprint(*r.OsPid)
	}
	return []string{r.called(), r.State, stat.Printable(r.User), pid, since, fmt.Sprint(r.Restarts), cpu, memory, cmp.Or(stat.Printable(r.exit), "-"), r.commandLine()}
}
