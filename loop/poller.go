package loop

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Events are what a descriptor is watched for, or what happened on it.
type Events uint32

// The events. Epoll reports Hup even if not requested. A handler that sees it reads until read(2)
// returns the end of file or the error.
const (
	In  Events = unix.EPOLLIN
	Out Events = unix.EPOLLOUT
	Hup Events = unix.EPOLLHUP | unix.EPOLLERR
)

// Handler receives the events of one descriptor. An event that still holds comes again in the next
// round.
type Handler interface{ Ready(Events) }

// batch is the maximum number of events taken at once. The rest follow in the next round, so the
// number affects only how many system calls are made.
const batch = 64

// Poller watches descriptors. It belongs to the thread of its loop.
//
// A Poller is itself a descriptor, which another Poller can watch. One change then watches or
// pauses a whole set of descriptors: see Group.
type Poller struct {
	fd    int
	slots []slot
	free  []uint32
	buf   [batch]unix.EpollEvent
	// events of the last wait that were not handed out yet
	next, have int
	paused     bool
}

// slot holds the handler of a watched descriptor. Its generation tells an event of an earlier
// descriptor in the slot from one of the present, in the same batch.
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

// Source is one watched descriptor. The zero Source watches nothing. A Source does not own the
// descriptor, but must be removed before the descriptor is closed. Otherwise epoll would still
// report events while a process that is just being started holds a copy (epoll(7), Q6).
type Source struct {
	p    *Poller
	fd   int32
	slot uint32
}

// Watch starts to watch fd. The handler receives events from the next round on.
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

// Active reports whether s watches a descriptor.
func (s *Source) Active() bool { return s.p != nil }

// Want changes which events the descriptor is watched for. Even with none (0), epoll still reports
// Hup. To silence a source, remove it.
func (s *Source) Want(want Events) {
	if s.p == nil || s.p.slots[s.slot].want == want {
		return
	}
	sl := &s.p.slots[s.slot]
	sl.want = want
	ev := unix.EpollEvent{Events: uint32(want), Fd: int32(s.slot), Pad: int32(sl.gen)}
	// The descriptor is open and watched, so only a defect in erluv can make this fail.
	if err := unix.EpollCtl(s.p.fd, unix.EPOLL_CTL_MOD, int(s.fd), &ev); err != nil {
		panic(fmt.Sprintf("loop: descriptor %d: %v", s.fd, err))
	}
}

// Remove stops watching. Events that were taken but not handed out yet are dropped.
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

// wait fills the batch, and waits for at most ms milliseconds, or for any time if ms is -1.
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

// peek is epoll_wait(2) without waiting. It bypasses the Go scheduler, since it cannot block: an
// ordinary system call would cost twice as much.
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

// tell hands out the batch until it is empty or the poller is paused.
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
