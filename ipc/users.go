package ipc

import "fmt"

// Allowed is a user that programs may run as. The child refers to it only by its index in the list
// of the Start. The first one is the child's own user.
type Allowed struct {
	User   string
	UID    uint32
	Groups []Group // the primary one first
	Home   string  // from the user database; "": none
	Shell  string  // the same
}

// Group is a group of the group database.
type Group struct {
	Name string
	GID  uint32
}

// WantSpawner asks main for the spawner of an allowed user, if there is none. The answer is a
// Spawner.
type WantSpawner struct{ User uint8 }

// Spawner gives the child a spawner: a new one in place of a killed one, or one that the child
// wanted. The child's end of their conversation comes with it. PID 0 means that there is none: the
// spawner has ended, or could not be started. In each case all programs of this user's earlier
// spawners have ended.
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

// writeAllowed writes a list of at most 255.
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
