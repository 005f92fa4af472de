package e2e

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A manager is the receiving end of sd_notify(3).
type manager struct {
	conn *net.UnixConn
	env  []string // for erluv
	told chan string
}

// newManager listens at an abstract socket, which any user in any directory can reach, or at a
// socket in dir. With a watchdog of 0 there is none.
func newManager(t *testing.T, abstract bool, watchdog time.Duration) *manager {
	t.Helper()
	name := fmt.Sprintf("%s/notify%d", dir, serial.Add(1))
	if abstract {
		name = "@" + name
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	if !abstract {
		if err := os.Chmod(name, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	m := &manager{conn: conn, env: []string{"NOTIFY_SOCKET=" + name}, told: make(chan string, 1000)}
	if watchdog > 0 {
		m.env = append(m.env, fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds()))
	}
	done := make(chan struct{})
	go func() { // ends with the socket
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			m.told <- string(buf[:n])
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return m
}

// wait returns the next message with this prefix, and skips others before it.
func (m *manager) wait(t *testing.T, prefix string) string {
	t.Helper()
	deadline := time.After(startTime)
	for {
		select {
		case text := <-m.told:
			if strings.HasPrefix(text, prefix) {
				return text
			}
		case <-deadline:
			t.Fatalf("the service manager is not told %s within %v", prefix, startTime)
		}
	}
}

// managed starts an erluv under the manager. After READY, the node is connected to it.
func (m *manager) managed(t *testing.T, n *node, args ...string) *erluv {
	t.Helper()
	return m.managedBy(t, n, nil, args...)
}

// managedBy is managed through a program that becomes erluv.
func (m *manager) managedBy(t *testing.T, n *node, program []string, args ...string) *erluv {
	t.Helper()
	_, host, _ := strings.Cut(n.name, "@")
	name := fmt.Sprintf("e%d", serial.Add(1))
	was := n.env
	n.env = append(n.env[:len(n.env):len(n.env)], m.env...)
	words := slices.Concat(program, []string{executable, "--node", n.name, "--name", name, "--host", host, n.cookieFile()}, args)
	e, err := n.exec(nil, words[0], words[1:]...)
	n.env = was
	if err != nil {
		t.Fatal(err)
	}
	e.erluv = name + "@" + host
	t.Cleanup(func() {
		if err := e.stop(); err != nil {
			t.Error(err)
		}
		e.report(t)
	})
	want := fmt.Sprintf("READY=1\nSTATUS=serving %s as %s: no programs", n.name, e.erluv)
	if got := m.wait(t, "READY=1"); got != want {
		t.Fatalf("the service manager gets %q, want %q", got, want)
	}
	e.expect(t, "ok", "e2e:wait_hidden(E), ok") // the node's side of the handshake ends a moment later
	return e
}

// TestService: the messages that a service manager gets over a life of erluv.
//
//erluv:users
func TestService(t *testing.T) {
	n := newNode(t, nodeOptions{noise: true})
	for _, abstract := range []bool{false, true} {
		m := newManager(t, abstract, 0)
		e := m.managed(t, n, "--die-timeout", "60s")
		e.expect(t, `{ok,#{exit => {exit_status,0},stderr => <<>>,stdout => <<>>}}`,
			`e2e:call(E, {run, ["/usr/bin/env"], #{inherit => ["NOTIFY_SOCKET", "WATCHDOG_USEC"]}})`)
		child := e.roles(t).child
		if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("STATUS=no child, waiting 1m0s for respawn: the child (process %d) was killed: killed", child)
		if got := m.wait(t, "STATUS=no child"); got != want {
			t.Errorf("the service manager gets %q, want %q", got, want)
		}
		e.eval(t, "{erluv_main, E} ! respawn")
		m.wait(t, "READY=1")
		if err := e.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		m.wait(t, "STOPPING=1\nSTATUS=stopping: SIGTERM")
		m.wait(t, "STOPPING=1\nSTATUS=ended")
		if status := e.exits(t, endTime); status != 0 {
			t.Errorf("status %d", status)
		}
	}
}

// TestServiceStatus: the line that systemctl status shows has the number of programs and the last
// trouble. An idle erluv sends nothing.
//
//erluv:users
func TestServiceStatus(t *testing.T) {
	n := newNode(t, nodeOptions{noise: true})
	m := newManager(t, false, 0)
	e := m.managed(t, n, "--die-timeout", "60s")
	serving := fmt.Sprintf("STATUS=serving %s as %s: ", n.name, e.erluv)
	e.expect(t, "ok", `[{ok, _} = e2e:call(E, {spawn, ["sleep", "1000"], #{owner => none, link => false}}) || _ <- lists:seq(1, 3)], ok`)
	m.wait(t, serving+"3 programs")
	select {
	case text := <-m.told:
		t.Errorf("while nothing changes the service manager gets %q", text)
	case <-time.After(5 * time.Second): // two questions of main, whether the child lives
	}
	child := e.roles(t).child
	if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	m.wait(t, "STATUS=no child")
	e.eval(t, "{erluv_main, E} ! respawn")
	want := fmt.Sprintf(`^READY=1\n%sno programs; last trouble [A-Z][a-z]{2} [ 1-3][0-9] [0-2][0-9]:[0-5][0-9]: the child \(process %d\) was killed: killed$`, serving, child)
	if got := m.wait(t, "READY=1"); !regexp.MustCompile(want).MatchString(got) {
		t.Errorf("the service manager gets %q, want %s", got, want)
	}
	e.expect(t, "ok", `e2e:start(E, ["sleep", "1000"], #{owner => none, link => false}), ok`)
	m.wait(t, serving+"1 program; last trouble ")
}

// TestServiceWatchdog: signs of life come, and stop when main is stopped.
//
//erluv:users
func TestServiceWatchdog(t *testing.T) {
	n := newNode(t, nodeOptions{})
	m := newManager(t, true, 400*time.Millisecond)
	e := m.managed(t, n)
	for range 4 {
		m.wait(t, "WATCHDOG=1")
	}
	if err := e.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "main is stopped", func() bool {
		s, ok := stat(e.cmd.Process.Pid)
		return ok && s.state == "T"
	})
	for len(m.told) > 0 { // sent before
		<-m.told
	}
	select {
	case text := <-m.told:
		// The message was already on its way from the socket.
		select {
		case more := <-m.told:
			t.Errorf("main is stopped and says %q, %q", text, more)
		case <-time.After(time.Second):
		}
	case <-time.After(time.Second):
	}
	if err := e.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	m.wait(t, "WATCHDOG=1")

	// systemd then ends main with SIGABRT. Go's own status 2 would mean a wrong configuration, and
	// systemd would not restart erluv.
	before := family(e.cmd.Process.Pid)
	if err := e.cmd.Process.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	e.fails = true
	e.exits(t, endTime)
	if status := e.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGABRT {
		t.Errorf("ended by SIGABRT: %v", e.cmd.ProcessState)
	}
	if !strings.Contains(e.stderr.String(), "goroutine ") {
		t.Error("it does not write where it stood")
	}
	if err := endOf(before); err != nil {
		t.Error(err)
	}
}

// TestServiceRefused: an erluv that cannot connect gives the reason, and never becomes ready.
//
//erluv:users
func TestServiceRefused(t *testing.T) {
	n := newNode(t, nodeOptions{})
	m := newManager(t, true, 0)
	n.env = append(n.env, m.env...)
	e, err := n.run(nil, "--node", "nobody"+n.name, n.cookieFile())
	if err != nil {
		t.Fatal(err)
	}
	if status := e.exits(t, startTime); status != 1 {
		t.Errorf("status %d", status)
	}
	select {
	case text := <-m.told:
		if !strings.HasPrefix(text, "STOPPING=1\nSTATUS=") || !strings.Contains(text, `"nobody`) {
			t.Errorf("the service manager gets %q", text)
		}
	case <-time.After(startTime):
		t.Error("the service manager gets nothing")
	}
}

// TestServiceCapabilities: the capabilities that packaging/erluv.service leaves root are enough,
// for a crash of the child too.
//
//erluv:users
func TestServiceCapabilities(t *testing.T) {
	unit, err := os.ReadFile("../packaging/erluv.service")
	if err != nil {
		t.Fatal(err)
	}
	program := []string{"setpriv"}
	if strings.Contains(string(unit), "\nNoNewPrivileges=yes\n") {
		program = append(program, "--no-new-privs")
	}
	set := regexp.MustCompile(`(?m)^CapabilityBoundingSet=(.*)$`).FindStringSubmatch(string(unit))
	if !ordinary { // an ordinary user has no capabilities
		list := strings.ToLower(strings.ReplaceAll(set[1], "CAP_", "+"))
		program = append(program, "--bounding-set=-all,"+strings.ReplaceAll(list, " ", ","))
	}
	n := newNode(t, nodeOptions{noise: true})
	contained := newErluv(t, n).eval(t, "e2e:call(E, {info, contained})")
	m := newManager(t, true, 0)
	e := m.managedBy(t, n, program)
	e.expect(t, contained, "e2e:call(E, {info, contained})")
	e.expect(t, fmt.Sprintf(`{ok,#{exit => {exit_status,0},stderr => <<>>,stdout => <<"%d\n">>}}`, workerID),
		`e2e:call(E, {run, ["id", "-u"], #{}})`)
	if err := syscall.Kill(e.roles(t).child, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	m.wait(t, "STATUS=no child")
	e.eval(t, "{erluv_main, E} ! respawn")
	m.wait(t, "READY=1")
	e.expect(t, "ok", `W = e2e:start(E, ["sleep", "60"]), {ok, _} = e2e:call(W, stop), ok`)
}
