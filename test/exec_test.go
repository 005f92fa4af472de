package e2e

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// piped is a command at a control socket that runs in the background, without a terminal.
func piped(t *testing.T, socket string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(limited(t, evalTime), executable, append([]string{"exec", "--control", socket}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	cmd.Env, cmd.Dir = []string{}, "/"
	return cmd
}

// statusOf runs a command to its end.
func statusOf(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

// executes runs a program with an input.
func executes(t *testing.T, socket, input string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := piped(t, socket, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errs
	status = statusOf(t, cmd)
	return out.String(), errs.String(), status
}

// Without a terminal, the program's streams go through the command's, apart and byte for byte. The
// command ends with the program's status.
//
//erluv:users
//erluv:check
func TestExec(t *testing.T) {
	e, s, socket := operated(t)
	for _, c := range []struct {
		input           string
		args            []string
		stdout, stderr  string
		status          int
		stderrIsPartial bool
	}{
		{"", []string{"--", "sh", "-c", "echo out; echo error >&2; exit 7"}, "out\n", "error\n", 7, false},
		{"a\x00\xff\r\nb", []string{"cat"}, "a\x00\xff\r\nb", "", 0, false},
		{
			"x",
			[]string{"-i", "--cd", "/tmp", "--env", "A=b=c", "--env", "A=d", "sh", "-c", "cat; pwd; echo $A-$PATH-$TERM; test -t 0"},
			"x/tmp\nd-/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin-\n", "", 1, false,
		},
		{"", []string{"sh", "-c", "kill -KILL $$"}, "", "", 128 + 9, false},
		{"", []string{"-t", "sh", "-c", "test -t 0 && echo terminal >&2"}, "terminal\r\n", "", 0, false},
		{"", []string{"/nowhere"}, "", `there is no program "/nowhere" there`, 127, true},
		{"", []string{"/etc/passwd"}, "", "cannot be executed there: eacces", 126, true},
		{"", []string{"--cd", "/nowhere", "true"}, "", "cannot start in that directory: enoent", 125, true},
		{"", []string{"--user", "daemon", "true"}, "", "allow_users", 125, true},
		{"", []string{"--env", "=", "true"}, "", "see erluv exec --help", 125, true},
	} {
		stdout, stderr, status := executes(t, socket, c.input, c.args...)
		said := stderr == c.stderr || c.stderrIsPartial && strings.Contains(stderr, c.stderr) && strings.Count(stderr, "\n") == 1
		if stdout != c.stdout || !said || status != c.status {
			t.Errorf("%q: %q, %q, %d", c.args, stdout, stderr, status)
		}
	}

	// Much data in both directions.
	input := make([]byte, 20<<20)
	for i := range input {
		input[i] = byte(i * i >> 3)
	}
	stdout, stderr, status := executes(t, socket, string(input), "--", "sh", "-c", "tee /dev/stderr")
	if want := sha256.Sum256(input); sha256.Sum256([]byte(stdout)) != want || sha256.Sum256([]byte(stderr)) != want || status != 0 {
		t.Errorf("of %d bytes %d and %d are back, status %d", len(input), len(stdout), len(stderr), status)
	}

	// Its worker is like any other, for other operators too.
	cmd := piped(t, socket, "--as", "shell", "cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan int)
	go func() { ended <- statusOf(t, cmd) }()
	if !until(startTime, func() bool { list := listed(t, socket); return len(list.Programs) == 1 && list.Programs[0].Name != nil }) {
		t.Fatalf("%+v", listed(t, socket))
	}
	s.expect(t, "true", "{ok, _} = gen_server:call({shell, E}, stop), true")
	if status := <-ended; status != 128+15 {
		t.Errorf("a program that another has stopped: %d", status)
	}
	_ = in.Close()
	s.expect(t, "[]", "[N || N <- nodes(connected), N =/= E]")
	if log := e.stderr.String(); !strings.Contains(log, `act="exec sh" by="uid `) || strings.Contains(log, "act=write") || strings.Contains(log, "kill -KILL") {
		t.Errorf("the log:\n%s", log)
	}
}

// The program ends with its command, however the command ends. The first SIGINT goes to the
// program.
//
//erluv:users
func TestExecEnds(t *testing.T) {
	_, _, socket := operated(t)
	for _, c := range []struct {
		name   string
		script string // writes a line when it can be signalled, and one for each SIGINT
		with   []syscall.Signal
		status int
	}{
		{"SIGTERM", "echo up; exec sleep 1000", []syscall.Signal{syscall.SIGTERM}, 128 + 15},
		{"SIGHUP", "echo up; exec sleep 1000", []syscall.Signal{syscall.SIGHUP}, 128 + 1},
		{"SIGKILL", "echo up; exec sleep 1000", []syscall.Signal{syscall.SIGKILL}, -1},
		{"SIGINT", "trap 'echo interrupted; exit 5' INT; echo up; sleep 1000 & wait", []syscall.Signal{syscall.SIGINT}, 5},
		{"two SIGINT", "trap 'echo interrupted' INT; echo up; while :; do sleep 1000 & wait; done", []syscall.Signal{syscall.SIGINT, syscall.SIGINT}, 128 + 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := piped(t, socket, "--", "sh", "-c", c.script)
			pipe, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			out := bufio.NewReader(pipe)
			if _, err := out.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			for i, sig := range c.with {
				kill(t, cmd.Process.Pid, sig)
				if sig == syscall.SIGINT && i == 0 {
					if line, err := out.ReadString('\n'); line != "interrupted\n" {
						t.Errorf("the first SIGINT: %q, %v", line, err)
					}
				}
			}
			rest, _ := io.ReadAll(out)
			_ = cmd.Wait()
			if status := cmd.ProcessState.ExitCode(); status != c.status || strings.Contains(string(rest), "interrupted") {
				t.Errorf("status %d, and it says %q", status, rest)
			}
			if !until(startTime, func() bool { return len(listed(t, socket).Programs) == 0 }) {
				t.Errorf("it runs on: %+v", listed(t, socket))
			}
		})
	}
	// When the reader of its output goes, the command ends like any program that writes there.
	cmd := exec.CommandContext(limited(t, evalTime), "sh", "-c", `{ "$0" exec --control "$1" -- yes; echo $? >&2; } | head -n 1`, executable, socket)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if out, err := cmd.Output(); err != nil || string(out) != "y\n" || errs.String() != "141\n" {
		t.Errorf("%q, %q, %v", out, errs.String(), err)
	}
}

// caught reports whether no such signal is pending for a process any more.

// A reader that takes nothing stops the program: no more is under way than pipes and a few chunks
// hold.
func TestExecHoldsTheProgram(t *testing.T) {
	_, _, socket := operated(t)
	const size, taken, most = 100 << 20, 1 << 20, 4 << 20
	cmd := piped(t, socket, "--", "head", "-c", strconv.Itoa(size), "/dev/zero")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, taken)); err != nil {
		t.Fatal(err)
	}
	program := *listed(t, socket).Programs[0].OsPid
	last, same := "", 0
	if !until(startTime, func() bool {
		now := written(t, program)
		if same++; now != last {
			last, same = now, 0
		}
		return same == 100
	}) {
		t.Error("the program goes on")
	}
	if n, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(last, "wchar:"))); err != nil || n < taken || n > most {
		t.Errorf("the program has written (%s) more than is read, %d bytes", last, taken)
	}
	if own := resident(t, cmd.Process.Pid); own > 64<<20 {
		t.Errorf("the command has %d KiB", own>>10)
	}
	n, err := io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if n != size-taken || err != nil {
		t.Errorf("%d more bytes, %v", n, err)
	}
}

// A program that reads nothing stops the process that writes to the command.
func TestExecHoldsTheInput(t *testing.T) {
	_, _, socket := operated(t)
	cmd := piped(t, socket, "sleep", "1000")
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	const most = 4 << 20
	var taken atomic.Int64
	ended := make(chan struct{})
	go func() { // ends with the command
		defer close(ended)
		for {
			n, err := in.Write(make([]byte, 4096))
			taken.Add(int64(n))
			if err != nil {
				return
			}
		}
	}()
	last, same := int64(-1), 0
	if !until(startTime, func() bool {
		now := taken.Load()
		if same++; now != last {
			last, same = now, 0
		}
		return now > 0 && same == 100
	}) || last > most {
		t.Errorf("%d bytes are taken that the program does not read", last)
	}
	kill(t, cmd.Process.Pid, syscall.SIGTERM)
	_ = cmd.Wait()
	<-ended
}

// With a terminal, keys and the window size go to the program. However the command ends, the
// terminal is restored.
//
//erluv:users
//erluv:check
func TestExecTerminal(t *testing.T) {
	_, _, socket := operated(t)
	begin := func(t *testing.T, script string) *terminal {
		t.Helper()
		x := onTerminal(t, 40, 100, executable, "exec", "--control", socket, "--", "sh", "-c", script)
		x.isRaw(t, true)
		return x
	}
	t.Run("typed", func(t *testing.T) {
		x := begin(t, "test -t 0 && test -t 1 && test -t 2 && echo $TERM; stty size; read line; echo \"got $line\"; exec cat")
		x.shows(t, "vt100\r\n40 100\r\n")
		x.types(t, "hello\r")
		x.shows(t, "hello\r\ngot hello\r\n")
		x.types(t, "\x03")
		x.ends(t, 128+2)
	})
	t.Run("resized", func(t *testing.T) {
		x := begin(t, "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done")
		x.shows(t, "ready\r\n")
		x.size(t, 25, 132)
		x.shows(t, "25 132\r\n")
		x.types(t, "\x1c")
		x.ends(t, 128+3)
	})
	t.Run("ended", func(t *testing.T) {
		x := begin(t, "read line; exit 3")
		x.types(t, "\r")
		x.ends(t, 3)
		x = begin(t, "exec cat")
		x.types(t, "\x04")
		x.ends(t, 0)
	})
	for sig, status := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGHUP: 129, syscall.SIGINT: 130, syscall.SIGQUIT: 131} {
		t.Run(sig.String(), func(t *testing.T) {
			x := begin(t, "exec sleep 1000")
			kill(t, x.cmd.Process.Pid, sig)
			x.ends(t, status)
		})
	}
	t.Run("stopped", func(t *testing.T) {
		x := begin(t, "echo here; stty size; while read line; do echo \"got $line\"; stty size; done")
		x.shows(t, "40 100\r\n")
		kill(t, x.cmd.Process.Pid, syscall.SIGTSTP)
		x.isRaw(t, false)
		x.size(t, 10, 20)
		kill(t, x.cmd.Process.Pid, syscall.SIGCONT)
		x.isRaw(t, true)
		x.types(t, "again\r")
		x.shows(t, "got again\r\n10 20\r\n")
		x.types(t, "\x04")
		x.ends(t, 0)
	})
	t.Run("not wanted", func(t *testing.T) {
		x := onTerminal(t, 40, 100, executable, "exec", "-T", "--control", socket, "--", "sh", "-c", "test -t 0 || echo none")
		x.ends(t, 0)
		x.shows(t, "none\r\n")
	})
}

// If the child dies under a session, the terminal is restored, the command reports it, and ends
// with a status of its own. The same happens if all of erluv ends.
//
//erluv:users
func TestExecSeesCrash(t *testing.T) {
	e, s, socket := operated(t, "--die-timeout", "1m", "--listen", "local")
	begin := func(t *testing.T, args ...string) *terminal {
		t.Helper()
		x := onTerminal(t, 40, 100, executable, append(append([]string{"exec"}, args...), "--", "sh", "-c", "echo here; exec sleep 1000")...)
		x.shows(t, "here\r\n")
		x.isRaw(t, true)
		return x
	}
	x := begin(t, "--control", socket)
	far := begin(t, "--at", e.erluv, "--config", "none", e.node.cookieFile())
	kill(t, e.roles(t).child, syscall.SIGKILL)
	x.shows(t, "erluv: erluv's child has crashed: the program ended with it, and how is not known")
	x.ends(t, 255)
	far.shows(t, "erluv: erluv's child has crashed")
	far.ends(t, 255)
	s.down(t, 0)
	s.expect(t, "ok", "{erluv_main, E} ! respawn, receive {erluv, E, {child_up, _}} -> ok after 120000 -> none end")
	x = begin(t, "--control", socket)
	if err := e.stop(); err != nil {
		t.Error(err)
	}
	x.ends(t, 128+15)
}

// An operator needs exec most while no node is connected. It works then, unless programs may not be
// started or remote_exec forbids it.
//
//erluv:users
func TestExecWithoutANode(t *testing.T) {
	n := newNode(t, nodeOptions{})
	socket := filepath.Join(n.home, "c.sock")
	n.env = append(n.env, "ERLUV_CONTROL="+socket)
	e := listening(t, n)
	e.wrote(t, "waiting for nodes")
	if stdout, stderr, status := executes(t, socket, "", "echo", "here"); stdout != "here\n" || status != 0 {
		t.Errorf("%q, %q, %d", stdout, stderr, status)
	}
	if out := done(t, socket, "status"); out != "launching\n" {
		t.Error(out)
	}
	n.expect(t, "true", e.binds().String()+"net_kernel:hidden_connect_node(E)")
	if out := done(t, socket, "status", "set", "standby"); out != "standby\n" {
		t.Error(out)
	}
	for _, gone := range []bool{false, true} {
		if gone {
			n.expect(t, "true", e.binds().String()+"erlang:disconnect_node(E)")
			e.wrote(t, "to=connecting")
		}
		if _, stderr, status := executes(t, socket, "", "true"); status != 125 || !strings.Contains(stderr, "in its state, standby") {
			t.Errorf("%q, %d", stderr, status)
		}
	}
	if out := done(t, socket, "status", "set", "ready"); out != "connecting\n" {
		t.Error(out)
	}
	if _, stderr, status := executes(t, socket, "", "true"); status != 0 {
		t.Errorf("%q, %d", stderr, status)
	}

	_, s, socket := operated(t, "--remote-exec=false")
	if _, stderr, status := executes(t, socket, "", "true"); status != 125 || !strings.Contains(stderr, "remote_exec = false") {
		t.Errorf("%q, %d", stderr, status)
	}
	s.expect(t, "{{error,remote_exec},ok}", `{e2e:call(E, {exec, ["true"], #{}}), element(1, e2e:call(E, {run, ["true"], #{}}))}`)
}
