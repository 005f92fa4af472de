package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"time"

	"erluv/control"
	"erluv/wire/client"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"golang.org/x/sys/unix"
)

// A session is a program at an erluv that has the standard streams of this process. The session
// writes each chunk to the other side before it reads more. So the slower side sets the pace, and
// the session holds at most one chunk of each stream.
type session struct {
	c        *connection
	worker   etf.Pid
	terminal *tty // nil: the program has none
	in       io.Reader
	out, err io.Writer

	ends    chan etf.Tuple // the end of the program, once
	crashed chan struct{}  // closed if the program has ended with the child
	once    sync.Once

	suspended bool // stopped by a SIGTSTP, while the terminal was in raw mode
}

// piece is how many bytes are requested at once: the capacity of a pipe.
const piece = 64 << 10

func newSession(terminal *tty) *session {
	return &session{
		terminal: terminal, in: os.Stdin, out: os.Stdout, err: os.Stderr,
		ends:    make(chan etf.Tuple, 1), // the reader of the connection does not wait
		crashed: make(chan struct{}),
	}
}

// deliver takes the messages of the program's worker that are not answers.
func (s *session) deliver(message etf.Term) {
	defer s.terminal.rescue()
	t, _ := message.(etf.Tuple)
	if len(t) == 3 && t[0] == etf.Atom("EXIT") && t[2] == etf.Atom("child_crashed") {
		s.once.Do(func() { close(s.crashed) })
	}
	if len(t) != 2 {
		return
	}
	end, _ := t[1].(etf.Tuple)
	if len(end) < 2 || end[0] != etf.Atom("exit_status") && end[0] != etf.Atom("signal") {
		return
	}
	select {
	case s.ends <- end:
	default: // there is only one end
	}
}

// start makes erluv start the program.
func (s *session) start(ctx context.Context, request etf.Term, program string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, lookBound, fmt.Errorf("erluv has not answered within %v", lookBound))
	defer cancel()
	answer, err := s.c.Call(ctx, gen.Manager, request)
	t, _ := answer.(etf.Tuple)
	switch {
	case err != nil:
		return statusError{err, statusNotStarted}
	case len(t) == 2 && t[0] == etf.Atom("error"):
		return notStarted(program, t[1])
	}
	worker, ok := t[len(t)-1].(etf.Pid)
	if !ok || t[0] != etf.Atom("ok") {
		return statusError{errors.New("erluv answers with something else than a worker"), statusNotStarted}
	}
	s.worker = worker
	return nil
}

// errLost says that the connection, or the child, has ended before the program.
var errLost = errors.New("lost")

// run passes on data until the program has ended and its output is written. With raw the terminal
// is in raw mode meanwhile.
func (s *session) run(ctx context.Context, raw bool) (end etf.Tuple, err error) {
	defer s.terminal.restore()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	signals := make(chan os.Signal, 16) // for signals that come while one is handled
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE, unix.SIGWINCH, unix.SIGTSTP, unix.SIGCONT)
	defer signal.Stop(signals)
	if raw {
		if err := s.terminal.makeRaw(); err != nil {
			return nil, statusError{fmt.Errorf("cannot put the terminal into raw mode: %w", err), statusLost}
		}
	}
	output := make(chan error, 2)
	streams := []struct {
		name etf.Atom
		to   io.Writer
	}{{"stdout", s.out}, {"stderr", s.err}}
	if s.terminal != nil {
		streams = streams[:1] // a terminal is one stream
	}
	for _, stream := range streams {
		go func() { // ends with the stream, or the process
			defer s.terminal.rescue()
			output <- s.copyOut(ctx, stream.name, stream.to)
		}()
	}
	go func() { // ends with standard input, or the process
		defer s.terminal.rescue()
		s.copyIn(ctx)
	}()
	s.resize(ctx) // the size may have changed since the start
	interrupted, gone := false, s.c.Done()
	for left := len(streams); left > 0 || end == nil; {
		select {
		case end = <-s.ends:
		case err := <-output:
			if err != nil {
				return nil, err
			}
			left--
		case <-s.crashed:
			return nil, errLost
		case <-gone:
			gone = nil
			select {
			case end = <-s.ends: // erluv has ended in order
			default:
			}
			if end == nil {
				return nil, errLost
			}
		case sig := <-signals:
			if sig == unix.SIGINT && s.terminal == nil && !interrupted {
				interrupted = true
				go s.tell(ctx, etf.Tuple{etf.Atom("signal"), etf.Atom("group"), etf.Atom("sigint")}) // ends with the call
				continue
			}
			if err := s.signalled(ctx, sig.(unix.Signal)); err != nil {
				return nil, err
			}
		}
	}
	return end, nil
}

// signalled handles a signal to this command. An error ends the command, and the program ends with
// it, as with any owner.
func (s *session) signalled(ctx context.Context, sig unix.Signal) error {
	switch sig {
	case unix.SIGWINCH:
		s.resize(ctx)
		return nil
	case unix.SIGTSTP: // from another process, since typed keys go to the program
		s.suspended = s.terminal.isRaw()
		s.terminal.restore()
		_ = unix.Kill(unix.Getpid(), unix.SIGSTOP) // stops all threads, this one perhaps a moment later
		return nil
	case unix.SIGCONT: // after that, or after a SIGSTOP, during which a shell may have changed it
		if s.suspended || s.terminal.isRaw() {
			_ = s.terminal.makeRaw() // if it fails, the terminal is gone, which standard input shows
			s.resize(ctx)
		}
		s.suspended = false
		return nil
	}
	return silentError{statusOfSignal + int(sig)}
}

// copyOut writes a stream of the program until it ends.
func (s *session) copyOut(ctx context.Context, stream etf.Atom, to io.Writer) error {
	for {
		answer, err := s.c.Call(ctx, s.worker, etf.Tuple{etf.Atom("read"), stream, int64(piece)})
		if err != nil {
			return nil // the program has ended, or the connection, which is noticed elsewhere
		}
		data, ok := answer.(etf.Tuple)
		if !ok || len(data) != 2 || data[0] != etf.Atom("ok") {
			return nil // eof
		}
		bytes, _ := data[1].(etf.Binary)
		if _, err := to.Write(bytes); err != nil {
			if errors.Is(err, unix.EPIPE) {
				return silentError{statusOfSignal + int(unix.SIGPIPE)}
			}
			return statusError{fmt.Errorf("cannot write what the program says: %w", err), statusFailure}
		}
	}
}

// copyIn gives standard input to the program until one of them ends.
func (s *session) copyIn(ctx context.Context) {
	buf := make([]byte, piece)
	for {
		n, err := s.in.Read(buf)
		if n > 0 {
			answer, err := s.c.Call(ctx, s.worker, etf.Tuple{etf.Atom("write"), etf.Binary(buf[:n])})
			if err != nil || answer != etf.Atom("ok") {
				return // the program takes no more
			}
		}
		if err != nil {
			s.tell(ctx, etf.Tuple{etf.Atom("close"), etf.Atom("stdin")})
			return
		}
	}
}

// tell makes a call whose answer is not needed.
func (s *session) tell(ctx context.Context, request etf.Term) {
	defer s.terminal.rescue()
	_, _ = s.c.Call(ctx, s.worker, request)
}

// resize gives the program's terminal the size of this one.
func (s *session) resize(ctx context.Context) {
	if s.terminal == nil {
		return
	}
	if rows, cols, err := s.terminal.size(); err == nil {
		go s.tell(ctx, etf.Tuple{etf.Atom("resize"), int64(rows), int64(cols)}) // ends with the call
	}
}

// lost returns why a connection has ended.
func (e *execCommand) lost(before *connection) error {
	if why := e.fate(before); why != "" {
		return fmt.Errorf("%s: the program ended with it, and how is not known", why)
	}
	return fmt.Errorf("the connection to erluv is lost (%w): the program ends with it", before.Err())
}

// fate returns what has happened to an erluv whose connection has ended, or "" if that cannot be
// known. It checks whether erluv still runs.
func (o *operator) fate(before *connection) string {
	const crashed = "erluv's child has crashed"
	if before.Err() == nil { // --at: the connection has outlived the child
		return crashed
	}
	ctx, cancel := context.WithTimeout(context.Background(), againBound)
	defer cancel()
	again, err := o.connect(ctx, nil)
	if err == nil {
		defer again.Close()
		_, err = look(ctx, again, gen.Manager, etf.Tuple{etf.Atom("info"), etf.Atom("node")})
	}
	switch exit := (*client.Exit)(nil); {
	case o.at == "" && (err == nil || errors.Is(err, errNoChild) || errors.As(err, &exit)):
		return crashed
	case errors.Is(err, control.ErrNobody):
		return "erluv has ended"
	}
	return ""
}

// againBound bounds that check.
const againBound = 5 * time.Second
