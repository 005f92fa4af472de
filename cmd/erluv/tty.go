package main

import (
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A tty is the terminal of a session: standard input, and standard output, which has its size. In
// raw mode all keys go to the program unchanged, even Ctrl-C. The program's terminal does the usual
// work of a terminal.
type tty struct {
	in, out int

	mu     sync.Mutex   // guards all below: a panic restores from any goroutine
	before unix.Termios // the original modes
	raw    bool
}

// isTerminal reports whether a file is a terminal.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// makeRaw puts the terminal into raw mode, as cfmakeraw(3) does.
func (t *tty) makeRaw() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, err := unix.IoctlGetTermios(t.in, unix.TCGETS)
	if err != nil {
		return os.NewSyscallError("tcgetattr", err)
	}
	if !t.raw {
		t.before = *now
	}
	now.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	now.Oflag &^= unix.OPOST
	now.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	now.Cflag = now.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	now.Cc[unix.VMIN], now.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(t.in, unix.TCSETS, now); err != nil {
		return os.NewSyscallError("tcsetattr", err)
	}
	t.raw = true
	return nil
}

// isRaw reports whether the terminal is in raw mode. A nil tty is not.
func (t *tty) isRaw() bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.raw
}

// restore restores the original modes. It may be called more than once, and on a nil tty.
func (t *tty) restore() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.raw {
		_ = unix.IoctlSetTermios(t.in, unix.TCSETS, &t.before) // if it fails, the terminal is gone
		t.raw = false
	}
}

// rescue restores the terminal if the goroutine that defers it panics, which ends the process.
func (t *tty) rescue() {
	if p := recover(); p != nil {
		t.restore()
		panic(p)
	}
}

// errNoSize is the error of a terminal that does not know its size, such as a serial line.
var errNoSize = errors.New("the terminal has no size")

// size returns the number of rows and columns.
func (t *tty) size() (rows, cols uint16, err error) {
	size, err := unix.IoctlGetWinsize(t.out, unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0, os.NewSyscallError("ioctl", err)
	}
	if size.Row == 0 || size.Col == 0 {
		return 0, 0, errNoSize
	}
	return size.Row, size.Col, nil
}

// isUTF8 reports whether the terminal treats input as UTF-8 when it erases characters.
func (t *tty) isUTF8() bool {
	now, err := unix.IoctlGetTermios(t.in, unix.TCGETS)
	return err == nil && now.Iflag&unix.IUTF8 != 0
}
