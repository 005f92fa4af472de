// Package history is the last ends of programs: how each has ended, why, and where its log is.
//
//	history.go  the ends, and the programs that run, as far as the next child is to know of them
//	record.go   one of them as bytes
//	memory.go   the memory in which they outlive the child
//
// Everything belongs to the one thread of the loop.
package history

import (
	"cmp"
	"slices"
	"time"

	"erluv/childproc/ring"
	"erluv/workers"
)

// CutCommand is how much of a command is kept for the next child, in bytes.
const CutCommand = 180

// Entry is one run of a program.
type Entry struct {
	ID, Serial, Creation uint32 // of the worker, which is a process of our node
	Name                 string // registered; "": none
	Command              string // its arguments, separated by NUL bytes
	User                 string
	OSPID                int
	Started              time.Time
	Restarts             int // of the worker until then
	Kept                 bool

	// From the end on.
	Ended      time.Time
	Cause      Cause
	Exit       workers.Exit
	CPU        time.Duration // -1: not counted
	MemoryPeak int64         // bytes; -1: not counted
	Log        *ring.Ring    // nil: it has none, or another child had it
	LogEnd     uint64        // position in it

	slot int    // of the memory; -1: none
	seq  uint64 // of the end; 0: it runs
}

// Cause is why a program has ended.
type Cause string

// The causes.
const (
	Exited       Cause = "exit"              // of itself, or by a signal that erluv has not sent
	OOM          Cause = "oom"               // its control group had no memory left
	Owner        Cause = "owner"             // its owner has ended
	ExitSignal   Cause = "exit_signal"       // exit/2, or the end of a linked process
	Stop         Cause = "stop"              // a call or message of a process of a node
	Operator     Cause = "operator"          // the same of an operator
	Drain        Cause = "drain"             // this host was drained
	Node         Cause = "node"              // its node is gone
	Stopping     Cause = "stopping"          // erluv was stopped
	Timeout      Cause = "timeout"           // it ran, or was silent, for too long
	Watchdog     Cause = "watchdog"          // it did not say in time that it lives
	NotReady     Cause = "not_ready"         // it was not ready in time
	Output       Cause = "output"            // it wrote what it should not, or too much of it
	Proxy        Cause = "proxy"             // its proxy could not be started
	Intensity    Cause = "restart_intensity" // of itself, and too often
	ChildCrashed Cause = "child_crashed"     // erluv_child has ended before it
)

// History is the last ends.
type History struct {
	most  int
	ended []*Entry // the oldest first
	runs  map[uint64]*Entry
	seq   uint64
	mem   *memory
}

// New makes one of so many ends. It takes over what another child has left in fd, which
// stays the caller's; -1: the ends do not outlive this child.
func New(most, fd int) *History {
	h := &History{most: most, runs: make(map[uint64]*Entry), mem: newMemory(fd, 2*most)}
	left := h.mem.read()
	slices.SortFunc(left, func(a, b *Entry) int { return cmp.Or(cmp.Compare(a.seq-1, b.seq-1), a.Started.Compare(b.Started)) })
	now := time.Now()
	for _, e := range left {
		if e.seq > 0 {
			h.seq = e.seq
		} else { // those that ran are the last: 0 - 1 is the greatest number
			h.seq++
			e.seq, e.Ended, e.Cause, e.CPU, e.MemoryPeak = h.seq, now, ChildCrashed, -1, -1
			h.mem.write(e)
		}
		h.ended = append(h.ended, e)
	}
	h.trim()
	return h
}

// On says whether any end is kept.
func (h *History) On() bool { return h.most > 0 }

// Runs notes that a program runs, for the next child: as far as there is room for it.
func (h *History) Runs(key uint64, e *Entry) {
	if len(h.runs) < h.most {
		h.runs[key] = e
		h.mem.place(e)
		h.mem.write(e)
	}
}

// Forget: a program has ended of which nothing is kept.
func (h *History) Forget(key uint64) {
	if e := h.runs[key]; e != nil {
		delete(h.runs, key)
		h.mem.free(e)
	}
}

// Ends notes the end of a program.
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

// trim drops what is too much.
func (h *History) trim() {
	for len(h.ended) > h.most {
		e := h.ended[0]
		h.ended[0] = nil
		h.ended = h.ended[1:]
		h.mem.free(e)
		if e.Log != nil && e.Log.State().Over && !h.has(e.Log) {
			e.Log.Drop()
		}
	}
}

// has says whether an end is known of a worker with this log.
func (h *History) has(log *ring.Ring) bool {
	return slices.ContainsFunc(h.ended, func(e *Entry) bool { return e.Log == log })
}

// Close says that nothing more comes to a log, which is there as long as an end is known whose it
// is.
func (h *History) Close(log *ring.Ring) {
	if log.Close(); !h.has(log) {
		log.Drop()
	}
}

// Amend gives the last end of a worker another cause.
func (h *History) Amend(id, serial uint32, to Cause) {
	if e := h.Find(func(e *Entry) bool { return e.ID == id && e.Serial == serial }); e != nil {
		e.Cause = to
		h.mem.write(e)
	}
}

// Find is the last end that is meant; nil: none is.
func (h *History) Find(is func(*Entry) bool) *Entry {
	for _, e := range slices.Backward(h.ended) {
		if is(e) {
			return e
		}
	}
	return nil
}

// All are the ends, the last first.
func (h *History) All(yield func(*Entry) bool) {
	for _, e := range slices.Backward(h.ended) {
		if !yield(e) {
			return
		}
	}
}

// Len is how many there are.
func (h *History) Len() int { return len(h.ended) }
