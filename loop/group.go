package loop

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Group is a set of descriptors that can be paused together. Pause takes one system call for any
// number of descriptors. While the group is paused, no handler of it is called. After Resume,
// descriptors that still waited for their turn come first, so none loses its place in the queue.
type Group struct {
	*Poller
	loop *Loop
	in   Source
}

// NewGroup makes a group within l. Loop.Close closes it if Group.Close did not.
func (l *Loop) NewGroup() (*Group, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	g := &Group{Poller: p, loop: l}
	l.groups = append(l.groups, g)
	if g.in, err = l.Watch(p.fd, In, g); err != nil {
		return nil, err
	}
	return g, nil
}

// Close frees the group, unless one of its descriptors is still watched, and reports whether it
// did.
func (g *Group) Close() bool {
	if len(g.free) < len(g.slots) {
		return false
	}
	g.in.Remove()
	_ = unix.Close(g.fd)
	g.loop.groups = slices.DeleteFunc(g.loop.groups, func(other *Group) bool { return other == g })
	return true
}

// Ready is the group's turn in its loop: it hands out one batch of events.
func (g *Group) Ready(Events) {
	if g.next == g.have {
		if err := g.wait(0); err != nil {
			panic("loop: " + err.Error())
		}
	}
	g.tell()
}

// Pause stops the calls of handlers, also from within a handler. A paused group costs the loop
// nothing.
func (g *Group) Pause() {
	if g.paused {
		return
	}
	g.paused = true
	g.in.Want(0)
}

// Resume undoes Pause.
func (g *Group) Resume() {
	if !g.paused {
		return
	}
	g.paused = false
	g.in.Want(In)
}

// Paused reports whether the group is paused.
func (g *Group) Paused() bool { return g.paused }
