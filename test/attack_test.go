package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"erluv/relay/certtest"

	"golang.org/x/sys/unix"
)

// signals are attacks on processes of the same user that only Landlock's scopes prevent. Only the
// seccomp filter of programs prevents the attack in limits.
var (
	signals = []string{"kill", "SIGCONT", "tgkill", "pidfd_send_signal", "abstract socket"}
	limits  = []string{"core"}
)

// A program attacks erluv's own processes and another program. No attack works. All of them work
// against a program that the attacker has started itself, which shows that the attacks are real.
//
//erluv:users
func TestAttacks(t *testing.T) {
	eachWay(t, func(t *testing.T, contain, contained string) {
		p := newPKI(t, certtest.Wish{Names: []string{"127.0.0.1"}})
		n := p.node(t, false, "{versions, ['tlsv1.2', 'tlsv1.3']}") // so that there is a relay
		e := newErluv(t, n, append(p.flags(t), "--contain="+contain)...)
		s := e.session(t)
		victim := s.eval(t, `
			V = e2e:start(E, [Intruder, "victim"]),
			{stdout, Line} = e2e:next(V),
			string:trim(binary_to_list(Line))`, bind{"Intruder": intruderPath(t)})
		targets := map[string]string{"another program": victim, "the spawner": `"1"`}
		if contained != "pidns" { // where there are no others
			r := e.roles(t)
			targets["the spawner"] = fmt.Sprintf(`"%d"`, r.spawner)
			targets["the child"] = fmt.Sprintf(`"%d"`, r.child)
			targets["main"] = fmt.Sprintf(`"%d"`, r.main)
			targets["the relay"] = fmt.Sprintf(`"%d"`, e.relay(t).pid)
		}
		for name, target := range targets {
			if name != "another program" {
				// These targets listen on no abstract socket, so the test does.
				l, err := net.Listen("unix", "@intruder-victim-"+strings.Trim(target, `"`))
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
			}
			said := e.intrudes(t, `["attack", `+target+`]`, `#{allow => [process_vm]}`)
			if len(said) < 17 {
				t.Fatalf("%s: only %v", name, said)
			}
			for attack, outcome := range said {
				if outcome == "ok" && !mayWork(name, attack) {
					t.Errorf("%s against %s works", attack, name)
				}
			}
		}
		for attack, outcome := range e.intrudes(t, `["attack", "own"]`, `#{allow => [process_vm]}`) {
			if outcome != "ok" && !slices.Contains(limits, attack) {
				t.Errorf("%s against a program's own child: %s", attack, outcome)
			}
		}
		s.expect(t, "ok", `{ok, _} = e2e:call(V, stop), ok`)
	})
}

// A program cannot speak for another one through that program's NOTIFY_SOCKET, not even if it ends
// before erluv reads the message. It cannot block the other's messages either. Messages from any of
// a worker's own processes count.
//
//erluv:users
func TestNoticesOfOthers(t *testing.T) {
	eachWay(t, func(t *testing.T, contain, contained string) {
		n := newNode(t, nodeOptions{})
		e := newErluv(t, n, "--contain="+contain)
		// Only the sockets of this erluv: other suites have some too.
		speak := `for my $p (glob(q(" ++ In ++ "/*))) { next unless -S $p; my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $p) or next; `
		e.expect(t, "ok", `
			V = e2e:start(E, `+notifier(`print $ENV{NOTIFY_SOCKET}; $_ = <STDIN>; say('STATUS=own'); $_ = <STDIN>; if (!fork) { say('READY=1'); $_ = <STDIN>; exit } `, `wait; sleep 1000`)+`,
				#{ready => notify, ready_reply => message, watchdog => 100000}),
			{stdout, Socket} = e2e:next(V),
			In = filename:dirname(binary_to_list(Socket)),
			Speak = fun(Script) -> ["perl", "-MIO::Socket::UNIX", "-MSocket", "-e", Script] end,
			Lies = "`+speak+`$n++; $s->send($_) for 'READY=1', 'STATUS=others', 'WATCHDOG=1', 'WATCHDOG=trigger', 'STOPPING=1', 'MAINPID=1' }",
			{ok, #{stdout := <<"1">>}} = e2e:call(E, {run, Speak(Lies ++ "; print $n"), #{}}),
			{ok, #{stdout := <<"1">>}} = e2e:call(E, {run, Speak("if (fork) { wait; print 1; exit } " ++ Lies), #{setsid => false}}),
			% The name stays, unless a program may write to its directory.
			Remove = fun(Opts) -> e2e:call(E, {run, ["perl", "-e", "print unlink glob(q(" ++ In ++ "/*))"], Opts}) end,
			[{ok, #{stdout := <<"0">>}} = Remove(#{sandbox => #{read => ["/"], exec => ["/"]}}) || `+fmt.Sprint(landlock() > 0)+`],
			Flood = e2e:start(E, Speak("$| = 1; print 1; while (1) { `+speak+`$s->send('READY=1') for 1..10000 } }")),
			{stdout, <<"1">>} = e2e:next(Flood),
			ok = e2e:call(V, {write, "\n"}),
			{status, <<"own">>} = e2e:next(V),
			#{ready := false, status := <<"own">>} = e2e:call(V, info),
			ok = e2e:call(V, {write, "\n"}),
			ready = e2e:next(V),
			{ok, _} = e2e:call(Flood, stop),
			#{ready := true, status := <<"own">>} = e2e:call(V, info),
			{ok, #{stdout := Some}} = Remove(#{}),
			true = binary_to_integer(Some) > 0,
			{ok, {signal, sigterm}} = e2e:call(V, stop),
			ok`)
	})
}

// A message counts if its sender ended before erluv read it and is the program itself. If the
// sender is another process, it counts only where control groups tell which worker it belonged to.
//
//erluv:users
func TestNoticeOfTheDead(t *testing.T) {
	eachWay(t, func(t *testing.T, contain, contained string) {
		n := newNode(t, nodeOptions{})
		e := newErluv(t, n, "--contain="+contain)
		child := e.roles(t).child
		// Main kills a child that is stopped for seconds. So everything that takes time comes
		// before: the program says that it is ready, and waits for a line.
		dead := func(script string) string {
			at := shelf(t, 0o777)
			line, end := fifo(t, at+"/line", os.O_RDWR), fifo(t, at+"/end", os.O_RDONLY|syscall.O_NONBLOCK)
			s := e.session(t)
			s.eval(t, `
				W = e2e:start(E, `+notifier(`open(my $line, '<', qq($ENV{AT}/line)) or die; open(my $end, '>', qq($ENV{AT}/end)) or die`, script)+`,
					#{ready => notify, ready_reply => message, env => #{"AT" => At}}),
				{stdout, <<"waits">>} = e2e:next(W)`, bind{"At": at})
			try(t, end.SetReadDeadline(time.Now().Add(time.Minute)))
			try(t, syscall.Kill(child, syscall.SIGSTOP))
			_, err := line.WriteString("\n")
			_, err2 := io.ReadAll(end) // until it has ended, or has closed it
			try(t, errors.Join(err, err2, syscall.Kill(child, syscall.SIGCONT)))
			// The child may see the ends of streams first: before it was stopped, it had looked at
			// them last.
			return s.eval(t, `
				Next = fun Next() -> case e2e:next(W) of ready -> ready; {_, eof} -> Next(); Other -> {none, Other} end end,
				R = Next(),
				_ = (catch e2e:call(W, stop)),
				R`)
		}
		if got := dead(`print 'waits'; <$line>; say('READY=1')`); got != "ready" {
			t.Errorf("the program itself: %s", got)
		}
		if e.eval(t, `e2e:call(E, {info, reach})`) == "cgroup" && tellsTheDead() {
			if got := dead(`if (!fork) { print 'waits'; <$line>; say('READY=1'); exit } wait; say('STATUS=behind'); close $end; sleep 1000`); got != "ready" {
				t.Errorf("a process that it has started: %s", got)
			}
		}
	})
}

// fifo makes a FIFO that programs may use, and opens it.
func fifo(t *testing.T, path string, flags int) *os.File {
	t.Helper()
	try(t, syscall.Mkfifo(path, 0))
	try(t, os.Chmod(path, 0o666)) // whatever the umask
	f, err := os.OpenFile(path, flags, 0)
	try(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// tellsTheDead reports whether the kernel still attributes a message when its sender has been
// reaped. Linux 6.16 does: it passes a pidfd, which names the control group.
func tellsTheDead() bool {
	var u unix.Utsname
	var major, minor int
	_ = unix.Uname(&u)
	_, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return err == nil && (major > 6 || major == 6 && minor >= 16)
}

// mayWork reports whether a kernel that lacks some protection cannot prevent this attack.
func mayWork(target, attack string) bool {
	if target == "main" && !ordinary {
		return attack == "abstract socket" && landlock() < 6 // root's, otherwise
	}
	switch {
	case slices.Contains(signals, attack):
		return landlock() < 6
	case slices.Contains(limits, attack):
		return !filters()
	}
	return target == "another program" && landlock() < 6 // the same user's, and dumpable
}

// A program with set-user-ID root runs as its own user, for any caller.
//
//erluv:users
func TestSetUserID(t *testing.T) {
	e := common(t)
	text, err := os.ReadFile(intruderPath(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, bit := range []os.FileMode{os.ModeSetuid, os.ModeSetgid} {
		path := filepath.Join(dir, "set-id-"+bit.String())
		if err := os.WriteFile(path, text, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o755|bit); err != nil {
			t.Fatal(err)
		}
		u, g := workerID, groupID
		want := fmt.Sprintf("%d %d %d %d %d %d", u, u, u, g, g, g)
		for _, opts := range []string{`#{}`, `#{oom_score_adj => 900}`, `#{pty => true}`} {
			e.expect(t, `<<"`+want+`">>`, `
				{ok, #{stdout := Out}} = e2e:call(E, {run, [Program, "whoami"], `+opts+`}), string:trim(Out)`, bind{"Program": path})
			e.expect(t, `<<"`+want+`">>`, `
				{ok, #{stdout := Out}} = e2e:call(E, {run, Program ++ " whoami", `+opts+`}), string:trim(Out)`, bind{"Program": source(`"` + path + `"`)})
		}
		// The file is set-user-ID for other processes, unless its file system is mounted nosuid.
		var fs unix.Statfs_t
		if err := unix.Statfs(path, &fs); err != nil {
			t.Fatal(err)
		}
		if os.Getuid() != 0 || fs.Flags&unix.ST_NOSUID != 0 {
			continue
		}
		cmd := exec.Command(path, "whoami")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: u, Gid: g}}
		if out, err := cmd.Output(); err != nil || strings.TrimSpace(string(out)) == want {
			t.Errorf("without erluv: %q, %v", out, err)
		}
	}
}
