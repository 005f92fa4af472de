package spawner

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// numbers tells the numbers that processes have where erluv's users count. As the
// init of a pid namespace the spawner sees others, and asks an open directory
// fdinfo of its own in the /proc outside (sandbox.OwnProc has opened it).
type numbers struct {
	outer int // -1: the numbers are the same
	buf   [512]byte
}

// outerFDInfo is the descriptor on which the init of a pid namespace finds it.
const outerFDInfo = 4

func newNumbers() (*numbers, error) {
	n := &numbers{outer: -1}
	if !isInit() {
		return n, nil
	}
	n.outer = outerFDInfo
	unix.CloseOnExec(n.outer)
	self, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open a pidfd of the spawner: %w", err)
	}
	defer unix.Close(self)
	if n.outside(os.Getpid(), self) == 0 {
		return nil, errors.New("cannot tell which numbers processes have outside of the pid namespace (Linux 5.14 is needed)")
	}
	return n, nil
}

// isInit says whether the spawner is the init of a pid namespace, which main then
// has made for it.
func isInit() bool { return os.Getpid() == 1 }

// outside is the number of the pidfd's process, whose number here is given; 0 when
// the process has been reaped already.
func (n *numbers) outside(pid, pidfd int) int {
	if n.outer < 0 {
		return pid
	}
	fd, err := unix.Openat(n.outer, strconv.Itoa(pidfd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	k, err := unix.Read(fd, n.buf[:])
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(n.buf[:k]) {
		if text, ok := bytes.CutPrefix(line, []byte("Pid:\t")); ok {
			number, _ := strconv.Atoi(string(bytes.TrimSpace(text)))
			return max(number, 0) // -1: reaped
		}
	}
	return 0
}
