package watch

import (
	"erluv/eintr"
	"erluv/loop"

	"golang.org/x/sys/unix"
)

const (
	// maxNodes bounds what all watchers together watch; each costs about 250
	// bytes here and 1 KiB of the kernel. Who comes after gets ENOSPC, as from the
	// kernel's own limit (fs.inotify.max_user_watches).
	maxNodes = 128 << 10

	// bufferSize is what is read from the queue at once, in bytes: 500 events
	// with short names.
	bufferSize = 16 << 10

	// share is how much is done in one turn: about so many events are told, and
	// a fraction of that is done for directories, which costs system calls.
	share       = 2048
	costScanned = 1  // an entry of a directory that is read
	costWatched = 16 // a system call with a path
)

// Set is all watchers of a loop. It owns the inotify instance, which exists while
// there is a watcher.
type Set struct {
	loop  *loop.Loop
	group *loop.Group
	host  Host

	fd         int // inotify; -1: none
	src        loop.Source
	buf        []byte
	next, have int    // what was read and not yet handled
	base       uint64 // how many bytes the queue has given before buf[0]
	readable   bool   // something is in the queue
	turn       []*node
	happened   []Kind // of the event that is told
	path       []byte

	watchers map[*Watcher]struct{}
	table    map[int32][]*node // who watches a watch descriptor
	nodes    int
	unused   []int32 // watches to be removed
	moving   []move
	fresh    []*node // directories some of whose names were told before their events came
	toldSize int     // names in these
	overrun  []*Watcher
	urgent   lane // directories in which something may have been created unseen
	walks    lane // directories that are watched for the first time
	left     int  // of the share of this turn
	again    *loop.Timer
}

// NewSet makes an empty set. The queue is watched in the group, so it is left
// alone while that is paused.
func NewSet(l *loop.Loop, g *loop.Group, host Host) *Set {
	s := &Set{loop: l, group: g, host: host, fd: -1, watchers: make(map[*Watcher]struct{})}
	s.urgent.fd, s.walks.fd = -1, -1
	return s
}

// Watch begins to watch what has the path, which is absolute. A symbolic link at
// its end is followed, none that is found below is. Watching or Failed comes
// later, once all below is watched if that is wanted; not if there is an error, a
// unix.Errno: then nothing was begun. What happens before Watching is not told.
func (s *Set) Watch(path string, wanted Kinds, recursive bool, tag any) (*Watcher, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	w := newWatcher(path, wanted, recursive, tag)
	if err := s.watch(w.root, w.path); err != nil {
		s.closeIfEmpty()
		return nil, err
	}
	s.watchers[w] = struct{}{}
	s.scan(w.root)
	s.goOn()
	return w, nil
}

// Close ends a watcher. Its host is told nothing more.
func (s *Set) Close(w *Watcher) {
	if w.over {
		return
	}
	w.over = true
	delete(s.watchers, w)
	if len(s.watchers) > 0 {
		s.dropMoves(func(m move) bool { return m.n.w == w })
		s.release(w.root)
		s.goOn()
	}
	s.closeIfEmpty()
}

// Resume goes on after the host had no room.
func (s *Set) Resume() {
	if s.fd >= 0 {
		s.goOn()
	}
}

func (s *Set) open() error {
	if s.fd >= 0 {
		return nil
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return err
	}
	if s.src, err = s.group.Watch(fd, loop.In, s); err != nil {
		_ = unix.Close(fd)
		return unix.ENOMEM // or the limit of epoll, of which a user has more (epoll(7))
	}
	s.fd, s.buf, s.table = fd, make([]byte, bufferSize), make(map[int32][]*node)
	return nil
}

// closeIfEmpty closes the instance when nobody watches: that removes all watches
// at once, and nothing stays in memory.
func (s *Set) closeIfEmpty() {
	if s.fd < 0 || len(s.watchers) > 0 {
		return
	}
	s.src.Remove()
	_ = unix.Close(s.fd)
	s.urgent.end()
	s.walks.end()
	s.again.Stop()
	empty := NewSet(s.loop, s.group, s.host)
	empty.watchers = s.watchers
	*s = *empty
}

// Ready: there is something in the queue.
func (s *Set) Ready(loop.Events) {
	s.readable = true
	s.run()
}

// goOn has the set take a turn in the next round.
func (s *Set) goOn() {
	if s.again == nil {
		s.again = s.loop.After(0, func() {
			s.again = nil
			s.run()
		})
	}
}

// run is one turn. What is urgent and events have a share, walks another, so
// that neither holds up the other, nor both the loop.
func (s *Set) run() {
	s.left = share
	room := s.rounds(s.step)
	s.left = share
	room = room && s.rounds(s.stepAside)
	if room && s.fd >= 0 && s.busy() {
		s.goOn()
	}
}

// rounds takes steps while there is something to do, and room for what it may
// bring. Without room it is Resume that goes on.
func (s *Set) rounds(step func() bool) (room bool) {
	for s.fd >= 0 && s.left > 0 {
		if !s.host.Room() {
			return false
		}
		if !step() {
			break
		}
	}
	return true
}

func (s *Set) busy() bool {
	return s.next < s.have || len(s.overrun)+len(s.unused) > 0 || s.urgent.busy() || s.walks.busy()
}

// step does the next thing in the order in which things happened. False: there is
// nothing to do.
func (s *Set) step() bool {
	switch {
	case len(s.overrun) > 0:
		last := len(s.overrun) - 1
		w := s.overrun[last]
		s.overrun = s.overrun[:last]
		s.recover(w)
	case s.urgent.busy():
		s.read(&s.urgent)
	case s.next < s.have:
		s.event()
	case s.readable:
		s.readable = false
		s.fill()
	default:
		return false
	}
	return true
}

// stepAside does what has no place in that order.
func (s *Set) stepAside() bool {
	switch {
	case len(s.unused) > 0:
		s.remove()
	case s.walks.busy():
		s.read(&s.walks)
	default:
		return false
	}
	return true
}

// fill reads from the queue, when all that was read before has been handled.
func (s *Set) fill() {
	s.base += uint64(s.have)
	s.next, s.have = 0, 0
	if n, err := eintr.Read(s.fd, s.buf); err == nil {
		s.have = n
	}
}

// position is where the queue ends, in bytes since it was made: all that has
// happened until now is before it. What happens next may still be merged into the
// last event (fs/notify/inotify/inotify_fsnotify.c).
func (s *Set) position() uint64 {
	queued, err := unix.IoctlGetInt(s.fd, unix.TIOCINQ) // FIONREAD
	if err != nil {
		queued = 0
	}
	return s.base + uint64(s.have) + uint64(queued)
}

// done is how far the queue was handled.
func (s *Set) done() uint64 { return s.base + uint64(s.next) }
