package ipc

import "fmt"

// Host describes the machine to the child: its offers and their bounds. It follows the Start. A
// descriptor may come with it: the memory in which the ends of programs outlive the child (package
// childproc/history).
type Host struct {
	Standing         Standing
	Crashes          uint32   // of earlier children, since main has started
	OnlyClasses      bool     // only programs of the classes may be started
	MaxKillTimeoutMS uint32   // longer ones are cut; 0: no maximum
	Limits           Limits   // of each program; 0: no bound
	Disks            []string // paths of the file systems whose space the child reports
	Classes          []Class  // 255 at most
}

// HistorySlot is the size of one entry of that memory, in bytes. Each end of a program has an
// entry. So has each running program that the next child must know of.
const HistorySlot = 512

// HistorySize returns the size of the memory, in bytes, for a number of ends and as many running
// programs.
func HistorySize(ends uint32) int64 { return 2 * int64(ends) * HistorySlot }

// Class is a program that the host offers.
type Class struct {
	Name    string
	Command []string
	Args    []string // patterns (regexp/syntax), each for a whole argument that a caller adds
	User    uint8    // number of the Allowed
	Dir     string
	Env     []string
	Limits  Limits
	Confine Confine
	Max     uint32 // running at once; 0: no bound
}

// Standing is the part of the host that requests can change. The child reports each change to main
// before it answers the request. Main keeps the last one for the next child, and does not interpret
// it.
type Standing struct {
	Wish Wish
	Meta string // labels, as package label writes them
}

// Wish is the last requested state.
type Wish uint8

// The wishes.
const (
	WishReady   Wish = 0
	WishStandby Wish = 1
	WishStopped Wish = 2
)

// Counted is how many programs the child has. The child sends it before its answer to a Beat if the
// number has changed. Main tells people.
type Counted struct{ Programs uint32 }

// maxMeta bounds the labels in a Standing, in bytes.
const maxMeta = 8 << 10

func (m Standing) write(w *writer) {
	w.u8(uint8(m.Wish))
	w.str(m.Meta)
}

func readStanding(r *reader) Standing {
	m := Standing{Wish: Wish(r.u8()), Meta: r.str()}
	if r.err == nil && (m.Wish > WishStopped || len(m.Meta) > maxMeta) {
		r.err = fmt.Errorf("ipc: a standing with the wish %d and %d bytes of labels", m.Wish, len(m.Meta))
	}
	return m
}

func (m Host) write(w *writer) {
	m.Standing.write(w)
	w.u32(m.Crashes)
	w.bool(m.OnlyClasses)
	w.u32(m.MaxKillTimeoutMS)
	m.Limits.write(w)
	w.strs(m.Disks)
	w.u8(uint8(len(m.Classes)))
	for i := range m.Classes {
		m.Classes[i].write(w)
	}
}

func readHost(r *reader) Host {
	m := Host{Standing: readStanding(r), Crashes: r.u32(), OnlyClasses: r.bool(), MaxKillTimeoutMS: r.u32(), Limits: readLimits(r), Disks: r.strs()}
	for n := r.u8(); n > 0 && r.err == nil; n-- {
		m.Classes = append(m.Classes, readClass(r))
	}
	return m
}

func (c *Class) write(w *writer) {
	w.str(c.Name)
	w.strs(c.Command)
	w.strs(c.Args)
	w.u8(c.User)
	w.str(c.Dir)
	w.strs(c.Env)
	c.Limits.write(w)
	c.Confine.write(w)
	w.u32(c.Max)
}

func readClass(r *reader) Class {
	c := Class{
		Name: r.str(), Command: r.strs(), Args: r.strs(), User: r.u8(), Dir: r.str(), Env: r.strs(),
		Limits: readLimits(r), Confine: readConfine(r), Max: r.u32(),
	}
	if r.err == nil && len(c.Command) == 0 {
		r.err = fmt.Errorf("ipc: the class %q has no command", c.Name)
	}
	return c
}
