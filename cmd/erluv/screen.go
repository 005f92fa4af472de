package main

import (
	"bufio"
	"os"
	"os/signal"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// A screen is a terminal that shows one picture after the other, and reads each key at once. After
// close it is as before. Only SIGKILL leaves it changed.
type screen struct {
	in, out *os.File
	before  unix.Termios
	keys    chan byte
	resized chan os.Signal
	job     chan os.Signal
}

// All present terminals know these sequences (console_codes(4)).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[2J" // the other screen, no cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	toTop       = "\x1b[H"
	restOfLine  = "\x1b[K"
	restBelow   = "\x1b[J"
	bold        = "\x1b[1m"
	dim         = "\x1b[2m"
	inverse     = "\x1b[7m"
	plain       = "\x1b[m"
)

// openScreen takes the terminal. It returns nil if one of the two files is not a terminal.
func openScreen(in, out *os.File) *screen {
	before, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS)
	if err != nil || widthOf(out) == 0 {
		return nil
	}
	s := &screen{in: in, out: out, before: *before, keys: make(chan byte), resized: make(chan os.Signal, 1), job: make(chan os.Signal, 1)}
	signal.Notify(s.resized, unix.SIGWINCH)
	signal.Notify(s.job, unix.SIGTSTP)
	s.take()
	go s.read() // ends with the process: a read of a terminal cannot be interrupted
	return s
}

// take sets up the terminal. The keys for signals keep their effect.
func (s *screen) take() {
	raw := s.before
	raw.Lflag &^= unix.ICANON | unix.ECHO
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	_ = unix.IoctlSetTermios(int(s.in.Fd()), unix.TCSETSF, &raw)
	_, _ = s.out.WriteString(enterScreen)
}

func (s *screen) leave() {
	_, _ = s.out.WriteString(leaveScreen)
	_ = unix.IoctlSetTermios(int(s.in.Fd()), unix.TCSETSF, &s.before)
}

func (s *screen) close() {
	signal.Stop(s.resized)
	signal.Stop(s.job)
	s.leave()
}

func (s *screen) read() {
	in := bufio.NewReader(s.in)
	for {
		key, err := in.ReadByte()
		if err != nil {
			close(s.keys)
			return
		}
		s.keys <- key
	}
}

// stop handles Ctrl-Z: the shell has the terminal until the process goes on. The signal goes to
// this thread. Another thread would let it run on for a moment and take the terminal back.
func (s *screen) stop() {
	s.leave()
	runtime.LockOSThread()
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGSTOP)
	runtime.UnlockOSThread()
	s.take()
}

// size returns the size of the terminal.
func (s *screen) size() (width, height int) {
	size, err := unix.IoctlGetWinsize(int(s.out.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 || size.Row == 0 {
		return usualWidth, 24
	}
	return int(size.Col), int(size.Row)
}

// show replaces the picture with lines that are no wider than the terminal.
func (s *screen) show(lines []string) error {
	_, err := s.out.WriteString(toTop + strings.Join(lines, restOfLine+"\r\n") + restOfLine + restBelow)
	return err
}
