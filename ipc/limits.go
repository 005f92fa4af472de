package ipc

import "fmt"

// Limits are those of a program and of all that it starts; 0: none.
type Limits struct {
	Memory uint64 // bytes, with what is in swap
	PIDs   uint32 // processes and threads
	CPU    uint32 // percent of one processor
}

// Limit is one of Limits.
type Limit uint8

// The limits, as in Refusal.Limit.
const (
	LimitMemory Limit = iota
	LimitPIDs
	LimitCPU
	NumLimits
)

func (l Limit) String() string {
	if l < NumLimits {
		return [NumLimits]string{"memory", "pids", "cpu"}[l]
	}
	return fmt.Sprintf("limit %d", uint8(l))
}

// Of is the value of one.
func (l *Limits) Of(one Limit) uint64 {
	return [NumLimits]uint64{l.Memory, uint64(l.PIDs), uint64(l.CPU)}[one]
}

// None says whether there is no limit.
func (l *Limits) None() bool { return *l == Limits{} }

// LimitDirs are the control groups of cgroups(7) in which there is a group for each
// program with such a limit; "": there can be none. One that is the Leaves of the same
// message is of version 2, and the limit is set in the program's leaf; the others are
// of version 1.
type LimitDirs [NumLimits]string

func (d LimitDirs) write(w *writer) {
	for _, dir := range d {
		w.str(dir)
	}
}

func readLimitDirs(r *reader) (d LimitDirs) {
	for i := range d {
		d[i] = r.str()
	}
	return d
}

func (l *Limits) write(w *writer) {
	w.u64(l.Memory)
	w.u32(l.PIDs)
	w.u32(l.CPU)
}

func readLimits(r *reader) Limits { return Limits{Memory: r.u64(), PIDs: r.u32(), CPU: r.u32()} }
