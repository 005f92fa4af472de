package mainproc

import (
	"erluv/sandbox"

	"golang.org/x/sys/unix"
)

// A spawner with a tree of version 1 freezes programs for a moment, to end them, and can
// be killed in it. As the init of a pid namespace it ends after all in there, whom
// SIGKILL does not reach before they are thawed: so main does not wait for its end with
// that, but has them thawed as soon as it has lost its descriptors. What a spawner
// that is no init has left frozen endPrograms thaws, and what main itself has, the next
// one that sweeps.

// thawEvery is in milliseconds: a program that its like freezes again and again gets
// its SIGKILL in between.
const thawEvery = 100

// freezing gives each spawner with such a tree that lives.
func (r *roles) freezing(f func(p *process, tree *sandbox.Tree)) {
	look := func(p *process, by containment) {
		if p != nil && p.end == nil && by.freezes {
			f(p, by.tree)
		}
	}
	look(r.spawner, r.by)
	for i := range r.others {
		look(r.others[i].p, r.others[i].by)
	}
}

// thaw thaws what dying spawners may have frozen, and adds the others' conversations to
// what is polled, for POLLHUP. The timeout is poll's.
func (r *roles) thaw(fds []unix.PollFd, timeout int) ([]unix.PollFd, int) {
	r.freezing(func(p *process, tree *sandbox.Tree) {
		fd := int32(p.conn.FD())
		if p.dying {
			tree.Thaw()
			fd = -1
			if timeout < 0 || timeout > thawEvery {
				timeout = thawEvery
			}
		}
		fds = append(fds, unix.PollFd{Fd: fd})
	})
	return fds, timeout
}

// dying notes what poll has found of the conversations that thaw has added.
func (r *roles) dying(fds []unix.PollFd) {
	r.freezing(func(p *process, _ *sandbox.Tree) {
		p.dying = p.dying || fds[0].Revents != 0
		fds = fds[1:]
	})
}
