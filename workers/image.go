package workers

import (
	"fmt"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// Image is a program that is no file but a memfd. Who has made it owns it; a Spec that has one can
// outlive it, and its program is not found then.
type Image struct {
	fd    int
	ready bool
}

// NewImage takes over a memfd.
func NewImage(memfd int) *Image { return &Image{fd: memfd} }

// Ready says that all of it is there.
func (i *Image) Ready() { i.ready = true }

// Live says whether it can be executed.
func (i *Image) Live() bool { return i.ready && i.fd >= 0 }

// Close ends it.
func (i *Image) Close() {
	if i.fd >= 0 {
		_ = unix.Close(i.fd)
		i.fd = -1
	}
}

// ImageFD is the descriptor by which a program with an Image finds it, and which it keeps: scripts
// are read by it. It is behind all others of the program.
func (sp *Spec) ImageFD() Stream {
	if n := len(sp.Extra); n > 0 {
		return sp.Extra[n-1].FD + 1
	}
	return Stderr + 1
}

// give has a request execute it: the descriptor that is returned goes with it. ENOENT: it is gone.
func (i *Image) give(m *ipc.Spawn, as Stream) (int, error) {
	if !i.Live() {
		return -1, unix.ENOENT
	}
	fd, err := unix.FcntlInt(uintptr(i.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	m.Program = fmt.Sprintf("/proc/self/fd/%d", as)
	m.Streams = append(m.Streams, ipc.Stream{FD: uint8(as), Source: ipc.SourceFD})
	return fd, nil
}
