package ipc

import "fmt"

// Attributes are attributes that a new process has from its start. Package workers passes them from
// the options of spawn to the spawner unchanged, and the spawner sets them. The zero value sets
// only the umask, to 0.
type Attributes struct {
	Umask       uint32
	NoSession   bool // no session of its own, only a process group
	SetNice     bool
	Nice        int8 // -20 to 19 (setpriority(2))
	SetOOM      bool
	OOMScoreAdj int16    // -1000 to 1000 (proc(5))
	CPUs        []uint16 // by number; none: all that the spawner may use
	Rlimits     []Rlimit
	Confine     Confine
	Limits      Limits
}

// Rlimit is one limit (prlimit(2)); all bits set mean none.
type Rlimit struct {
	Resource   uint8 // the kernel's number
	Soft, Hard uint64
}

// Attribute is an attribute that a process may be refused.
type Attribute uint8

// The attributes, as in a Refusal.
const (
	AttributeNice Attribute = iota + 1
	AttributeRlimits
	AttributeCPUs
	AttributeOOM
)

// attributes are their names, as in the options.
var attributes = [...]string{
	AttributeNice: "nice", AttributeRlimits: "rlimits", AttributeCPUs: "cpus", AttributeOOM: "oom_score_adj",
}

func (a Attribute) String() string {
	if int(a) < len(attributes) {
		return attributes[a]
	}
	return fmt.Sprintf("attribute %d", uint8(a))
}

func (a *Attributes) write(w *writer) {
	w.u32(a.Umask)
	w.bool(a.NoSession)
	w.bool(a.SetNice)
	w.u8(uint8(a.Nice))
	w.bool(a.SetOOM)
	w.u16(uint16(a.OOMScoreAdj))
	w.u16(uint16(len(a.CPUs)))
	for _, n := range a.CPUs {
		w.u16(n)
	}
	w.u8(uint8(len(a.Rlimits)))
	for _, l := range a.Rlimits {
		w.u8(l.Resource)
		w.u64(l.Soft)
		w.u64(l.Hard)
	}
	a.Confine.write(w)
	a.Limits.write(w)
}

func readAttributes(r *reader) Attributes {
	a := Attributes{
		Umask: r.u32(), NoSession: r.bool(),
		SetNice: r.bool(), Nice: int8(r.u8()),
		SetOOM: r.bool(), OOMScoreAdj: int16(r.u16()),
	}
	for n := int(r.u16()); n > 0 && r.err == nil; n-- {
		a.CPUs = append(a.CPUs, r.u16())
	}
	for n := int(r.u8()); n > 0 && r.err == nil; n-- {
		a.Rlimits = append(a.Rlimits, Rlimit{Resource: r.u8(), Soft: r.u64(), Hard: r.u64()})
	}
	a.Confine = readConfine(r)
	a.Limits = readLimits(r)
	return a
}
