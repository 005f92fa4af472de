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

// numbers are a process's two numbers: with the spawner, and outside, which erluv's users see. They
// differ when the spawner is the init of a pid namespace.
type numbers struct{ pid, outside int }

// outerProc is the descriptor of the outside /proc in the init of a pid namespace (sandbox.OwnProc
// has opened it). Each new process reads its number outside from the link self there (proc(5)),
// before its exec.
const outerProc = 4

// maxNumber is more than the digits of any process number.
const maxNumber = 16

// isInit reports whether the spawner is the init of a pid namespace. Main has then made that
// namespace.
func isInit() bool { return os.Getpid() == 1 }

// keepOuterProc checks the descriptor, and makes it close-on-exec, so that programs do not get it.
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

// number parses the text of the link self; 0: not a number.
func number(text []byte) int {
	n, _ := strconv.Atoi(string(bytes.TrimRight(text, "\x00")))
	return n
}
