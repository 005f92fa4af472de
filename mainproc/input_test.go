package mainproc

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestWatchInput: a pipe or a socket is watched until it ends, or until stop. That holds for any
// input, and whether or not it blocks. All else is not watched.
func TestWatchInput(t *testing.T) {
	for name, open := range map[string]func() ([2]int, error){
		"pipe":          func() (p [2]int, err error) { err = unix.Pipe2(p[:], unix.O_CLOEXEC); return p, err },
		"without waits": func() (p [2]int, err error) { err = unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); return p, err },
		"socket": func() ([2]int, error) {
			return unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		},
	} {
		for _, ends := range []bool{true, false} {
			p, err := open()
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			in, err := watchInput(p[0], func() { close(ended) })
			if err != nil || in == nil {
				t.Fatalf("%s: %v, %v", name, in, err)
			}
			if _, err := unix.Write(p[1], make([]byte, 10_000)); err != nil {
				t.Error(err)
			}
			if ends {
				_ = unix.Close(p[1])
				select {
				case <-ended:
				case <-time.After(waitBound):
					t.Errorf("%s: its end is not seen", name)
				}
			}
			in.stop()
			if !ends {
				select {
				case <-ended:
					t.Errorf("%s: it has ended by being stopped", name)
				default:
				}
				_ = unix.Close(p[1])
			}
			_ = unix.Close(p[0])
		}
	}
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	for _, fd := range []int{null, -1} {
		in, err := watchInput(fd, func() { t.Error("it has ended") })
		if in != nil || err != nil {
			t.Errorf("%d: %v, %v", fd, in, err)
		}
		in.stop()
	}
}
