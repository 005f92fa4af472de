package stat

import "time"

// Figures is the answer of the request figures, for clients that look again and again. It has new
// programs, changes, and sums.
type Figures struct {
	Uptime     time.Duration
	Status     string
	Nodes      int // connections to nodes
	Programs   int
	MaxWorkers int
	States     []Count // of programs, by the names of their states
	Newest     int64   // the number of the newest program in New, or known before

	// These count since the start of the child.
	Started uint64
	Ended   []Count // by the reason
	Output  uint64  // bytes read from programs
	Paused  time.Duration

	Crashes uint64 // of children, since the start of main

	Roles    []Role
	Load     *Load
	Memory   *Memory
	New      []New
	Measured []Measured
	Gone     []Process // requested programs that have ended
}

// Count is the number of things of one name.
type Count struct {
	Name string
	N    uint64
}

// Role is a process of erluv's own. CPU and RSS are nil if they cannot be read.
type Role struct {
	Name string
	PID  int
	CPU  *time.Duration
	RSS  *int64
}

// New has the lasting data of a program, and data that costs nothing.
type New struct {
	Program
	Name    string // "": none
	Restart string // temporary, transient or permanent
}

// Measured has the changing data of a program.
type Measured struct {
	Worker   Process
	PID      int
	State    string
	Started  time.Time
	Restarts int
	CPU      *time.Duration // nil: it does not run
	RSS      *int64         // bytes, of all descendants where these are counted
	Output   uint64         // bytes read from this run
	Held     bool           // it waits for a receiver of its output
}

// Equal reports whether two measurements give the same answer.
func (m *Measured) Equal(n *Measured) bool {
	a, b := *m, *n
	cpu, rss := known(a.CPU, a.RSS)
	cpu2, rss2 := known(b.CPU, b.RSS)
	a.CPU, a.RSS, b.CPU, b.RSS = nil, nil, nil, nil
	return a == b && cpu == cpu2 && rss == rss2
}

// Items returns the answer of the request figures.
func (f *Figures) Items() []Item {
	host := Host{Load: f.Load, Memory: f.Memory}
	load, memory := host.used()
	roles, added, measured := []any{}, []any{}, []any{}
	for _, r := range f.Roles {
		roles = append(roles, append([]Item{{"role", Word(r.Name)}, {"os_pid", int64(r.PID)}}, used(r.CPU, r.RSS)...))
	}
	for i := range f.New {
		n := &f.New[i]
		added = append(added, append(n.Program.Items(), Item{"worker", n.Worker}, Item{"name", called(n.Name)}, Item{"restart", Word(n.Restart)}))
	}
	for _, m := range f.Measured {
		cpu, rss := known(m.CPU, m.RSS)
		measured = append(measured, []Item{ // one allocation: there are many
			{"worker", m.Worker},
			{"os_pid", int64(m.PID)},
			{"state", Word(m.State)},
			{"started", millis(m.Started)},
			{"restarts", int64(m.Restarts)},
			{"output", int64(m.Output)},
			{"held", m.Held},
			{"cpu", cpu},
			{"rss", rss},
		})
	}
	gone := make([]any, len(f.Gone))
	for i, p := range f.Gone {
		gone[i] = p
	}
	return []Item{
		{"uptime", f.Uptime.Milliseconds()},
		{"status", Word(f.Status)},
		{"nodes", int64(f.Nodes)},
		{"programs", int64(f.Programs)},
		{"max_workers", int64(f.MaxWorkers)},
		{"states", counts(f.States)},
		{"started", int64(f.Started)},
		{"ended", counts(f.Ended)},
		{"output", int64(f.Output)},
		{"paused", f.Paused.Milliseconds()},
		{"crashes", int64(f.Crashes)},
		{"roles", roles},
		{"load", load},
		{"memory", memory},
		{"newest", f.Newest},
		{"new", added},
		{"measured", measured},
		{"gone", gone},
	}
}

func counts(list []Count) []Item {
	items := make([]Item, len(list))
	for i, c := range list {
		items[i] = Item{c.Name, int64(c.N)}
	}
	return items
}

// used returns the usage of a process.
func used(cpu *time.Duration, rss *int64) []Item {
	c, r := known(cpu, rss)
	return []Item{{"cpu", c}, {"rss", r}}
}

// known returns the values of items, in milliseconds and bytes, or nil for unknown ones.
func known(cpu *time.Duration, rss *int64) (c, r any) {
	if cpu != nil {
		c = cpu.Milliseconds()
	}
	if rss != nil {
		r = *rss
	}
	return c, r
}
