package watch

import (
	"bytes"
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"
)

// event is an event of inotify. The name is that of an entry of the watched directory. An event
// without a name is about the watched file or directory itself.
type event struct {
	wd     int32
	mask   uint32
	cookie uint32
	name   []byte // in the buffer
	size   int
}

// parse reads the first event in b. The kernel writes only whole events.
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

// isDir reports whether the event is about a directory.
func (e *event) isDir() bool { return e.mask&unix.IN_ISDIR != 0 }

// kind returns what happened. ok is false for an event that is not reported by its kind.
func (e *event) kind() (k Kind, ok bool) {
	for k, b := range bits {
		if e.mask&b != 0 {
			return Kind(k), true
		}
	}
	return 0, false
}

// ending reports whether the watched file or directory is gone, and the kind to report then.
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

// gather takes the next event and those behind it about the same file, as long as one message can
// report them all. Such a message has each kind once, in order. gather returns the first event, and
// where the others end in the buffer.
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

// note adds a kind. It returns false for a kind that is there already and must be reported a second
// time.
func (s *Set) note(k Kind) bool {
	if !slices.Contains(s.happened, k) {
		s.happened = append(s.happened, k)
		return true
	}
	return k == Modified || k == Closed || k == Attrib
}
