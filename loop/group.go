package loop

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Group is a set of descriptors that can be left alone together: while it is
// paused none of its handlers is told anything, whatever the number of its
// descriptors, at the cost of one system call. On resuming, those that had not
// had their turn come first, so a pause takes nobody's place in the queue.
type Group struct {
	*Poller
	loop *Loop
	in   Source
}

// NewGroup makes a group within l, which closes it at the latest.
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

// Close frees the group and says that it did, unless one of its descriptors is watched still.
func (g *Group) Close() bool {
	if len(g.free) < len(g.slots) {
		return false
	}
	g.in.Remove()
	_ = unix.Close(g.fd)
	g.loop.groups = slices.DeleteFunc(g.loop.groups, func(other *Group) bool { return other == g })
	return true
}

// Ready is the group's turn in its loop: one batch.
func (g *Group) Ready(Events) {
	if g.next == g.have {
		if err := g.wait(0); err != nil {
			panic("loop: " + err.Error())
		}
	}
	g.tell()
}

// Pause stops the telling, from within a handler too. A paused group costs
// nothing while it lasts.
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

// Paused says whether the group is paused.
func (g *Group) Paused() bool { return g.paused }
