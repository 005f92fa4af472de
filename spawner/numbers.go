package spawner

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// numbers are those of a process: with the spawner, and where erluv's users count.
// They differ when the spawner is the init of a pid namespace.
type numbers struct{ pid, outside int }

// outerProc is the descriptor on which the init of a pid namespace finds the /proc
// outside (sandbox.OwnProc has opened it). What a process reads there in the link self
// (proc(5)) is its number outside: each new one does so before it is a program.
const outerProc = 4

// maxNumber is how many digits the number of a process has at most, and room.
const maxNumber = 16

// isInit says whether the spawner is the init of a pid namespace, which main then
// has made for it.
func isInit() bool { return os.Getpid() == 1 }

// keepOuterProc looks whether the descriptor is what it should be, and keeps the
// programs from having it.
func keepOuterProc() error {
	if !knowsOutside {
		return errors.New("there is no way yet to tell the numbers outside of a pid namespace on this architecture")
	}
	unix.CloseOnExec(outerProc)
	var text [maxNumber]byte
	if _, err := eintr.Readlinkat(outerProc, "self", text[:]); err != nil {
		return fmt.Errorf("cannot look up the numbers outside of the pid namespace: %w", err)
	}
	return nil
}

// number is what was read from self, or 0.
func number(text []byte) int {
	n, _ := strconv.Atoi(string(bytes.TrimRight(text, "\x00")))
	return n
}
