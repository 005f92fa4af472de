package workers

import (
	"errors"
	"fmt"

	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// Terminal is a pseudo-terminal (pty(7)): all three streams of a program, and its
// controlling terminal.
type Terminal struct {
	Rows, Cols uint16

	modes []func(*unix.Termios) // what is to differ from the kernel's settings
}

// terminalHolds is more than can be written to a terminal that nobody reads, in
// bytes. Measured: up to 22,048, with writes of 1 to 65,536 bytes.
const terminalHolds = 32 << 10

var errTerminal = errors.New("no terminal")

// terminal makes the terminal of a worker. The program's end is returned for
// stdin; stdout and stderr are copies of it.
//
// github.com/creack/pty is not used: it opens the program's end by its name, in
// whatever is mounted on /dev/pts, and both ends as os.File, whose Fd makes the
// descriptor blocking again.
func (s *Starter) terminal(w *Worker, st ipc.Stream) (ipc.Stream, int, error) {
	if st.FD != uint8(Stdin) {
		st.Source, st.Dup = ipc.SourceDup, uint8(Stdin)
		return st, -1, nil
	}
	ours, theirs, err := w.spec.Terminal.open()
	if err != nil {
		return ipc.Stream{}, -1, fmt.Errorf("%w: %w", errTerminal, err)
	}
	// One for each direction, so that each has its place in epoll. The terminal is
	// hung up when both are closed.
	second, err := unix.FcntlInt(uintptr(ours), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		ipc.CloseAll([]int{ours, theirs})
		return ipc.Stream{}, -1, fmt.Errorf("%w: %w", errTerminal, err)
	}
	w.tty = true
	w.in.fd, w.out[0].fd = int32(second), int32(ours)
	st.Source = ipc.SourceFD
	return st, theirs, nil
}

// newTerminal says whether the program has another terminal than the one that was made
// here, by the spawner: of its own user.
func (w *Worker) newTerminal() bool { return w.tty && w.starter.demand != nil }

// adoptTerminal takes over our end of it, and lets go of the one that was made here.
// Its size may have been changed since.
func (w *Worker) adoptTerminal(fd int) error {
	if size, err := unix.IoctlGetWinsize(int(w.in.fd), unix.TIOCGWINSZ); err == nil {
		_ = setSize(fd, size.Row, size.Col)
	}
	_, _ = unix.Close(int(w.in.fd)), unix.Close(int(w.out[0].fd))
	w.in.fd, w.out[0].fd = -1, int32(fd)
	second, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) // there is room: two were closed
	if err != nil {
		return fmt.Errorf("%w: %w", errTerminal, err)
	}
	w.in.fd = int32(second)
	return nil
}

// open makes a terminal: our end does not block, the program's does.
func (t *Terminal) open() (ours, theirs int, err error) {
	ours, err = eintr.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, -1, err
	}
	theirs = -1
	defer func() {
		if err != nil {
			_ = unix.Close(ours)
			if theirs >= 0 {
				_ = unix.Close(theirs)
			}
		}
	}()
	if err = unix.IoctlSetPointerInt(ours, unix.TIOCSPTLCK, 0); err != nil {
		return
	}
	if theirs, err = eintr.TerminalPeer(ours, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC); err != nil {
		return
	}
	settings, err := unix.IoctlGetTermios(theirs, unix.TCGETS2)
	if err != nil {
		return
	}
	for _, set := range t.modes {
		set(settings)
	}
	if err = unix.IoctlSetTermios(theirs, unix.TCSETS2, settings); err != nil {
		return
	}
	err = setSize(theirs, t.Rows, t.Cols)
	return
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
