package watch

import (
	"erluv/eintr"
	"erluv/loop"

	"golang.org/x/sys/unix"
)

const (
	// maxNodes is the maximum number of files and directories that all watchers together watch.
	// Each costs about 250 bytes here and 1 KiB in the kernel. A watcher beyond it fails with
	// ENOSPC, as at the kernel's own limit (fs.inotify.max_user_watches).
	maxNodes = 128 << 10

	// bufferSize is how many bytes are read from the queue at once: 500 events with short names.
	bufferSize = 16 << 10

	// share bounds the work of one turn. An event costs 1, and so does each report of it. Work on
	// directories has the costs below, because it takes system calls.
	share       = 2048
	costScanned = 1  // an entry of a directory that is read
	costWatched = 16 // a system call with a path
)

// Set is all watchers of a loop. It owns the inotify instance, which exists while there is a
// watcher.
type Set struct {
	loop  *loop.Loop
	group *loop.Group
	host  Host

	fd         int // inotify; -1: none
	src        loop.Source
	buf        []byte
	next, have int    // bytes read but not yet handled
	base       uint64 // bytes that the queue had given before buf[0]
	readable   bool   // the queue has events
	turn       []*node
	happened   []Kind // kinds of the event that is being reported
	path       []byte

	watchers map[*Watcher]struct{}
	table    map[int32][]*node // watch descriptors and the nodes that they are for
	nodes    int
	unused   []int32 // watches to be removed
	moving   []move
	fresh    []*node // directories with names that were reported before their events came
	toldSize int     // names in these
	overrun  []*Watcher
	urgent   lane // directories in which entries may have been created before they were watched
	walks    lane // directories that are watched for the first time
	left     int  // remainder of this turn's share
	again    *loop.Timer
}

// NewSet makes an empty set. The group watches the queue, so a paused group pauses the set.
func NewSet(l *loop.Loop, g *loop.Group, host Host) *Set {
	s := &Set{loop: l, group: g, host: host, fd: -1, watchers: make(map[*Watcher]struct{})}
	s.urgent.fd, s.walks.fd = -1, -1
	return s
}

// Watch begins to watch path, which must be absolute. A symbolic link at its end is followed, a
// link below is not. The error is a unix.Errno, and then nothing was begun. Without an error the
// host later gets Watching or Failed: for a recursive watcher, once all below is watched. Events
// before Watching are not reported.
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

// Close ends a watcher. The host gets no more calls for it.
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

// Resume continues the reports after the host had no room.
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
		return unix.ENOMEM // or epoll's limit, which allows each user more (epoll(7))
	}
	s.fd, s.buf, s.table = fd, make([]byte, bufferSize), make(map[int32][]*node)
	return nil
}

// closeIfEmpty closes the instance when there is no watcher. That removes all watches at once and
// frees the memory.
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

// Ready notes that the queue has events.
func (s *Set) Ready(loop.Events) {
	s.readable = true
	s.run()
}

// goOn makes the set take a turn in the next round.
func (s *Set) goOn() {
	if s.again == nil {
		s.again = s.loop.After(0, func() {
			s.again = nil
			s.run()
		})
	}
}

// run is one turn. Urgent directories and events have one share, and walks another. So neither
// holds up the other, and both together do not hold up the loop.
func (s *Set) run() {
	s.left = share
	room := s.rounds(s.step)
	s.left = share
	room = room && s.rounds(s.stepAside)
	if room && s.fd >= 0 && s.busy() {
		s.goOn()
	}
}

// rounds takes steps while there is work and the host has room for reports. Without room, Resume
// goes on later.
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

// step does the next piece of work that must follow the order of events. It returns false if there
// is none.
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

// stepAside does the next piece of work that has no place in that order.
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

// fill reads from the queue, when all bytes read before have been handled.
func (s *Set) fill() {
	s.base += uint64(s.have)
	s.next, s.have = 0, 0
	if n, err := eintr.Read(s.fd, s.buf); err == nil {
		s.have = n
	}
}

// position is the end of the queue, in bytes since the instance was made. All events until now are
// before it. But the kernel may still merge the next event into the last one
// (fs/notify/inotify/inotify_fsnotify.c).
func (s *Set) position() uint64 {
	queued, err := unix.IoctlGetInt(s.fd, unix.TIOCINQ) // FIONREAD
	if err != nil {
		queued = 0
	}
	return s.base + uint64(s.have) + uint64(queued)
}

// done is the position up to which the queue was handled.
func (s *Set) done() uint64 { return s.base + uint64(s.next) }
