package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"erluv/wire/dist/disttest"
)

// operated starts an erluv with a control socket, whose controller is the session.
func operated(t *testing.T, args ...string) (e *erluv, s session, socket string) {
	t.Helper()
	n := newNode(t, nodeOptions{})
	socket = filepath.Join(n.home, "c.sock")
	n.env = append(n.env, "ERLUV_CONTROL="+socket)
	s = n.session(t)
	s.eval(t, "process_flag(trap_exit, true), ok")
	e = newErluv(t, n, append([]string{"--controller", s.name}, args...)...)
	s.eval(t, e.binds().String()+"receive {erluv, E, {up, _}} -> ok after 120000 -> error(controller) end, monitor_node(E, true)")
	return e, s, socket
}

// operates runs a command at a control socket.
func operates(t *testing.T, socket string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	return command(t, append(args, "--control", socket)...)
}

// command runs the binary as the user who runs erluv.
func command(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.CommandContext(limited(t, evalTime), executable, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	cmd.Env, cmd.Dir = []string{}, "/"
	var out, errors_ bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors_
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errors_.String(), cmd.ProcessState.ExitCode()
}

// done runs a command that must succeed without a message.
func done(t *testing.T, socket string, args ...string) (stdout string) {
	t.Helper()
	stdout, stderr, status := operates(t, socket, args...)
	if status != 0 || stderr != "" {
		t.Fatalf("erluv %q: status %d\n%s%s", args, status, stdout, stderr)
	}
	return stdout
}

// fails runs a command that must fail with these words.
func fails(t *testing.T, words, socket string, args ...string) {
	t.Helper()
	stdout, stderr, status := operates(t, socket, args...)
	if status != 1 || stdout != "" || !strings.Contains(stderr, words) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("erluv %q: status %d, %q, %q; want %q", args, status, stdout, stderr, words)
	}
}

// psOutput is what `erluv ps --format json` prints.
type psOutput struct {
	Node     string          `json:"node"`
	Programs []programOutput `json:"programs"`
}

func listed(t *testing.T, socket string, more ...string) psOutput {
	t.Helper()
	return one[psOutput](t, done(t, socket, append([]string{"ps", "--format", "json"}, more...)...))
}

// TestOperator checks section 6 of the contract: what an operator sees and does. The node notices
// nothing else.
//
//erluv:users
//erluv:check
func TestOperator(t *testing.T) {
	e, s, socket := operated(t)
	if st, err := os.Stat(socket); err != nil || st.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the socket: %v, %v", st, err)
	}
	if list := listed(t, socket); list.Node != e.erluv || len(list.Programs) != 0 || list.Programs == nil {
		t.Errorf("%+v", list)
	}
	s.eval(t, `W = e2e:start(E, ["sh", "-c", "sleep 1000; #\e[2J" | ["x y"]], #{name => web}), V = e2e:start(E, ["cat"]),
		{ok, F} = e2e:call(E, {watch, "/tmp", #{}}), ok`)
	var pid, other int
	fmt.Sscan(s.eval(t, "e2e:os_pid(W)"), &pid)
	fmt.Sscan(s.eval(t, "e2e:os_pid(V)"), &other)
	number := s.eval(t, `lists:nth(1, [N || "<" ++ P <- [pid_to_list(V)], [_ | N] <- [string:split(string:trim(P, trailing, ">"), ".")]])`)
	number = strings.Trim(number, `"[]`)

	list := listed(t, socket)
	if len(list.Programs) != 2 {
		t.Fatalf("%+v", list)
	}
	for _, p := range list.Programs {
		if p.State != "running" || p.OsPid == nil || p.Started == nil || p.CPU == nil || p.Memory == nil || p.Restarts != 0 {
			t.Errorf("%+v", p)
		}
		switch *p.OsPid {
		case pid:
			if p.Name == nil || *p.Name != "web" || p.Command[3] != "x y" {
				t.Errorf("%+v", p)
			}
		case other:
			if p.Name != nil || p.Worker != number || len(p.Command) != 1 {
				t.Errorf("%+v, want worker %s", p, number)
			}
		}
	}
	if out, _, _ := command(t, "__complete", "stop", "--control", socket, ""); !strings.HasPrefix(out, "web\n:") {
		t.Errorf("a shell completes a program by %q", out)
	}
	table := done(t, socket, "ps")
	for _, want := range []string{
		`^PROGRAM +STATE +USER +PID +SINCE +RESTARTS +CPU +MEMORY +EXIT +COMMAND\n`,
		fmt.Sprintf(`(?m)^web +running +[a-z0-9-]+ +%d +[0-9.]+m?[0-9]*s +0 +0\.\ds +[0-9.]+[BKM] +- +sh -c sleep 1000; #\\x1b\[2J x y$`, pid),
		fmt.Sprintf(`(?m)^%s +running +[a-z0-9-]+ +%d .* cat$`, regexp.QuoteMeta(number), other),
	} {
		if !regexp.MustCompile(want).MatchString(table) {
			t.Errorf("there is no %s in\n%s", want, table)
		}
	}

	info := done(t, socket, "info")
	for _, want := range []string{
		`(?m)^node +` + e.erluv + `$`, `(?m)^connections\n(.*\n)* +node +` + e.node.name + `$`, `(?m)^target +-$`, `(?m)^workers +3$`, `(?m)^main_os_pid +` + fmt.Sprint(e.cmd.Process.Pid) + `$`,
	} {
		if !regexp.MustCompile(want).MatchString(info) {
			t.Errorf("there is no %s in\n%s", want, info)
		}
	}
	if told := one[infoOutput](t, done(t, socket, "info", "--format", "json")); told.Node != e.erluv || told.Workers != 3 {
		t.Errorf("%+v", told)
	}

	for _, signal := range []struct{ name, told string }{
		{"STOP", "{stopped,sigstop}"}, {"sigcont", "continued"}, {"SigStop", "{stopped,sigstop}"}, {"18", "continued"},
	} {
		if out := done(t, socket, "signal", fmt.Sprint(other), signal.name); out != "" {
			t.Error(out)
		}
		s.expect(t, signal.told, "(fun() -> receive {V, M} -> M after 120000 -> none end end)()")
	}
	done(t, socket, "signal", "--all", number, "KILL")
	s.expect(t, "{signal,sigkill}", "receive {V, {signal, _} = End} -> End after 120000 -> none end")
	if out := done(t, socket, "stop", "web"); out != "signal  sigterm\n" {
		t.Error(out)
	}
	s.expect(t, "normal", "receive {'EXIT', W, Why} -> Why after 120000 -> none end")
	for _, gone := range []string{"web", fmt.Sprint(other), number, "<0." + number + ">"} {
		fails(t, "there is no program "+gone, socket, "stop", gone)
	}
	for _, none := range []string{"erluv", "net_kernel"} {
		fails(t, "is no name of a program", socket, "stop", none)
	}
	s.eval(t, `X = e2e:start(E, "trap 'exit 7' TERM; echo; while :; do sleep 0.05; done", #{name => 'a b'}), receive {X, {stdout, _}} -> ok end`)
	if out := done(t, socket, "stop", "a b", "--format", "json"); out != `{"exit_status":7}`+"\n" {
		t.Error(out)
	}
	s.expect(t, "[]", "[N || N <- nodes(connected), N =/= E]")
	log := e.stderr.String()
	by := fmt.Sprintf(`by="uid %d, pid [0-9]+, user [a-z0-9-]+"`, e.uid())
	for _, want := range []string{`msg="an operator acts" role=child act="signal sigstop" ` + by + ` worker=`, `act="signal group sigkill" ` + by, `act=stop ` + by + ` process=web`} {
		if !regexp.MustCompile(want).MatchString(log) {
			t.Errorf("the log has no %s:\n%s", want, log)
		}
	}
	if strings.Contains(log, "@control") || strings.Count(log, "node up") != 1 {
		t.Errorf("operators are logged as nodes:\n%s", log)
	}
	if err := e.stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	fails(t, "no process listens there", socket, "ps")
}

// uid is the user ID of main.
func (e *erluv) uid() uint32 {
	if credential != nil {
		return credential.Uid
	}
	return uint32(os.Getuid())
}

// The kernel's credentials decide which users may connect, and no message there does harm.
//
//erluv:users
func TestControlStrangers(t *testing.T) {
	e, s, socket := operated(t)
	if os.Getuid() == 0 {
		cmd := exec.Command(executable, "ps", "--control", socket)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65533, Gid: 65533}}
		cmd.Env, cmd.Dir = []string{}, "/"
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "belongs to another user") && !strings.Contains(string(out), "permission denied") {
			t.Errorf("a stranger: %v, %s", err, out)
		}
	}
	s.eval(t, `W = e2e:start(E, ["cat"]), ok`)
	dial := func() net.Conn {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(startTime))
		return conn
	}
	for name, cookie := range map[string]string{
		"x@127.0.0.1": "control", // could be a node's
		e.node.name:   "control",
		e.erluv:       "control",
		"x@control":   "other",
	} {
		_, err := disttest.Caller{Name: name, Cookie: cookie, Creation: 9}.Connect(dial())
		host, _ := disttest.Caller{Name: name, Cookie: cookie, Creation: 9}.Connect(dial())
		if err == nil && host.Status != "not_allowed" {
			t.Errorf("%s with the cookie %s is taken: %+v", name, cookie, host)
		}
	}
	for _, junk := range []string{"", "\x00", "\xff\xff", "\x00\x05Nxxxx", strings.Repeat("x", 100_000)} {
		conn := dial()
		_, _ = conn.Write([]byte(junk))
		_ = conn.Close()
	}
	// After the handshake the child has the connection. It ignores frames that it does not
	// understand.
	for _, frame := range []string{"\x00\x00\x00\x05xxxxx", "\xff\xff\xff\xff", "\x00\x00\x00\x03p\x83h"} {
		conn := dial()
		if _, err := (disttest.Caller{Name: "junk@control", Cookie: "control", Creation: 9}).Connect(conn); err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte(frame))
		_ = conn.Close()
	}
	s.expect(t, `<<"x">>`, `ok = e2e:call(W, {write, "x"}), receive {W, {stdout, Said}} -> Said after 120000 -> none end`)
	if list := listed(t, socket); len(list.Programs) != 1 {
		t.Errorf("%+v", list)
	}
}

// With a listening port, erluv refuses names there that end as those at the control socket do. An
// operator needs no node.
func TestControlBesideListen(t *testing.T) {
	n := newNode(t, nodeOptions{})
	socket := filepath.Join(n.home, "c.sock")
	n.env = append(n.env, "ERLUV_CONTROL="+socket)
	e := listening(t, n)
	e.wrote(t, "waiting for nodes")
	for name, want := range map[string]string{"x@control": "not_allowed", "x@127.0.0.1": "ok"} {
		conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", e.port(t)))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(startTime))
		if host, err := (disttest.Caller{Name: name, Cookie: cookie, Creation: 9}).Connect(conn); err != nil || host.Status != want {
			t.Errorf("%s: %+v, %v, want %s", name, host, err, want)
		}
	}
	if list := listed(t, socket); list.Node != e.erluv || len(list.Programs) != 0 {
		t.Errorf("%+v", list)
	}
}

// erluv listens at the socket that erluv.conf names. A command without --control connects there.
//
//erluv:users
func TestControlOfConfiguration(t *testing.T) {
	n := newNode(t, nodeOptions{})
	socket := filepath.Join(n.home, "c.sock")
	file := filepath.Join(n.home, "erluv.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, "control = %q\n", socket), 0o644); err != nil {
		t.Fatal(err)
	}
	n.env = slices.DeleteFunc(n.env, func(v string) bool { return strings.HasPrefix(v, "ERLUV_CONTROL=") })
	n.env = append(n.env, "ERLUV_CONF="+file)
	e := newErluv(t, n)
	if list := listed(t, socket); list.Node != e.erluv {
		t.Errorf("%+v", list)
	}
	ps := func(more ...string) (text string, err error) {
		cmd := exec.CommandContext(limited(t, evalTime), executable, append([]string{"ps"}, more...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
		cmd.Env, cmd.Dir = n.env, "/"
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	n.eval(t, e.binds().String()+`{ok, _} = e2e:call(E, {spawn, ["sleep", "1000"], #{name => configured, owner => none, link => false}})`)
	if out, err := ps(); err != nil || !strings.Contains(out, "configured") {
		t.Errorf("%v, %s", err, out)
	}
	if out, err := ps("--name", "another"); err == nil {
		t.Errorf("by another name: %s", out)
	}
}

// A crash of the child ends an operator's connection, with a message, and no node's. While there is
// no child, erluv says so. Afterwards everything works as before.
//
//erluv:users
func TestOperatorSeesCrash(t *testing.T) {
	e, s, socket := operated(t, "--die-timeout", "1m")
	s.eval(t, `W = e2e:start(E, "trap '' TERM; echo; while :; do sleep 0.1; done", #{name => stubborn, kill_timeout => 600000}),
		receive {W, {stdout, _}} -> ok end`)
	var failed sync.WaitGroup
	failed.Go(func() { fails(t, "its child has crashed", socket, "stop", "stubborn") })
	if !until(startTime, func() bool { return strings.Contains(e.stderr.String(), "an operator acts") }) {
		t.Fatal("no command has acted")
	}
	kill(t, e.roles(t).child, syscall.SIGKILL)
	failed.Wait()
	s.expect(t, "ok", "receive {erluv, E, {child_down, _, 60000}} -> ok after 120000 -> none end")
	fails(t, "erluv has no child at the moment", socket, "ps")
	s.expect(t, "ok", "{erluv_main, E} ! respawn, receive {erluv, E, {child_up, _}} -> ok after 120000 -> none end")
	if list := listed(t, socket); len(list.Programs) != 0 {
		t.Errorf("%+v", list)
	}
	s.expect(t, "none", "receive {nodedown, E} -> down after 0 -> none end")
}

// The socket is at its default place. erluv replaces a dead erluv's socket, but not a living one's.
//
//erluv:users
func TestControlByDefault(t *testing.T) {
	n := newNode(t, nodeOptions{})
	dir, choice := "/run/erluv", ""
	if ordinary {
		dir, choice = filepath.Join(n.home, "erluv"), "on"
		n.env = append(n.env, "XDG_RUNTIME_DIR="+n.home)
		if err := errors.Join(os.Chmod(n.home, 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	for i, v := range n.env { // from the environment of all tests
		if strings.HasPrefix(v, "ERLUV_CONTROL=") {
			n.env[i] = "ERLUV_CONTROL=" + choice
			if choice == "" {
				n.env[i] = "X="
			}
		}
	}
	name := fmt.Sprintf("ctl%d_%d", os.Getpid(), serial.Add(1))
	socket := filepath.Join(dir, name+".sock")
	run := func() *erluv {
		t.Helper()
		e, err := n.run(nil, "run", "--node", n.name, "--name", name, "--host", "127.0.0.1", n.cookieFile())
		if err != nil {
			t.Fatal(err)
		}
		e.erluv = name + "@127.0.0.1"
		return e
	}
	up := func(e *erluv) {
		t.Helper()
		n.expect(t, "ok", e.binds().String()+"e2e:wait_hidden(E), ok")
	}
	e := run()
	up(e)
	if list := listed(t, socket); list.Node != e.erluv {
		t.Errorf("%+v", list)
	}
	if !ordinary {
		if out, stderr, status := command(t, "ps", "--name", name); status != 0 {
			t.Errorf("by its name: %d, %s%s", status, out, stderr)
		}
	}
	other := newNode(t, nodeOptions{})
	other.env = n.env
	second, err := other.run(nil, "run", "--node", other.name, "--name", name, "--host", "127.0.0.1", other.cookieFile())
	if err != nil {
		t.Fatal(err)
	}
	if ordinary { // where the configuration asks for it
		if status := second.exits(t, startTime); status != 1 || !strings.Contains(second.stderr.String(), "another process listens there") {
			t.Errorf("a second one ends with status %d:\n%s", status, second.stderr.String())
		}
	} else {
		other.expect(t, "ok", e.binds().String()+"e2e:wait_hidden(E), ok")
		if err := second.stop(); err != nil || !strings.Contains(second.stderr.String(), "another process listens there") {
			t.Errorf("a second one: %v\n%s", err, second.stderr.String())
		}
	}
	if list := listed(t, socket); list.Node != e.erluv {
		t.Errorf("%+v", list)
	}
	family := family(e.cmd.Process.Pid)
	kill(t, e.cmd.Process.Pid, syscall.SIGKILL)
	<-e.ended
	if err := endOf(family); err != nil {
		t.Error(err)
	}
	fails(t, "no process listens there", socket, "ps")
	if _, err := os.Lstat(socket); err != nil {
		t.Errorf("it is gone with a main that was killed: %v", err)
	}
	n.expect(t, "ok", e.binds().String()+"e2e:until(fun() -> not lists:member(E, nodes(hidden)) end)")
	e = run()
	up(e)
	if list := listed(t, socket); list.Node != e.erluv {
		t.Errorf("%+v", list)
	}
	if err := e.stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

// Many operators connect at once, with many programs. Each sees all of them, and the node's work
// goes on.
func TestManyOperators(t *testing.T) {
	e, s, socket := operated(t)
	const count, looks = 300, 20
	s.eval(t, fmt.Sprintf(`Ws = [e2e:start(E, ["sleep", "1000"], #{owner => none, link => false}) || _ <- lists:seq(1, %d)], W = e2e:start(E, ["cat"]), ok`, count))
	var all sync.WaitGroup
	for range looks {
		all.Go(func() {
			if list := listed(t, socket); len(list.Programs) != count+1 {
				t.Errorf("%d programs of %d", len(list.Programs), count+1)
			}
		})
	}
	s.expect(t, "ok", `lists:foreach(fun(_) -> ok = e2e:call(W, {write, "x"}), receive {W, {stdout, _}} -> ok end end, lists:seq(1, 1000))`)
	all.Wait()
	r := e.roles(t)
	if !until(endTime, func() bool { return len(descriptors(t, r.main)) < 60 }) {
		t.Errorf("main has %d descriptors", len(descriptors(t, r.main)))
	}
}
