package spawner

import (
	"testing"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// TestOpenTerminal: a terminal has the requested size, and the kernel's settings except the
// requested changes. Only the child's ends are non-blocking.
func TestOpenTerminal(t *testing.T) {
	open := func(as *ipc.Terminal) (*unix.Termios, *unix.Winsize) {
		ours, theirs, err := openTerminal(as)
		if err != nil {
			t.Fatal(err)
		}
		defer ipc.CloseAll([]int{ours[0], ours[1], theirs})
		settings, err1 := unix.IoctlGetTermios(theirs, unix.TCGETS2)
		size, err2 := unix.IoctlGetWinsize(theirs, unix.TIOCGWINSZ)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		for fd, want := range map[int]int{ours[0]: unix.O_NONBLOCK, ours[1]: unix.O_NONBLOCK, theirs: 0} {
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != want {
				t.Errorf("the flags are %#x, %v", flags, err)
			}
		}
		return settings, size
	}
	want, _ := open(&ipc.Terminal{Rows: 1, Cols: 1})
	want.Lflag &^= unix.ECHO
	want.Oflag &^= unix.OPOST
	want.Iflag |= unix.IUTF8
	want.Cflag = want.Cflag&^unix.CBAUD | unix.B9600
	want.Ispeed, want.Ospeed = 9600, 9600
	want.Cc[unix.VINTR], want.Cc[unix.VEOF] = 24, 0
	got, size := open(&ipc.Terminal{
		Rows: 7, Cols: 11,
		Clear: ipc.Modes{
			Iflag: unix.IUTF8, Oflag: unix.OPOST, Cflag: unix.CBAUD, Lflag: unix.ECHO,
			Cc: [19]byte{unix.VINTR: 0xff, unix.VEOF: 0xff},
		},
		Set: ipc.Modes{Iflag: unix.IUTF8, Cflag: unix.B9600, Cc: [19]byte{unix.VINTR: 24}},
	})
	if *got != *want || size.Row != 7 || size.Col != 11 {
		t.Errorf("%+v, %+v; want %+v, 7 and 11", got, size, want)
	}
}

// TestOpenTerminalFails: without descriptors there is no terminal, and nothing is left of one.
func TestOpenTerminalFails(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	free := func() int {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		_ = unix.Close(fd)
		return fd
	}
	first := free()
	for room := range 3 { // it needs three descriptors
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(first + room), Max: limit.Max}); err != nil {
			t.Fatal(err)
		}
		_, _, err := openTerminal(&ipc.Terminal{Rows: 1, Cols: 1})
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		if left := free(); err != unix.EMFILE || left != first {
			t.Errorf("with %d descriptors: %v; the next is %d, it was %d", room, err, left, first)
		}
	}
}
