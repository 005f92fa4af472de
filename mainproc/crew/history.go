package crew

import (
	"fmt"

	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// history is the memory in which the ends of programs outlive the child. Each child gets it in
// turn; main only keeps it, and never reads it.
type history struct{ fd int } // -1: none

// newHistory makes the memory. Its size is sealed, so that no child can change it.
func newHistory(ends uint32) (history, error) {
	size := ipc.HistorySize(ends)
	if size == 0 {
		return history{-1}, nil
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err == nil && int64(min(limit.Cur, 1<<62)) < size {
		// Writing beyond it would raise SIGXFSZ.
		return history{-1}, fmt.Errorf("it needs %d bytes, the limit for the size of files is %d (ulimit -f)", size, limit.Cur)
	}
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("erluv-history", flags|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // Linux before 6.3 knows no MFD_NOEXEC_SEAL
		fd, err = unix.MemfdCreate("erluv-history", flags)
	}
	if err != nil {
		return history{-1}, err
	}
	h := history{fd}
	if err = eintr.Ftruncate(fd, size); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err != nil {
		h.close()
		return history{-1}, err
	}
	return h, nil
}

// goes returns the descriptors that go to a child.
func (h history) goes() []int {
	if h.fd < 0 {
		return nil
	}
	return []int{h.fd}
}

func (h history) close() {
	if h.fd >= 0 {
		_ = unix.Close(h.fd)
	}
}
