package workers

import (
	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// Terminal is a pseudo-terminal (pty(7)). It is all three streams of a program, and its controlling
// terminal.
type Terminal struct {
	Rows, Cols uint16

	// Reopen lets the program, and other programs of its user, open the terminal by its name.
	Reopen bool

	clear, set ipc.Modes // changes to the kernel's default settings
	asked      [2]uint16 // rows and columns as requested from the spawner
}

// terminalHolds is more than an unread terminal can hold, in bytes. Measured: up to 22,048, with
// writes of 1 to 65,536 bytes.
const terminalHolds = 32 << 10

// request is the terminal's part of the request to the spawner.
func (t *Terminal) request() *ipc.Terminal {
	t.asked = [2]uint16{t.Rows, t.Cols}
	return &ipc.Terminal{Rows: t.Rows, Cols: t.Cols, Clear: t.clear, Set: t.set, Reopen: t.Reopen}
}

// haveTerminal takes over two descriptors of our end. The terminal may have been resized since the
// request.
func (w *Worker) haveTerminal(in, out int) {
	w.in.fd, w.out[0].fd = int32(in), int32(out)
	if t := w.spec.Terminal; t.asked != [2]uint16{t.Rows, t.Cols} {
		_ = setSize(out, t.Rows, t.Cols)
	}
}

// readable reports whether there are bytes to read, in any of the kernel's buffers.
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

// Resize changes the size of the program's terminal. The kernel notifies the program by SIGWINCH.
// Resize returns ENOTTY if the program has no terminal, or none any more.
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

// endOfInput returns the bytes that make the program read the end of its input: VEOF (termios(3)).
// last is the last byte written to the terminal. In the middle of a line, the first VEOF only
// delivers the line so far, so a second one follows. A needless second VEOF does no harm.
func endOfInput(tty int, last byte) []byte {
	t, err := unix.IoctlGetTermios(tty, unix.TCGETS)
	if err != nil {
		return nil
	}
	eof := t.Cc[unix.VEOF]
	switch {
	case eof == disabled:
		return nil // the program has disabled VEOF
	case t.Lflag&unix.ICANON == 0:
		return []byte{eof} // the program interprets each byte itself
	case last == '\n' || last == '\r' && t.Iflag&unix.ICRNL != 0:
		return []byte{eof}
	}
	return []byte{eof, eof}
}
