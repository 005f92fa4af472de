package main

import (
	"bufio"
	"os"
	"os/signal"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// A screen is a terminal that shows one picture after the other, and whose keys are read at once. It
// is as it was after close, however the process ends, but by SIGKILL.
type screen struct {
	in, out *os.File
	before  unix.Termios
	keys    chan byte
	resized chan os.Signal
	job     chan os.Signal
}

// The sequences are those that every terminal of today has (console_codes(4)).
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

// openScreen takes the terminal. nil: one of the two files is none.
func openScreen(in, out *os.File) *screen {
	before, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS)
	if err != nil || widthOf(out) == 0 {
		return nil
	}
	s := &screen{in: in, out: out, before: *before, keys: make(chan byte), resized: make(chan os.Signal, 1), job: make(chan os.Signal, 1)}
	signal.Notify(s.resized, unix.SIGWINCH)
	signal.Notify(s.job, unix.SIGTSTP)
	s.take()
	go s.read() // ends with the process: a read of a terminal cannot be broken off
	return s
}

// take sets the terminal up. The keys of signals stay what they are.
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

// stop is Ctrl-Z: the shell has the terminal until the process goes on. The signal goes to this thread:
// another one would let it run on for a moment, and take the terminal back.
func (s *screen) stop() {
	s.leave()
	runtime.LockOSThread()
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGSTOP)
	runtime.UnlockOSThread()
	s.take()
}

// size is how large the terminal is.
func (s *screen) size() (width, height int) {
	size, err := unix.IoctlGetWinsize(int(s.out.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 || size.Row == 0 {
		return 80, 24
	}
	return int(size.Col), int(size.Row)
}

// show shows lines, which are no wider than the terminal, in place of what was there.
func (s *screen) show(lines []string) error {
	_, err := s.out.WriteString(toTop + strings.Join(lines, restOfLine+"\r\n") + restOfLine + restBelow)
	return err
}
