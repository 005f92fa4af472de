package workers

import (
	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// Terminal is a pseudo-terminal (pty(7)): all three streams of a program, and its
// controlling terminal.
type Terminal struct {
	Rows, Cols uint16

	// Reopen: the program can open it by its name, and so can others of its user.
	Reopen bool

	clear, set ipc.Modes // what differs from the kernel's settings
	asked      [2]uint16 // rows and columns, of the spawner
}

// terminalHolds is more than can be written to a terminal that nobody reads, in
// bytes. Measured: up to 22,048, with writes of 1 to 65,536 bytes.
const terminalHolds = 32 << 10

// request is what the spawner is asked for.
func (t *Terminal) request() *ipc.Terminal {
	t.asked = [2]uint16{t.Rows, t.Cols}
	return &ipc.Terminal{Rows: t.Rows, Cols: t.Cols, Clear: t.clear, Set: t.set, Reopen: t.Reopen}
}

// haveTerminal takes over our end of the terminal, twice. It may have been resized since
// the spawner was asked for it.
func (w *Worker) haveTerminal(in, out int) {
	w.in.fd, w.out[0].fd = int32(in), int32(out)
	if t := w.spec.Terminal; t.asked != [2]uint16{t.Rows, t.Cols} {
		_ = setSize(out, t.Rows, t.Cols)
	}
}

// readable says whether there is something to read, in any stage.
func readable(tty int) bool {
	p := []unix.PollFd{{Fd: int32(tty), Events: unix.POLLIN}}
	err := eintr.Do(func() error {
		_, err := unix.Poll(p, 0)
		return err
	})
	return err != nil || p[0].Revents&unix.POLLIN != 0
}

func setSize(fd int, rows, cols uint16) error {
	return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
}

// Resize changes the size of the program's terminal; the program is told by
// SIGWINCH. ENOTTY when it has none, or none any more.
func (w *Worker) Resize(rows, cols uint16) error {
	if sp := w.spec; sp != nil && sp.Terminal != nil { // not started, or not made yet
		sp.Terminal.Rows, sp.Terminal.Cols = rows, cols
		if w.in.fd < 0 && w.life.state == Starting {
			return nil
		}
	}
	fd := max(w.in.fd, w.out[0].fd)
	if !w.tty || fd < 0 {
		return unix.ENOTTY
	}
	return setSize(int(fd), rows, cols)
}

// endOfInput is what has the program read the end of its input, after what was
// written to its terminal and ended with the byte last: VEOF (termios(3)). In the
// midst of a line the first one hands over what there is of the line; where last
// may or may not have ended it, for a second VEOF does no harm.
func endOfInput(tty int, last byte) []byte {
	t, err := unix.IoctlGetTermios(tty, unix.TCGETS)
	if err != nil {
		return nil
	}
	eof := t.Cc[unix.VEOF]
	switch {
	case eof == disabled:
		return nil // the program does not want to be told
	case t.Lflag&unix.ICANON == 0:
		return []byte{eof} // the program looks at each byte itself
	case last == '\n' || last == '\r' && t.Iflag&unix.ICRNL != 0:
		return []byte{eof}
	}
	return []byte{eof, eof}
}
