// Package history keeps the last ends of programs: how each has ended, why, and where its log is.
//
//	history.go  the ends, and the running programs for the next child
//	record.go   one of them as bytes
//	memory.go   the memory in which they outlive the child
//
// Only the loop's thread may use the package.
package history

import (
	"cmp"
	"slices"
	"time"

	"erluv/childproc/ring"
	"erluv/workers"
)

// CutCommand is how many bytes of a command are kept for the next child.
const CutCommand = 180

// Entry is one run of a program.
type Entry struct {
	ID, Serial, Creation uint32 // of the worker, which is a process of the child's node
	Name                 string // registered name; "" means none
	Command              string // its arguments, separated by NUL bytes
	User                 string
	OSPID                int
	Started              time.Time
	Restarts             int // restarts of the worker before this run
	Kept                 bool

	// Known from the end on.
	Ended      time.Time
	Cause      Cause
	Exit       workers.Exit
	CPU        time.Duration // -1 means not counted
	MemoryPeak int64         // bytes; -1 means not counted
	Log        *ring.Ring    // nil: it has none, or an earlier child had it
	LogEnd     uint64        // position of its end in Log

	slot int    // its place in the memory; -1: none
	seq  uint64 // number of the end; 0: it runs
}

// Cause is the reason why a program has ended.
type Cause string

// The causes.
const (
	Exited       Cause = "exit"              // by itself, or by a signal that erluv did not send
	OOM          Cause = "oom"               // its control group ran out of memory
	Owner        Cause = "owner"             // its owner has ended
	ExitSignal   Cause = "exit_signal"       // exit/2, or the end of a linked process
	Stop         Cause = "stop"              // a call or message from a process of a node
	Operator     Cause = "operator"          // the same by an operator
	Drain        Cause = "drain"             // this host was drained
	Node         Cause = "node"              // its node is gone
	Stopping     Cause = "stopping"          // erluv was stopped
	Timeout      Cause = "timeout"           // it ran, or was silent, for too long
	Watchdog     Cause = "watchdog"          // it gave no sign of life in time
	NotReady     Cause = "not_ready"         // it was not ready in time
	Output       Cause = "output"            // it wrote output that violates its format, or too much
	Proxy        Cause = "proxy"             // its proxy could not be started
	Intensity    Cause = "restart_intensity" // by itself, and too often
	ChildCrashed Cause = "child_crashed"     // erluv_child ended before it
)

// History is the last ends.
type History struct {
	most  int
	ended []*Entry // the oldest first
	runs  map[uint64]*Entry
	seq   uint64
	mem   *memory
}

// New makes a history that keeps up to most ends. It takes over the ends that another child left in
// fd, which stays the caller's. If fd is -1, the ends do not outlive this child.
func New(most, fd int) *History {
	h := &History{most: most, runs: make(map[uint64]*Entry), mem: newMemory(fd, 2*most)}
	left := h.mem.read()
	slices.SortFunc(left, func(a, b *Entry) int { return cmp.Or(cmp.Compare(a.seq-1, b.seq-1), a.Started.Compare(b.Started)) })
	now := time.Now()
	for _, e := range left {
		if e.seq > 0 {
			h.seq = e.seq
		} else { // programs that still ran are the last: 0 - 1 is the largest number
			h.seq++
			e.seq, e.Ended, e.Cause, e.CPU, e.MemoryPeak = h.seq, now, ChildCrashed, -1, -1
			h.mem.write(e)
		}
		h.ended = append(h.ended, e)
	}
	h.trim()
	return h
}

// On reports whether any ends are kept.
func (h *History) On() bool { return h.most > 0 }

// Runs records for the next child that a program runs, if there is room for it.
func (h *History) Runs(key uint64, e *Entry) {
	if len(h.runs) < h.most {
		h.runs[key] = e
		h.mem.place(e)
		h.mem.write(e)
	}
}

// Forget removes a running program. Its end is not recorded.
func (h *History) Forget(key uint64) {
	if e := h.runs[key]; e != nil {
		delete(h.runs, key)
		h.mem.free(e)
	}
}

// Ends records the end of a program.
func (h *History) Ends(key uint64, e *Entry) {
	h.Forget(key)
	if !h.On() {
		return
	}
	h.seq++
	e.seq = h.seq
	h.ended = append(h.ended, e)
	h.trim()
	h.mem.place(e)
	h.mem.write(e)
}

// trim drops the oldest ends above the limit.
func (h *History) trim() {
	for len(h.ended) > h.most {
		e := h.ended[0]
		h.ended[0] = nil
		h.ended = h.ended[1:]
		h.mem.free(e)
		if e.Log != nil && e.Log.State().Over {
			h.Unwatched(e.Log)
		}
	}
}

// has reports whether the end of a worker with this log is known.
func (h *History) has(log *ring.Ring) bool {
	return slices.ContainsFunc(h.ended, func(e *Entry) bool { return e.Log == log })
}

// Close closes a log. It stays as long as an end of its worker is known, or it is watched.
func (h *History) Close(log *ring.Ring) {
	log.Close()
	h.Unwatched(log)
}

// Unwatched drops a closed log unless it is watched, or an end of its worker is known.
func (h *History) Unwatched(log *ring.Ring) {
	if !log.Watched && !h.has(log) {
		log.Drop()
	}
}

// Amend changes the cause of the last end of a worker.
func (h *History) Amend(id, serial uint32, to Cause) {
	if e := h.Find(func(e *Entry) bool { return e.ID == id && e.Serial == serial }); e != nil {
		e.Cause = to
		h.mem.write(e)
	}
}

// Find returns the last end for which is returns true, nil if there is none.
func (h *History) Find(is func(*Entry) bool) *Entry {
	for _, e := range slices.Backward(h.ended) {
		if is(e) {
			return e
		}
	}
	return nil
}

// All yields the ends, the last first.
func (h *History) All(yield func(*Entry) bool) {
	for _, e := range slices.Backward(h.ended) {
		if !yield(e) {
			return
		}
	}
}

// Len returns how many ends there are.
func (h *History) Len() int { return len(h.ended) }
