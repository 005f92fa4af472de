package ipc

import "fmt"

// Allowed is whom programs may be run as. Its place in the list of a Start is its
// number, which is all that a child says of it; the first is who the child is itself.
type Allowed struct {
	User   string
	UID    uint32
	Groups []Group // the primary one first
	Home   string  // of the user database; "": it has none
	Shell  string  // the same
}

// Group is a group of the group database.
type Group struct {
	Name string
	GID  uint32
}

// WantSpawner asks main for the spawner of an allowed user, where there is none. It is
// answered by a Spawner.
type WantSpawner struct{ User uint8 }

// Spawner gives the child a spawner: another one for itself, in place of one that was
// killed, or one that it wants. The child's end of its conversation with it comes along.
// Without a PID there is none: the one that there was has ended, or none could be
// started. In any case all programs have ended that this user's spawner has started so
// far.
type Spawner struct {
	User   uint8 // number of the Allowed
	PID    uint32
	Leaves string    // as in StartSpawner
	Limits LimitDirs // the same
}

func (m WantSpawner) write(w *writer) { w.u8(m.User) }

func (m Spawner) write(w *writer) {
	w.u8(m.User)
	w.u32(m.PID)
	w.str(m.Leaves)
	m.Limits.write(w)
}

func (a *Allowed) write(w *writer) {
	w.str(a.User)
	w.u32(a.UID)
	w.u8(uint8(len(a.Groups)))
	for _, g := range a.Groups {
		w.str(g.Name)
		w.u32(g.GID)
	}
	w.str(a.Home)
	w.str(a.Shell)
}

func readAllowed(r *reader) (a Allowed) {
	a.User, a.UID = r.str(), r.u32()
	for n := r.u8(); n > 0 && r.err == nil; n-- {
		a.Groups = append(a.Groups, Group{Name: r.str(), GID: r.u32()})
	}
	if r.err == nil && len(a.Groups) == 0 {
		r.err = fmt.Errorf("ipc: the user %q has no group", a.User)
	}
	a.Home, a.Shell = r.str(), r.str()
	return a
}

// writeAllowed writes a list of 255 at most.
func writeAllowed(w *writer, list []Allowed) {
	w.u8(uint8(len(list)))
	for i := range list {
		list[i].write(w)
	}
}

func readAllowedList(r *reader) (list []Allowed) {
	for n := r.u8(); n > 0 && r.err == nil; n-- {
		list = append(list, readAllowed(r))
	}
	return list
}
