// Package spawner is erluv_spawner: it starts programs, reaps them and their orphans, and ends all
// of them with itself. It does nothing else.
//
// It exists because a sandbox is inherited. erluv_child reads from the network, and can be confined
// more tightly than a parent of programs could be. The spawner reads typed requests from the child
// only. A program's bytes never pass through it, because its streams and its pidfd belong to the
// child. The spawner holds few descriptors, so a start costs the same with any number of programs
// (fork copies the table).
//
// It runs as the worker's user, with no_new_privs, so no program can become more than it is. Each
// user has a spawner. Where main may (contain in erluv.conf(5)), the spawner is the init of a pid
// namespace. The kernel then ends every process inside when the spawner ends, in any way.
//
//	spawner.go     the role, and its requests
//	program.go     a program: its files, its environment, where it is found
//	fork.go        vfork, and the calls of the new process up to its exec
//	fork_other.go  package syscall's fork, on other architectures
//	byexec.go      the spawner's side of the role become
//	exec.go        the role become: a process sets attributes and becomes the program
//	attributes.go  attributes of a program
//	confine.go     its domain of Landlock, and its filter
//	deny.go        the filter that programs inherit, and the thread without it
//	spare.go       rules that protect control groups without a keeper
//	keeper.go      acting as the user to whom control groups belong
//	leaves.go      control groups, one for each program; signals by them
//	limits.go      control groups with limits
//	tidy.go        the removal of unused control groups
//	reap.go        reaping, signals to groups, and the end of everything
//	short.go       what happens when descriptors run out
//	file.go        files for output, safe from other users
//	log.go         files that are rotated
//	upload.go      the role upload, which writes a file from a node
//	notify.go      sockets for sd_notify(3)
//	terminal.go    terminals
//	user.go        users that are refused; a signal for another user's process
//	numbers.go     numbers of processes inside and outside of a pid namespace
//	pulse.go       main's questions, and main's end
//	dump.go        the spawner's state in the log
package spawner

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"erluv/ipc"
	"erluv/sandbox"
	"erluv/slack"

	"golang.org/x/sys/unix"
)

// slackWorth is the number of starts after which the spawner gives memory back. Their garbage is
// about a quarter of a megabyte.
const slackWorth = 256

// startTimeout bounds the conversation with main before the spawner serves.
const startTimeout = 30 * time.Second

// Main is the role. It speaks with main on descriptor 3, then serves the child until the child is
// gone. Then it ends every process that it started.
func Main() error {
	// The spawner ends with the child, which first ends the programs in order. Signals that a
	// terminal or a service manager sends to all processes must not end it before. It catches
	// these, because programs would inherit an ignored signal.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGTERM)
	var asked atomic.Pointer[spawner] // the spawner to dump; nil: it does not serve yet
	ipc.AtQuit(func() {
		if s := asked.Load(); s != nil {
			s.dump()
		}
	})
	// The kernel sends a program's PDEATHSIG at the end of the thread that started it (prctl(2)).
	// This thread lasts as long as the process.
	runtime.LockOSThread()
	up, err := ipc.Begin(ipc.RoleSpawner)
	if err != nil {
		return err
	}
	s, err := start(up)
	if err != nil {
		return up.Fail(err, startTimeout)
	}
	if err := up.Send(ipc.Append(nil, ipc.Ready{}), startTimeout); err != nil {
		return fmt.Errorf("cannot tell main that the spawner is ready: %w", err)
	}
	close(s.ready)
	asked.Store(s)
	err = s.serve()
	s.leaves.thaw()
	s.endAll()
	s.notify.close()
	return err
}

// spawner owns the conversation with the child. One thread reads it and starts programs. Where the
// kernel needs a reporter, a second thread reaps.
type spawner struct {
	child *ipc.Conn
	log   *ipc.Logger
	path  []string
	buf   []byte // the packet being read
	out   []byte // the packet being composed

	domain  int // Landlock rules for each program, or -1
	spare   spare
	open    *openThread
	notify  notifySockets
	leaves  *leaves
	limits  *limiter
	few     bool // only programs with limits get a leaf
	reports bool
	// answering is held for the whole of a request. So a process's Changed cannot come before its
	// Spawned.
	answering sync.Mutex
	started   chan struct{} // tells the reporter that there is a process to wait for
	ready     chan struct{} // closed once the spawner has sent Ready to main
	rounds    atomic.Uint64 // odd while a request is served: see answerMain
	slack     slack.Slack
}

func start(up *ipc.Conn) (*spawner, error) {
	if err := becomeParent(); err != nil {
		return nil, err
	}
	msg, fds, log, err := ipc.Greet(up, ipc.RoleSpawner, 1, startTimeout)
	if err != nil {
		return nil, err
	}
	st, ok := msg.(ipc.StartSpawner)
	if !ok {
		ipc.CloseAll(fds)
		return nil, fmt.Errorf("main sent %T instead of a start", msg)
	}
	child, err := ipc.FromFD(fds[0])
	if err != nil {
		ipc.CloseAll(fds)
		return nil, err
	}
	ipc.Trace(up, log.Logger, "main")
	ipc.Trace(child, log.Logger, "child")
	leaves, err := newLeaves(st.Leaves)
	if err != nil {
		return nil, err
	}
	limits, err := newLimiter(st.Limits, st.Leaves)
	if err != nil {
		return nil, err
	}
	s := &spawner{slack: slack.Slack{Worth: slackWorth, After: slack.Timers}, child: child, log: log, path: st.Path, leaves: leaves, limits: limits, few: st.Few, buf: make([]byte, ipc.MaxPacket), reports: st.Reports, started: make(chan struct{}, 1), ready: make(chan struct{})}
	rules, err := confine(&ipc.Confine{Scope: st.Scope})
	if err != nil {
		return nil, fmt.Errorf("cannot keep programs apart: %w", err)
	}
	s.domain = rules.rules
	if s.spare, err = newSpare(st.Spare); err != nil {
		return nil, fmt.Errorf("cannot keep programs from control groups: %w", err)
	}
	if st.Deny {
		if s.open, err = denyOrdinary(); err != nil {
			return nil, err
		}
	}
	if err := s.bind(up, s.endSignal()); err != nil {
		return nil, err
	}
	if s.reports {
		go s.report() // ends with the process
	} else {
		s.watchJobs()
		if err := reapByKernel(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// becomeParent prepares the process to be the parent of programs. It becomes undumpable, so that
// workers, which run as the same user, can neither trace it nor read its memory. It becomes a
// subreaper, so that orphans of programs become its children. It then can reap them, and find them
// at the end. The init of a pid namespace is a subreaper anyway.
func becomeParent() error {
	if err := sandbox.NotDumpable(); err != nil {
		return err
	}
	if isInit() {
		return keepOuterProc()
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot make the spawner a subreaper: %w", err)
	}
	if _, err := children(); err != nil {
		return fmt.Errorf("cannot see what the programs leave behind: %w", err)
	}
	return nil
}

// serve answers the child's requests one by one, until the child is gone. A malformed request means
// a defect of the child, or worse: the spawner ends, and everything with it.
func (s *spawner) serve() error {
	tidied := false
	for {
		n, fds, err := s.child.Recv(s.buf, s.leaves.rest(tidied))
		if tidied = errors.Is(err, os.ErrDeadlineExceeded); tidied {
			s.tidy()
			continue
		}
		switch {
		case err == nil:
			err = s.request(s.buf[:n], fds)
			ipc.CloseAll(fds)
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, ipc.ErrNoRoom):
			err = s.cannotTake(s.buf[:n])
		default:
			return fmt.Errorf("cannot read from the child: %w", err)
		}
		if errors.Is(err, unix.EPIPE) {
			return nil // the child has ended meanwhile
		}
		if err != nil {
			return err
		}
	}
}

func (s *spawner) request(p []byte, fds []int) error {
	msg, err := ipc.Decode(p)
	if err != nil {
		return err
	}
	s.rounds.Add(1)
	defer s.rounds.Add(1)
	s.answering.Lock()
	defer s.answering.Unlock()
	switch m := msg.(type) {
	case *ipc.Spawn:
		return s.spawn(m, fds)
	case ipc.SpawnInMemfd:
		if len(fds) == 0 {
			return errors.New("a long spawn request without its memfd")
		}
		last := len(fds) - 1
		full, err := ipc.UnpackSpawn(m, fds[last])
		if err != nil {
			return err
		}
		return s.spawn(full, fds[:last])
	case ipc.Rotate:
		fd, err := rotate(m)
		if err != nil {
			return s.answer(ipc.Rotated{Seq: m.Seq, Errno: uint32(ipc.ErrnoOf(err))})
		}
		defer unix.Close(fd)
		err = s.answer(ipc.Rotated{Seq: m.Seq}, fd)
		if errors.Is(err, ipc.ErrInFlight) {
			err = s.answer(ipc.Rotated{Seq: m.Seq, Errno: uint32(unix.ETOOMANYREFS)})
		}
		return err
	case ipc.Release:
		s.leaves.release(m)
		s.limits.release(m.Limited)
		return nil
	case ipc.Forget:
		s.notify.forget(m.Seq)
		return nil
	case ipc.SignalGroup:
		return s.answer(ipc.GroupSignalled{PID: m.PID, Errno: uint32(s.signal(m, fds))})
	}
	return fmt.Errorf("the child sent %T, which is no request", msg)
}

// spawn starts one program and answers.
func (s *spawner) spawn(m *ipc.Spawn, fds []int) error {
	if m.Refused != "" {
		return s.answer(ipc.Spawned{Seq: m.Seq, Refusal: ipc.Refusal{Stage: ipc.StageUser, Errno: lookFor(m.Refused)}})
	}
	at, no := s.place(&m.Attributes.Limits)
	if no != nil {
		return s.answer(ipc.Spawned{Seq: m.Seq, Refusal: *no})
	}
	is, child, no := s.startProgram(m, fds, &at)
	s.leaves.close(at.leaf)
	at.close()
	// Once the child learns of the program, only the program has its ends of the pipes.
	ipc.CloseAll(fds)
	for i := range fds {
		fds[i] = -1
	}
	if no != nil {
		s.leaves.give(at.leaf.number)
		s.limits.undo(&at)
		return s.answer(ipc.Spawned{Seq: m.Seq, Refusal: *no})
	}
	handles := child.List()
	defer ipc.CloseAll(handles)
	s.toReap()
	s.slack.Happened()
	err := s.answer(ipc.Spawned{Seq: m.Seq, PID: uint32(is.pid), OSPID: uint32(is.outside), Leaf: at.leaf.number, Limited: at.number}, handles...)
	if errors.Is(err, ipc.ErrInFlight) {
		s.takeBack(m, is.pid, child.Process, &at)
		err = s.answer(ipc.Spawned{Seq: m.Seq, Refusal: ipc.Refusal{Stage: ipc.StageProgram, Errno: unix.ETOOMANYREFS}})
	}
	return err
}

// place prepares a program's place.
func (s *spawner) place(limits *ipc.Limits) (at site, no *ipc.Refusal) {
	at.leaf.fd = -1
	var err error
	if s.limits.inLeaf(limits) {
		at.leaf, err = s.leaves.takeFresh()
	} else if !s.few {
		at.leaf, err = s.leaves.take()
	}
	if err != nil {
		return at, &ipc.Refusal{Stage: ipc.StageProgram, Errno: ipc.ErrnoOf(err)}
	}
	at.enter, at.leaf.enter = at.leaf.enter, nil
	if no = s.limits.take(limits, &at); no != nil {
		s.leaves.close(at.leaf)
		s.leaves.give(at.leaf.number)
	}
	return at, no
}

// toReap wakes the reporter.
func (s *spawner) toReap() {
	select {
	case s.started <- struct{}{}:
	default:
	}
}

// answer sends one message to the child. It may wait for room: the child never waits for the
// spawner, so it always reads on. The error is ErrInFlight if the descriptors could not be sent for
// inFlightBound.
func (s *spawner) answer(m ipc.Message, fds ...int) error {
	s.out = ipc.Append(s.out[:0], m)
	err := s.child.Send(s.out, 0, fds...)
	for end := time.Now().Add(inFlightBound); errors.Is(err, ipc.ErrInFlight) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
		err = s.child.Send(s.out, 0, fds...)
	}
	if err != nil {
		return fmt.Errorf("cannot answer the child: %w", err)
	}
	return nil
}
