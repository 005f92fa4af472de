package crew

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"erluv/eintr"
	"erluv/ipc"
	"erluv/mainproc/permit"
	"erluv/sandbox"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"golang.org/x/sys/unix"
)

// self is the running binary, even if its file was replaced or removed.
const self = "/proc/self/exe"

// answerBound is how long a role may take for each answer until it serves. On a machine where
// eighty processes wanted its two processors, the exec alone has taken 5 s.
const answerBound = 20 * time.Second

// starter is the one thread that starts processes. The kernel kills a role at the end of the thread
// that has started it (prctl(2), PR_SET_PDEATHSIG). So this thread lives until close.
//
// It is also the one thread of main in the domain of the roles (Parts.Enclose). Main's other
// threads can signal any process.
type starter struct {
	jobs  chan func()
	parts sandbox.Parts // the confinement of the roles
	log   *slog.Logger  // for their lines; nil: none are logged

	mu     sync.Mutex
	relays map[int]bool // by pid: those that were not reaped
}

func newStarter(parts sandbox.Parts) (*starter, error) {
	s := &starter{jobs: make(chan func()), parts: parts, relays: make(map[int]bool)}
	go func() { // ends with close
		runtime.LockOSThread() // never unlocked, so the thread ends too
		for job := range s.jobs {
			job()
		}
	}()
	var err error
	s.do(func() { err = parts.Enclose() })
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *starter) do(job func()) {
	done := make(chan struct{})
	s.jobs <- func() {
		defer close(done)
		job()
	}
	<-done
}

func (s *starter) close() { close(s.jobs) }

// isRelay reports whether a process is a relay that was not reaped. The answer is right even for a
// new child, because start holds the lock from before the fork.
func (s *starter) isRelay(pid int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.relays[pid]
}

// forget is called when a relay was reaped.
func (s *starter) forget(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.relays, pid)
}

// process is a role from main's side. It belongs to a crew. One goroutine at a time uses it, except
// for say, kill and hangUp.
type process struct {
	role  ipc.Role
	pid   int
	init  bool // of a pid namespace, where it is process 1
	pidfd int
	seals int // system call filters that it must have
	conn  *ipc.Conn
	file  *os.File // owns the descriptor of conn if the runtime waits for it; or nil
	buf   []byte   // one packet
	heard permit.Hearing

	log    *slog.Logger
	logged *logged // nil: its lines are not logged

	dying bool  // its end of the conversation is closed: see Crew.await
	pulse pulse // of a spawner or a relay
	hung  bool  // it was ended because it did not answer

	saying sync.Mutex // held by say, which two goroutines call once the child serves

	// Once it was reaped:
	ws  syscall.WaitStatus
	end error // the same in words
}

// start starts a role through the stage, which gives it the identity. The role gets a session of
// its own, so that signals of a terminal (^C) reach main only. It gets an empty environment, and
// only these four descriptors.
func (s *starter) start(role ipc.Role, id sandbox.Identity, by containment) (*process, error) {
	null, err := eintr.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open /dev/null: %w", err)
	}
	defer unix.Close(null)
	ours, theirs, err := ipc.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	ours.NoDescriptors()
	p := &process{role: role, init: by.pidns, pidfd: -1, conn: ours, buf: make([]byte, ipc.MaxPacket), log: s.log, pulse: newPulse(time.Now())}
	p.heard.Who = permit.Speakers[role]
	if p.log != nil {
		ipc.Trace(ours, p.log, role.String())
	}
	if s.parts.Has(sandbox.Seccomp) {
		p.seals = 1
	}
	parent, sys := by.attr()
	sys.Setsid, sys.PidFD = true, &p.pidfd
	argv := []string{
		"erluv", "stage", role.String(),
		strconv.FormatUint(uint64(id.UID), 10), strconv.FormatUint(uint64(id.GID), 10), strconv.Itoa(parent),
		strconv.Itoa(int(s.parts)),
	}
	if rest := restOf(id); rest != "" {
		argv = append(argv, rest)
	}
	s.do(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		p.pid, err = syscall.ForkExec(self, argv, &syscall.ProcAttr{
			Files: []uintptr{uintptr(null), uintptr(null), 2, uintptr(theirs.FD())},
			Sys:   sys,
		})
		if err == nil && role == ipc.RoleRelay {
			s.relays[p.pid] = true
		}
	})
	if err == nil && p.pidfd < 0 {
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
		_ = p.reap()
		s.forget(p.pid)
		err = errors.New("the kernel has no pidfds (Linux 5.4 or later is needed)")
	}
	if err != nil {
		_ = ours.Close()
		return nil, fmt.Errorf("cannot start the %s: %w", role, err)
	}
	return p, nil
}

// raiseFiles restores the soft limit of descriptors to the hard one, where the Go runtime had
// raised it. Main needs descriptors after a role's end. It reports whether another process had
// lowered the limit (prlimit(1)). The call is raw. After any other call the runtime would start
// processes with the new limit, instead of the one that this process was started with.
func raiseFiles() bool {
	prlimit := func(set, get *unix.Rlimit) bool {
		_, _, e := unix.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(get)), 0, 0)
		return e == 0
	}
	var limit unix.Rlimit
	if !prlimit(nil, &limit) || limit.Cur == limit.Max {
		return false
	}
	limit.Cur = limit.Max
	return prlimit(&limit, nil)
}

// say sends a message without waiting. A role that does not read does not get it.
func (p *process) say(m ipc.Message, fds ...int) error {
	p.saying.Lock()
	defer p.saying.Unlock()
	return p.conn.TrySend(ipc.Append(nil, m), fds...)
}

// tell is a say that waits up to answerBound, and lets other goroutines speak meanwhile.
func (p *process) tell(m ipc.Message, fds ...int) error {
	for end := time.Now().Add(answerBound); ; time.Sleep(time.Millisecond) {
		err := p.say(m, fds...)
		if !errors.Is(err, ipc.ErrFull) || time.Now().After(end) {
			return err
		}
	}
}

// greet waits for the role's Hello, and checks its identity and confinement.
func (p *process) greet(id sandbox.Identity) error {
	m, err := p.recv()
	if err != nil {
		return err
	}
	hello := m.(ipc.Hello) // all other messages are not permitted
	pid := p.pid
	if p.init {
		pid = 1
	}
	if hello.Version != ipc.Version || hello.Role != p.role || hello.PID != uint32(pid) {
		return fmt.Errorf("the %s says it is the %s, process %d, version %d; it is process %d, and the version is %d",
			p.role, hello.Role, hello.PID, hello.Version, pid, ipc.Version)
	}
	err = sandbox.Check(p.pid, id, p.seals)
	if errors.Is(err, sandbox.ErrEnded) {
		return fmt.Errorf("before it served: %w", p.hungUp())
	}
	if err != nil {
		return fmt.Errorf("the %s must not run: %w", p.role, err)
	}
	return p.giveLog()
}

// serve sends the role its settings, and waits until it serves.
func (p *process) serve(m ipc.Message, fds ...int) error {
	if err := p.send(m, fds...); err != nil {
		return err
	}
	return p.ready()
}

// send sends the role a part of its settings.
func (p *process) send(m ipc.Message, fds ...int) error {
	err := p.conn.Send(ipc.Append(nil, m), answerBound, fds...)
	if errors.Is(err, unix.EPIPE) { // its last message may say why
		return cmp.Or(p.ready(), fmt.Errorf("the %s has closed its conversation", p.role))
	}
	if err != nil {
		return fmt.Errorf("cannot talk to the %s: %w", p.role, err)
	}
	return nil
}

// ready waits until the role, which has its settings, serves.
func (p *process) ready() error {
	p.heard.At = permit.AtStart
	_, err := p.recv() // Ready
	return err
}

// recv reads the role's next message, for at most answerBound. A Failed becomes an error with its
// text.
func (p *process) recv() (ipc.Message, error) {
	m, err := p.hear(answerBound)
	if failed, ok := m.(ipc.Failed); ok {
		return nil, fmt.Errorf("the %s cannot serve: %s", p.role, permit.Printable(failed.Text))
	}
	return m, err
}

// hear reads the role's next message, for at most bound.
func (p *process) hear(bound time.Duration) (ipc.Message, error) {
	n, _, err := p.conn.Recv(p.buf, bound)
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("before it served: %w", p.hungUp())
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("the %s did not answer within %v", p.role, bound)
	case err != nil:
		return nil, fmt.Errorf("cannot listen to the %s: %w", p.role, err)
	}
	return p.heard.Hear(p.buf[:n])
}

// signal sends a signal. If the process has ended, it has no effect.
func (p *process) signal(s unix.Signal) { _ = unix.PidfdSendSignal(p.pidfd, s, nil, 0) }

func (p *process) kill() { p.signal(unix.SIGKILL) }

// hangUp ends the conversation; the role reads the end of file.
func (p *process) hangUp() { _ = unix.Shutdown(p.conn.FD(), unix.SHUT_RDWR) }

// reap waits for the end of the process, frees its pid and returns how it ended.
func (p *process) reap() error {
	if p.end != nil {
		return p.end
	}
	_, err := syscall.Wait4(p.pid, &p.ws, 0, nil)
	for err == syscall.EINTR {
		_, err = syscall.Wait4(p.pid, &p.ws, 0, nil)
	}
	switch {
	case err != nil:
		p.end = fmt.Errorf("the %s (process %d) cannot be waited for: %w", p.role, p.pid, err)
	case p.ws.Signaled():
		p.end = fmt.Errorf("the %s (process %d) was killed: %v", p.role, p.pid, p.ws.Signal())
	default:
		p.end = fmt.Errorf("the %s (process %d) has ended with status %d", p.role, p.pid, p.ws.ExitStatus())
	}
	return p.end
}

// exit returns how the reaped process has ended, for the node.
func (p *process) exit() etf.Term {
	var s unix.Signal
	if p.ws.Signaled() {
		s = p.ws.Signal()
	}
	return gen.Exit(p.ws.ExitStatus(), s, "")
}

// exitBound is how long the end of a process may take after its first sign, a closed descriptor.
const exitBound = time.Second

// ended reports whether the process has ended, or does within d.
func (p *process) ended(d time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}
	for end := time.Now().Add(d); ; {
		n, err := unix.Poll(fds, int(max(0, time.Until(end)).Milliseconds()))
		if err != unix.EINTR { // poll is never restarted after a signal (signal(7))
			return n == 1
		}
	}
}

// hungUp returns why the role's end of the conversation is closed.
func (p *process) hungUp() error {
	if p.ended(exitBound) {
		return p.reap()
	}
	return fmt.Errorf("the %s (process %d) has closed its conversation", p.role, p.pid)
}

// discard ends a process that Watch does not watch.
func (p *process) discard() {
	p.kill()
	_ = p.reap()
	p.close()
}

func (p *process) close() {
	p.logged.close()
	if p.file != nil {
		_ = p.file.Close()
	} else {
		_ = p.conn.Close()
	}
	_ = unix.Close(p.pidfd)
}
