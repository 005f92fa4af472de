package watch

import (
	"bytes"
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"
)

// event is one of inotify's. The name is of an entry of the directory that is
// watched; without one it is about what is watched itself.
type event struct {
	wd     int32
	mask   uint32
	cookie uint32
	name   []byte // in the buffer
	size   int
}

// parse reads the first event in b, which the kernel has filled with whole ones.
func parse(b []byte) event {
	e := event{
		wd:     int32(binary.NativeEndian.Uint32(b)),
		mask:   binary.NativeEndian.Uint32(b[4:]),
		cookie: binary.NativeEndian.Uint32(b[8:]),
		size:   unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:])),
	}
	// The name is padded with NUL bytes.
	e.name, _, _ = bytes.Cut(b[unix.SizeofInotifyEvent:e.size], []byte{0})
	return e
}

// isDir says whether it is about a directory.
func (e *event) isDir() bool { return e.mask&unix.IN_ISDIR != 0 }

// kind is what has happened; ok is false for what is not told.
func (e *event) kind() (k Kind, ok bool) {
	for k, b := range bits {
		if e.mask&b != 0 {
			return Kind(k), true
		}
	}
	return 0, false
}

// ending says that what is watched is there no more, and how that is told.
func (e *event) ending() (Kind, bool) {
	switch {
	case e.mask&unix.IN_UNMOUNT != 0:
		return Unmounted, true
	case e.mask&unix.IN_MOVE_SELF != 0:
		return Renamed, true
	case e.mask&(unix.IN_DELETE_SELF|unix.IN_IGNORED) != 0:
		return Deleted, true
	}
	return 0, false
}

// gather takes the next event and those behind it that are about the same file,
// as long as one message can tell them all: each kind once, in the order in which
// they came. It gives the first event and where the others end.
func (s *Set) gather() (first event, end int) {
	first = parse(s.buf[s.next:s.have])
	end = s.next + first.size
	s.happened = s.happened[:0]
	k, ok := first.kind()
	if !ok {
		return first, end
	}
	s.happened = append(s.happened, k)
	if first.isDir() || len(s.fresh) > 0 { // each has consequences of its own
		return first, end
	}
	for end < s.have {
		e := parse(s.buf[end:s.have])
		k, ok := e.kind()
		if !ok || e.isDir() || e.wd != first.wd || !bytes.Equal(e.name, first.name) || !s.note(k) {
			break
		}
		end += e.size
	}
	return first, end
}

// note adds one more kind. False: it was there before, and a second time is news
// of its own.
func (s *Set) note(k Kind) bool {
	if !slices.Contains(s.happened, k) {
		s.happened = append(s.happened, k)
		return true
	}
	return k == Modified || k == Closed || k == Attrib
}
