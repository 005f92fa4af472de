package sandbox

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestOpenAs: the descriptor has the wanted number and stays open over an exec, even if it is the
// first free one.
func TestOpenAs(t *testing.T) {
	const free = 200 // far above other descriptors, so no other open takes it between the calls
	var held []int
	defer func() {
		for _, fd := range held {
			_ = unix.Close(fd)
		}
	}()
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, fd)
		if fd >= free {
			break
		}
	}
	next := held[len(held)-1] + 1
	for _, want := range []int{next, next + 10} {
		if err := openAs("/proc", want); err != nil {
			t.Fatal(err)
		}
		var st, proc unix.Stat_t
		flags, err := unix.FcntlInt(uintptr(want), unix.F_GETFD, 0)
		if err != nil || flags != 0 {
			t.Errorf("descriptor %d has the flags %d, %v", want, flags, err)
		}
		if unix.Fstat(want, &st) != nil || unix.Stat("/proc", &proc) != nil || st.Dev != proc.Dev || st.Ino != proc.Ino {
			t.Errorf("descriptor %d is something else", want)
		}
		_ = unix.Close(want)
	}
}
