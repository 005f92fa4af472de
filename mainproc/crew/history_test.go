package crew

import (
	"testing"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// TestHistoryIsSealed: a child can write into the memory, and cannot change its size.
func TestHistoryIsSealed(t *testing.T) {
	h, err := newHistory(3)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	if fds := h.goes(); len(fds) != 1 || fds[0] != h.fd {
		t.Errorf("%v goes to a child", fds)
	}
	var st unix.Stat_t
	if err := unix.Fstat(h.fd, &st); err != nil || st.Size != ipc.HistorySize(3) {
		t.Errorf("%d bytes, %v", st.Size, err)
	}
	for _, size := range []int64{0, st.Size + 1} {
		if err := unix.Ftruncate(h.fd, size); err != unix.EPERM {
			t.Errorf("a child makes it %d bytes large: %v", size, err)
		}
	}
	if n, err := unix.Pwrite(h.fd, []byte("x"), st.Size-1); n != 1 || err != nil {
		t.Errorf("a child cannot write: %d, %v", n, err)
	}
	if _, err := unix.FcntlInt(uintptr(h.fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE); err != unix.EPERM {
		t.Errorf("a child seals it for the next: %v", err)
	}
	if flags, err := unix.FcntlInt(uintptr(h.fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("programs inherit it: %#x, %v", flags, err)
	}
}

// TestNoHistory: if no ends are remembered there is no memory, and nothing goes to a child.
func TestNoHistory(t *testing.T) {
	h, err := newHistory(0)
	if err != nil || h.fd >= 0 || h.goes() != nil {
		t.Errorf("%+v, %v", h, err)
	}
	h.close()
}

// TestHistoryOverTheLimit: a limit for files that is too low is an error, not a SIGXFSZ.
func TestHistoryOverTheLimit(t *testing.T) {
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	low := was
	low.Cur = uint64(ipc.HistorySize(3)) - 1
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &low); err != nil {
		t.Fatal(err)
	}
	h, err := newHistory(3)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if h.fd >= 0 {
		t.Error("there is a memory")
		h.close()
	}
	wantError(t, "a history", err, "the limit for the size of files is")
}
