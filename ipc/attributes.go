package ipc

// Attributes are those of a new process that are set between fork and exec. The
// zero value leaves everything as it is with the spawner.
type Attributes struct {
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
	Resource   uint8 // as the kernel numbers them
	Soft, Hard uint64
}

// None says whether nothing is set beside a confinement and limits.
func (a *Attributes) None() bool {
	return !a.SetNice && !a.SetOOM && len(a.CPUs) == 0 && len(a.Rlimits) == 0
}

func (a *Attributes) write(w *writer) {
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
