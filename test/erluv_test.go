package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// An erluv is a running binary, connected to a node.
type erluv struct {
	*node
	erluv  string // its name
	cmd    *exec.Cmd
	stderr buffer
	ended  chan struct{} // closed after Wait has returned
	err    error         // then: the error of Wait
	fails  bool          // it is expected to end with a status that is not 0
}

// run starts the binary with the environment of the node, and does not wait for anything. The
// caller ends it.
func (n *node) run(stdin io.Reader, args ...string) (*erluv, error) {
	return n.exec(stdin, executable, args...)
}

// exec is run through a program that becomes erluv.
func (n *node) exec(stdin io.Reader, program string, args ...string) (*erluv, error) {
	e := &erluv{node: n, ended: make(chan struct{})}
	e.cmd = exec.Command(program, args...)
	e.cmd.Env, e.cmd.Dir = n.env, n.home
	e.cmd.Stdin, e.cmd.Stderr = stdin, &e.stderr
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	if err := e.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the process
		e.err = e.cmd.Wait()
		close(e.ended)
	}()
	return e, nil
}

// connect starts the binary and waits until the node is connected to it.
func (n *node) connect(args ...string) (*erluv, error) {
	_, host, _ := strings.Cut(n.name, "@")
	name := fmt.Sprintf("e%d", serial.Add(1))
	e, err := n.run(nil, append([]string{"run", "--node", n.name, "--name", name, "--host", host, n.cookieFile()}, args...)...)
	if err != nil {
		return nil, err
	}
	e.erluv = name + "@" + host
	up := make(chan error, 1)
	go func() {
		_, err := n.try(e.binds().String()+"e2e:wait_hidden(E)", "-", startTime)
		up <- err
	}()
	select {
	case err = <-up:
	case <-e.ended:
		err = errors.New("it ended")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("erluv is not up: %v\nit wrote:\n%s", err, e.stderr.String()), e.stop())
	}
	return e, nil
}

// newErluv starts an erluv, which ends with the test.
func newErluv(t *testing.T, n *node, args ...string) *erluv {
	t.Helper()
	e, err := n.connect(args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.stop(); err != nil {
			t.Error(err)
		}
		e.report(t)
	})
	return e
}

// report shows erluv's and the node's output if the test has failed.
func (e *erluv) report(t *testing.T) {
	t.Helper()
	if t.Failed() {
		t.Logf("erluv wrote:\n%s", e.stderr.String())
		t.Logf("%s wrote:\n%s", e.node.name, e.node.output.String())
	}
}

// stop sends SIGTERM and waits. erluv must end in order, and leave no process.
func (e *erluv) stop() error {
	before := family(e.cmd.Process.Pid)
	if e.running() {
		_ = e.cmd.Process.Signal(syscall.SIGTERM)
	}
	var errs []error
	select {
	case <-e.ended:
		if e.err != nil && !e.fails {
			errs = append(errs, fmt.Errorf("erluv ended: %v", e.err))
		}
	case <-time.After(endTime):
		errs = append(errs, errors.New("erluv had to be killed"))
		_ = e.cmd.Process.Kill()
		<-e.ended
	}
	if err := endOf(before); err != nil {
		errs = append(errs, err)
	}
	if text := e.stderr.String(); strings.Contains(text, "panic:") || strings.Contains(text, "fatal error:") {
		errs = append(errs, fmt.Errorf("erluv crashed:\n%s", text))
	}
	return errors.Join(errs...)
}

// endOf waits until processes are gone.
func endOf(list []process) error {
	var errs []error
	for _, p := range list {
		if !until(endTime, p.gone) {
			errs = append(errs, fmt.Errorf("process %v is left behind: %s", p, cmdline(p.pid)))
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
	return errors.Join(errs...)
}

func (e *erluv) running() bool {
	select {
	case <-e.ended:
		return false
	default:
		return true
	}
}

// exits waits for the end and returns the exit status.
func (e *erluv) exits(t *testing.T, timeout time.Duration) int {
	t.Helper()
	select {
	case <-e.ended:
	case <-time.After(timeout):
		_ = e.cmd.Process.Kill()
		<-e.ended
		t.Fatalf("erluv does not end within %v; it wrote:\n%s", timeout, e.stderr.String())
	}
	return e.cmd.ProcessState.ExitCode()
}

// binds binds E, for all source about this erluv.
func (e *erluv) binds() bind { return bind{"E": atom(e.erluv)} }

func (e *erluv) eval(t *testing.T, source string, binds ...bind) string {
	t.Helper()
	return e.node.eval(t, source, append(binds, e.binds())...)
}

func (e *erluv) expect(t *testing.T, want, source string, binds ...bind) {
	t.Helper()
	e.node.expect(t, want, source, append(binds, e.binds())...)
}

// session starts a session with E bound.
func (e *erluv) session(t *testing.T) session {
	t.Helper()
	s := e.node.session(t)
	s.eval(t, e.binds().String()+"ok")
	return s
}

// number evaluates to an integer.
func (e *erluv) number(t *testing.T, source string, binds ...bind) int {
	t.Helper()
	text := e.eval(t, source, binds...)
	value, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s\ngot %s, want an integer", source, text)
	}
	return value
}

// roles are erluv's own processes.
type roles struct{ main, child, spawner int }

func (r roles) each() map[string]int {
	return map[string]int{"main": r.main, "child": r.child, "spawner": r.spawner}
}

// roles finds main and the child by info, and the spawner as main's other child.
func (e *erluv) roles(t *testing.T) roles {
	t.Helper()
	return e.rolesOf(t, e.number(t, "e2e:call(E, {info, main_os_pid})"), e.number(t, "e2e:call(E, {info, child_os_pid})"))
}

func (e *erluv) rolesOf(t *testing.T, main, child int) roles {
	t.Helper()
	r := roles{main: main, child: child}
	if r.main != e.cmd.Process.Pid {
		t.Fatalf("main_os_pid is %d, not %d", r.main, e.cmd.Process.Pid)
	}
	for _, p := range children(r.main) {
		if p.pid != r.child && name(p.pid) != "erluv_relay" {
			if r.spawner != 0 {
				t.Fatalf("erluv_main has more than two children: %q and %q", cmdline(r.spawner), cmdline(p.pid))
			}
			r.spawner = p.pid
		}
	}
	if r.spawner == 0 {
		t.Fatal("there is no spawner")
	}
	return r
}

// name returns the name that ps(1) shows for a process.
func name(pid int) string {
	comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(comm))
}

// shared is the erluv for tests that leave it as they found it.
var shared struct {
	mu    sync.Mutex
	erluv *erluv
	fds   map[string]int // of each role, idle
}

// common returns the shared erluv. At the end of the test it checks that erluv is as before: alive,
// without workers, programs, new descriptors or logged errors.
func common(t *testing.T) *erluv {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.erluv == nil || !shared.erluv.running() {
		if err := endShared(); err != nil {
			t.Error(err)
		}
		n, err := startNode(nodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if shared.erluv, err = n.connect(); err != nil {
			t.Fatal(errors.Join(err, n.stop()))
		}
		// This opens the descriptors that erluv opens at first use.
		shared.erluv.expect(t, "ok", `
			W = e2e:start(E, ["cat"]),
			#{} = e2e:call(W, info),
			{ok, _} = e2e:call(W, stop),
			{error, _} = e2e:call(E, {spawn, ["true"], #{ready => notify}}),
			ok`)
		shared.fds = map[string]int{}
		for role, pid := range shared.erluv.roles(t).each() {
			shared.fds[role] = len(descriptors(t, pid))
		}
	}
	e := shared.erluv
	t.Cleanup(func() { e.asBefore(t) })
	return e
}

func (e *erluv) asBefore(t *testing.T) {
	t.Helper()
	if !e.running() {
		t.Errorf("erluv ended: %v", e.err)
		e.report(t)
		return
	}
	e.expect(t, "[]", "e2e_server:errors()")
	e.expect(t, "ok", "e2e:until(fun() -> [] =:= (catch e2e:call(E, workers)) end)")
	r := e.roles(t)
	if !until(endTime, func() bool { return len(children(r.spawner)) == 0 }) {
		for _, p := range children(r.spawner) {
			t.Errorf("process %v is left behind: %s", p, cmdline(p.pid))
		}
	}
	for role, pid := range r.each() {
		if !until(endTime, func() bool { return len(descriptors(t, pid)) <= shared.fds[role] }) {
			t.Errorf("%s had %d descriptors open, now %q", role, shared.fds[role], descriptors(t, pid))
		}
	}
	e.report(t)
}

func stopShared() error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	return endShared()
}

func endShared() error {
	e := shared.erluv
	if e == nil {
		return nil
	}
	shared.erluv = nil
	return errors.Join(e.stop(), e.node.stop())
}
