package stat

import (
	"time"

	"erluv/label"
	"erluv/wire/etf"
)

// Host has data about the machine. Fields that cost a measurement are nil if the request did not
// ask for them.
type Host struct {
	Meta        label.Labels
	OnlyClasses bool
	Classes     []string // their names
	Caps        Caps
	Load        *Load
	Memory      *Memory
	Disks       []Disk
}

// Caps are the highest limits of a program here. 0 means no limit.
type Caps struct {
	KillTimeout       time.Duration
	Memory, PIDs, CPU uint64
}

// Load is the load of the processors (proc_loadavg(5)).
type Load struct {
	Avg1, Avg5, Avg15 float64
	CPUs              int // that erluv may use
}

// Memory is the memory of the machine, in bytes. Available is what programs can have without swap.
// It is at most the rest of Limit, the limit of erluv's control groups. A Limit of 0 means none.
type Memory struct{ Total, Available, Limit int64 }

// Disk is the file system of a path, with sizes in bytes. Available is for users other than root.
// Unknown means that there is none, or that it does not answer.
type Disk struct {
	Path             string
	Total, Available int64
	Unknown          bool
}

// Class is a program that the host offers.
type Class struct {
	Name         string
	Command      []string
	Args         []string // patterns for the arguments of a caller
	User         string
	Max, Running int // 0: no bound
}

// Items returns the answer of the request classes.
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

// used returns load and memory.
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

// LabelTerms returns [{Name, [Key | {Key, Value}]}], with binaries for all texts.
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
