package workers

import (
	"fmt"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// Image is a program in a memfd instead of a file. Its maker owns it. A Spec can outlive its Image,
// and then its program is not found.
type Image struct {
	fd    int
	ready bool
}

// NewImage takes over a memfd.
func NewImage(memfd int) *Image { return &Image{fd: memfd} }

// Ready marks the program as complete.
func (i *Image) Ready() { i.ready = true }

// Live reports whether the program can be executed.
func (i *Image) Live() bool { return i.ready && i.fd >= 0 }

// Close closes the memfd.
func (i *Image) Close() {
	if i.fd >= 0 {
		_ = unix.Close(i.fd)
		i.fd = -1
	}
}

// ImageFD is the descriptor by which a program with an Image is executed. The program keeps it,
// since an interpreter reads the script by it. It comes after all other descriptors of the program.
func (sp *Spec) ImageFD() Stream {
	if n := len(sp.Extra); n > 0 {
		return sp.Extra[n-1].FD + 1
	}
	return Stderr + 1
}

// give makes the request execute the image. The returned descriptor must go with the request. The
// error is ENOENT if the image is closed or incomplete.
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
