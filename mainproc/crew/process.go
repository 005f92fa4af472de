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

// self is the binary that runs, even when its file was replaced or removed.
const self = "/proc/self/exe"

// answerBound is how long a role may take for each answer until it serves. Executing it has taken
// 5 s on a machine with eighty processes that wanted its two processors.
const answerBound = 20 * time.Second

// starter is the one thread that starts processes: the kernel kills a role when
// the thread that has started it ends (prctl(2), PR_SET_PDEATHSIG), so this one
// lives until close.
//
// It is also the thread that shares a domain with what it starts (Parts.Enclose);
// the others can signal whom they like.
type starter struct {
	jobs  chan func()
	parts sandbox.Parts // what the roles are confined by
	log   *slog.Logger  // of what they log; nil: nobody wants it

	mu     sync.Mutex
	relays map[int]bool // by pid: those that were not reaped
}

func newStarter(parts sandbox.Parts) (*starter, error) {
	s := &starter{jobs: make(chan func()), parts: parts, relays: make(map[int]bool)}
	go func() { // ends with close
		runtime.LockOSThread() // and never unlocks it: the thread ends too
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

// isRelay says whether a process is a relay that was not reaped. Who has just seen a new
// child is told right: the lock is held from before its start.
func (s *starter) isRelay(pid int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.relays[pid]
}

// forget: a relay was reaped.
func (s *starter) forget(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.relays, pid)
}

// process is a role from main's side. It belongs to a crew, and is used by one
// goroutine at a time, except for say, kill and hangUp.
type process struct {
	role  ipc.Role
	pid   int
	init  bool // of a pid namespace: there it is process 1
	pidfd int
	seals int // filters of system calls that it must have
	conn  *ipc.Conn
	file  *os.File // owns the descriptor of conn, where the runtime waits for it; or nil
	buf   []byte   // one packet
	heard permit.Hearing

	log    *slog.Logger
	logged *logged // nil: nothing of it is

	dying bool  // its end of the conversation is closed: see Crew.await
	pulse pulse // of a spawner or a relay
	hung  bool  // it was ended since it did not answer

	saying sync.Mutex // held by say: two goroutines do, once the child serves

	// When it was reaped:
	ws  syscall.WaitStatus
	end error // the same in words
}

// start starts a role by way of the stage, which makes id of it. It gets a
// session of its own, so that what a terminal sends (^C) comes to main only, an
// empty environment, and no descriptor but these four.
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

// raiseFiles puts the soft limit of descriptors back to where the Go runtime has put it
// at the start, the hard one, and says whether somebody had lowered it (prlimit(1)):
// what follows a role's end takes some. A raw call, for after any other the runtime would no
// longer give what it starts the limit that this process was started with.
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

// say sends a message without waiting: a role that does not read is not told.
func (p *process) say(m ipc.Message, fds ...int) error {
	p.saying.Lock()
	defer p.saying.Unlock()
	return p.conn.TrySend(ipc.Append(nil, m), fds...)
}

// tell is say that waits, for answerBound at most, and lets others speak meanwhile.
func (p *process) tell(m ipc.Message, fds ...int) error {
	for end := time.Now().Add(answerBound); ; time.Sleep(time.Millisecond) {
		err := p.say(m, fds...)
		if !errors.Is(err, ipc.ErrFull) || time.Now().After(end) {
			return err
		}
	}
}

// greet waits for the role's Hello and looks whether it is what it says, and
// confined.
func (p *process) greet(id sandbox.Identity) error {
	m, err := p.recv()
	if err != nil {
		return err
	}
	hello := m.(ipc.Hello) // or it would not have been permitted
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

// serve sends the role what it serves with, and waits until it does.
func (p *process) serve(m ipc.Message, fds ...int) error {
	if err := p.send(m, fds...); err != nil {
		return err
	}
	return p.ready()
}

// send sends the role a part of what it serves with.
func (p *process) send(m ipc.Message, fds ...int) error {
	err := p.conn.Send(ipc.Append(nil, m), answerBound, fds...)
	if errors.Is(err, unix.EPIPE) { // its last word may say why
		return cmp.Or(p.ready(), fmt.Errorf("the %s has closed its conversation", p.role))
	}
	if err != nil {
		return fmt.Errorf("cannot talk to the %s: %w", p.role, err)
	}
	return nil
}

// ready waits until the role, which has been sent what it serves with, does.
func (p *process) ready() error {
	p.heard.At = permit.AtStart
	_, err := p.recv() // Ready
	return err
}

// recv reads the role's next message, for answerBound at most. The role's own
// word that it failed is an error with its text.
func (p *process) recv() (ipc.Message, error) {
	m, err := p.hear(answerBound)
	if failed, ok := m.(ipc.Failed); ok {
		return nil, fmt.Errorf("the %s cannot serve: %s", p.role, permit.Printable(failed.Text))
	}
	return m, err
}

// hear reads the role's next message, for so long at most.
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

// signal sends a signal; to a process that has ended, nobody gets it.
func (p *process) signal(s unix.Signal) { _ = unix.PidfdSendSignal(p.pidfd, s, nil, 0) }

func (p *process) kill() { p.signal(unix.SIGKILL) }

// hangUp ends the conversation; the role reads the end of file.
func (p *process) hangUp() { _ = unix.Shutdown(p.conn.FD(), unix.SHUT_RDWR) }

// reap waits for the end of the process, frees its pid and says how it ended.
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

// exit is how a process that was reaped has ended, for the node.
func (p *process) exit() etf.Term {
	var s unix.Signal
	if p.ws.Signaled() {
		s = p.ws.Signal()
	}
	return gen.Exit(p.ws.ExitStatus(), s, "")
}

// exitBound is how long it may take from the first sign of a process's end, a
// descriptor that was closed, to its end.
const exitBound = time.Second

// ended says whether the process has ended, or does within d.
func (p *process) ended(d time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}
	for end := time.Now().Add(d); ; {
		n, err := unix.Poll(fds, int(max(0, time.Until(end)).Milliseconds()))
		if err != unix.EINTR { // poll is never restarted after a signal (signal(7))
			return n == 1
		}
	}
}

// hungUp says why the role's end of the conversation is closed.
func (p *process) hungUp() error {
	if p.ended(exitBound) {
		return p.reap()
	}
	return fmt.Errorf("the %s (process %d) has closed its conversation", p.role, p.pid)
}

// discard ends a process that nobody watches.
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
