package stat

import (
	"time"

	"erluv/wire/etf"
)

// Ended is a run of a program that has ended.
type Ended struct {
	Worker   Process
	Name     string // "": it had none
	Command  []string
	User     string
	PID      int
	Started  time.Time
	Ended    time.Time
	Cause    string
	Exit     *Exit // nil: unknown
	Restarts int   // of the worker before this run

	CPU        time.Duration // with all descendants; -1: not counted
	MemoryPeak int64         // the same, in bytes

	Last string // the last lines of its output, as far as they are kept
}

// Exit is the end of a program, by itself or by a signal.
type Exit struct {
	Status int
	Signalled
}

// Signalled is an end by a signal.
type Signalled struct {
	Signal any  // a Word, or an int64 if it has no name; nil: no signal
	How    Word // core or oom; "": neither
}

func (e *Exit) value() any {
	switch {
	case e == nil:
		return nil
	case e.Signal == nil:
		return Tuple{"exit_status", int64(e.Status)}
	}
	return e.Signalled
}

// items has the signal, and how.
func (s Signalled) items() []Item {
	items := []Item{{"signal", s.Signal}}
	if s.How != "" {
		items = append(items, Item{"how", s.How})
	}
	return items
}

func (s Signalled) term() etf.Tuple {
	t := etf.Tuple{etf.Atom("signal"), term(s.Signal)}
	if s.How != "" {
		t = append(t, etf.Atom(s.How))
	}
	return t
}

// readSignalled is the reverse of term.
func readSignalled(t etf.Tuple) (s Signalled, ok bool) {
	if len(t) < 2 || len(t) > 3 || t[0] != etf.Atom("signal") {
		return s, false
	}
	if len(t) == 3 {
		how, isWord := t[2].(etf.Atom)
		if !isWord {
			return s, false
		}
		s.How = Word(how)
	}
	s.Signal = read(t[1])
	return s, true
}

// Items returns the answer of {info, history} for an end.
func (e *Ended) Items() []Item {
	name := any(Word(e.Name))
	if e.Name == "" {
		name = []any{}
	}
	return []Item{
		{"worker", e.Worker},
		{"name", name},
		{"cmd", e.Command},
		{"user", e.User},
		{"os_pid", int64(e.PID)},
		{"started", millis(e.Started)},
		{"ended", millis(e.Ended)},
		{"cause", Word(e.Cause)},
		{"exit", e.Exit.value()},
		{"restarts", int64(e.Restarts)},
		{"cpu", unless(e.CPU < 0, e.CPU.Milliseconds())},
		{"memory_peak", unless(e.MemoryPeak < 0, e.MemoryPeak)},
		{"last_output", e.Last},
	}
}
