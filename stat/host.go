package stat

import (
	"time"

	"erluv/label"
	"erluv/wire/etf"
)

// Host is what a node says of the machine that it serves. What takes a look at it is nil where
// nobody has asked.
type Host struct {
	Meta        label.Labels
	OnlyClasses bool
	Classes     []string // their names
	Caps        Caps
	Load        *Load
	Memory      *Memory
	Disks       []Disk
}

// Caps are the most that a program can have here; 0: no bound.
type Caps struct {
	KillTimeout       time.Duration
	Memory, PIDs, CPU uint64
}

// Load is how much the processors have to do (proc_loadavg(5)).
type Load struct {
	Avg1, Avg5, Avg15 float64
	CPUs              int // that erluv may use
}

// Memory is that of the machine, in bytes. Available is what programs can have without swap,
// no more than is left of Limit, that of the control groups in which erluv is; 0: there is none.
type Memory struct{ Total, Available, Limit int64 }

// Disk is a file system with a path in it, in bytes; Available is for users who are not root.
// Unknown: there is none, or it does not answer.
type Disk struct {
	Path             string
	Total, Available int64
	Unknown          bool
}

// Class is a program that the host offers.
type Class struct {
	Name         string
	Command      []string
	Args         []string // patterns for what a caller adds
	User         string
	Max, Running int // 0: no bound
}

// Items is what the request classes answers.
func (c Class) Items() []Item {
	args := c.Args
	if args == nil {
		args = []string{}
	}
	return []Item{
		{"name", c.Name},
		{"command", c.Command},
		{"args", args},
		{"user", c.User},
		{"max", unless(c.Max == 0, int64(c.Max))},
		{"running", int64(c.Running)},
	}
}

func (h *Host) items() []Item {
	classes, run := h.Classes, Word("any")
	if classes == nil {
		classes = []string{}
	}
	if h.OnlyClasses {
		run = "classes"
	}
	items := []Item{{"meta", h.Meta}, {"run", run}, {"classes", classes}, {"caps", h.Caps.items()}}
	load, memory := h.used()
	disks := []any{}
	for _, d := range h.Disks {
		disks = append(disks, []Item{{"path", d.Path}, {"total", unless(d.Unknown, d.Total)}, {"available", unless(d.Unknown, d.Available)}})
	}
	return append(items, Item{"load", load}, Item{"memory", memory}, Item{"disks", disks})
}

// used are load and memory.
func (h *Host) used() (load, memory any) {
	if l := h.Load; l != nil {
		load = []Item{{"avg1", l.Avg1}, {"avg5", l.Avg5}, {"avg15", l.Avg15}, {"cpus", int64(l.CPUs)}}
	}
	if m := h.Memory; m != nil {
		memory = []Item{{"total", m.Total}, {"available", m.Available}, {"limit", unless(m.Limit == 0, m.Limit)}}
	}
	return load, memory
}

func (c Caps) items() []Item {
	most := func(n uint64) any { return unless(n == 0, int64(n)) }
	return []Item{
		{"kill_timeout", most(uint64(c.KillTimeout.Milliseconds()))},
		{"memory", most(c.Memory)},
		{"pids", most(c.PIDs)},
		{"cpu", most(c.CPU)},
	}
}

// LabelTerms are [{Name, [Key | {Key, Value}]}], all of them binaries.
func LabelTerms(l label.Labels) etf.List {
	list := make(etf.List, 0, len(l))
	for _, e := range l {
		keys := make(etf.List, 0, len(e.Keys))
		for _, k := range e.Keys {
			if k.HasValue {
				keys = append(keys, etf.Tuple{etf.Binary(k.Name), etf.Binary(k.Value)})
			} else {
				keys = append(keys, etf.Binary(k.Name))
			}
		}
		list = append(list, etf.Tuple{etf.Binary(e.Name), keys})
	}
	return list
}
