package ipc

import "fmt"

// Limits are the limits of a program and its descendants together; 0: none.
type Limits struct {
	Memory uint64 // bytes, swap included
	PIDs   uint32 // processes and threads
	CPU    uint32 // percent of one processor
}

// Limit selects one of Limits.
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

// Of returns the value of one limit.
func (l *Limits) Of(one Limit) uint64 {
	return [NumLimits]uint64{l.Memory, uint64(l.PIDs), uint64(l.CPU)}[one]
}

// None reports whether there is no limit.
func (l *Limits) None() bool { return *l == Limits{} }

// LimitDirs are directories of control groups (cgroups(7)). Each holds a group for each program
// with that limit; "": the limit cannot be had. A directory that equals the message's Leaves is of
// version 2, and the program's leaf has the limit. The others are of version 1.
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
