package loop

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Events is what a descriptor is watched for, and what was seen on it.
type Events uint32

// The events. Hup is reported whether asked for or not; a handler that sees it
// reads on until the end of file or the error comes out of read(2).
const (
	In  Events = unix.EPOLLIN
	Out Events = unix.EPOLLOUT
	Hup Events = unix.EPOLLHUP | unix.EPOLLERR
)

// Handler is told of the events of one descriptor. The same event is told again
// in the next round for as long as it holds.
type Handler interface{ Ready(Events) }

// batch is how many events are taken at once. What is left over is told in the
// next round, so it is only a matter of system calls.
const batch = 64

// Poller watches descriptors. It belongs to the thread of its loop.
//
// A Poller is itself a descriptor that can be watched by another, which is how a
// whole set of descriptors is watched, or left alone, with a single change: see
// Group.
type Poller struct {
	fd    int
	slots []slot
	free  []uint32
	buf   [batch]unix.EpollEvent
	// events of the last wait which were not told yet
	next, have int
	paused     bool
}

// slot is what a descriptor's number leads to. The generation tells an event of
// an earlier tenant, seen in the same batch, from one of the present.
type slot struct {
	h    Handler
	gen  uint32
	want Events
}

func newPoller() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make an epoll instance: %w", err)
	}
	return &Poller{fd: fd}, nil
}

// Source is one watched descriptor. The zero Source watches nothing. It does not
// own the descriptor, but must be removed before the descriptor is closed:
// epoll goes on reporting a description while a process that is just being
// started holds a copy (epoll(7), Q6).
type Source struct {
	p    *Poller
	fd   int32
	slot uint32
}

// Watch starts to watch fd. The handler is told from the next round on.
func (p *Poller) Watch(fd int, want Events, h Handler) (Source, error) {
	if len(p.free) == 0 {
		p.free = append(p.free, uint32(len(p.slots)))
		p.slots = append(p.slots, slot{})
	}
	i := p.free[len(p.free)-1]
	ev := unix.EpollEvent{Events: uint32(want), Fd: int32(i), Pad: int32(p.slots[i].gen)}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return Source{}, fmt.Errorf("cannot watch descriptor %d: %w", fd, err)
	}
	p.free = p.free[:len(p.free)-1]
	p.slots[i].h, p.slots[i].want = h, want
	return Source{p: p, fd: int32(fd), slot: i}, nil
}

// Active says whether s watches a descriptor.
func (s *Source) Active() bool { return s.p != nil }

// Want changes what the descriptor is watched for; nothing at all (0) still
// reports Hup, so a source that must be silent is removed instead.
func (s *Source) Want(want Events) {
	if s.p == nil || s.p.slots[s.slot].want == want {
		return
	}
	sl := &s.p.slots[s.slot]
	sl.want = want
	ev := unix.EpollEvent{Events: uint32(want), Fd: int32(s.slot), Pad: int32(sl.gen)}
	// The descriptor is open and watched: only a defect of ours can fail here.
	if err := unix.EpollCtl(s.p.fd, unix.EPOLL_CTL_MOD, int(s.fd), &ev); err != nil {
		panic(fmt.Sprintf("loop: descriptor %d: %v", s.fd, err))
	}
}

// Remove stops watching. Events that were seen and not told yet are dropped.
func (s *Source) Remove() {
	if s.p == nil {
		return
	}
	if err := unix.EpollCtl(s.p.fd, unix.EPOLL_CTL_DEL, int(s.fd), nil); err != nil {
		panic(fmt.Sprintf("loop: descriptor %d: %v", s.fd, err))
	}
	sl := &s.p.slots[s.slot]
	sl.h = nil
	sl.gen++
	s.p.free = append(s.p.free, s.slot)
	*s = Source{}
}

// wait fills the batch, for at most ms milliseconds (-1: without end).
func (p *Poller) wait(ms int) (err error) {
	n := 0
	if ms == 0 {
		n, err = p.peek()
	} else {
		n, err = unix.EpollWait(p.fd, p.buf[:], ms)
	}
	if err == unix.EINTR {
		n, err = 0, nil
	}
	if err != nil {
		return fmt.Errorf("cannot wait for events: %w", err)
	}
	p.next, p.have = 0, n
	return nil
}

// peek is epoll_wait(2) without waiting. The Go runtime is not told of it, since nothing
// blocks: that would cost as much again.
func (p *Poller) peek() (int, error) {
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.buf[0])), batch, 0, 0, 0)
	if e == unix.EINTR {
		return 0, nil
	}
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

// tell hands the batch out, until it is empty or the poller is paused.
func (p *Poller) tell() {
	for p.next < p.have && !p.paused {
		ev := &p.buf[p.next]
		p.next++
		sl := &p.slots[ev.Fd]
		if sl.h != nil && sl.gen == uint32(ev.Pad) {
			sl.h.Ready(Events(ev.Events))
		}
	}
}
