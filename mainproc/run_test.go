package mainproc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"erluv/config"
	"erluv/mainproc/crew"
	"erluv/wire/dist"
	"erluv/wire/dist/disttest"

	"golang.org/x/sys/unix"
)

// runAs is the identity of the tests' roles: nobody if root runs the tests, else the tests' user.
func runAs() config.Identity {
	if os.Geteuid() == 0 {
		return config.Identity{User: "nobody", Group: "nogroup", UID: 65534, GID: 65534}
	}
	return config.Identity{User: "us", UID: os.Geteuid(), GID: os.Getegid()}
}

// running is a Run in the test's own process.
type running struct {
	stop func(error)
	done chan error
	up   chan struct{}
	log  bytes.Buffer // read after done
}

func run(t *testing.T, cfg *config.Config) *running { return runWith(t, cfg, false) }

// runAlone runs Run as in a process of its own.
func runAlone(t *testing.T, cfg *config.Config) *running {
	t.Cleanup(func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) })
	return runWith(t, cfg, true)
}

func runWith(t *testing.T, cfg *config.Config, alone bool) *running {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	r := &running{stop: cancel, done: make(chan error, 1), up: make(chan struct{})}
	log := slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.done <- Run(ctx, cfg, log, Options{Version: "1.2.3", Up: func() { close(r.up) }, Alone: alone})
	}()
	t.Cleanup(func() {
		cancel(nil)
		<-ended
		if t.Failed() {
			t.Logf("log:\n%s", r.log.String())
		}
	})
	return r
}

// wait waits for the end of Run.
func (r *running) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-time.After(waitBound):
		t.Fatal("it does not end")
		return nil
	}
}

// descriptors lists the open descriptors of this process.
func descriptors(t *testing.T) string {
	t.Helper()
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, n := range names {
		to, _ := os.Readlink(n)
		if strings.HasPrefix(to, "socket:") || strings.HasPrefix(to, "anon_inode:[pidfd]") || strings.HasPrefix(to, "pipe:") || to == "/dev/null" {
			list = append(list, filepath.Base(n)+" "+to)
		}
	}
	return strings.Join(list, "\n")
}

// children lists the processes that this one has started and not reaped.
func children(t *testing.T) string {
	t.Helper()
	names, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	var all string
	for _, n := range names {
		text, _ := os.ReadFile(n)
		all += string(text)
	}
	return all
}

func TestRun(t *testing.T) {
	t.Setenv("ERLUV_COOKIE", testCookie)
	t.Setenv("LANG", "C.UTF-8")
	n := newNode(t)
	n.change(func(n *disttest.Node) { n.AfterAck = []byte("?") }) // the first byte for the child
	before := descriptors(t)
	start := time.Now()
	r := run(t, n.config())
	p, got := n.served(t)
	<-r.up
	t.Logf("up after %v", time.Since(start))

	s, l := got.Start, got.Link
	if !strings.HasPrefix(l.Node, "erluv_") || len(l.Node) != len("erluv_01234567@127.0.0.1") || l.Node != p.client.Name {
		t.Errorf("our name: %q, to the node %q", l.Node, p.client.Name)
	}
	if l.Creation == 0 || l.Creation != p.client.Creation || p.client.Flags != dist.Default {
		t.Errorf("creation %d, to the node %d; flags %v", l.Creation, p.client.Creation, p.client.Flags)
	}
	if l.Target != n.Name || l.TargetCreation != 77 || s.Controller != "erluv" || s.ErluvVersion != "1.2.3" ||
		s.MaxWorkers != 10 || s.KillTimeoutMS != 1000 || s.Contain != strongest() || s.User != runAs().User ||
		int(s.UID) != runAs().UID || int(s.MainPID) != os.Getpid() || s.SpawnerPID == 0 {
		t.Errorf("start: %+v", s)
	}
	environ := strings.Join(s.Environ, "\n")
	if strings.Contains(environ, testCookie) || !strings.Contains(environ, "LANG=C.UTF-8") {
		t.Errorf("to be inherited: %q", s.Environ)
	}
	if len(got.Environ) > 0 || strings.Join(got.Args, " ") != "erluv child 0" || !got.NonBlock {
		t.Errorf("the child: environment %q, arguments %q, non-blocking %v", got.Environ, got.Args, got.NonBlock)
	}
	checkCmdlines(t, got.PID, int(s.SpawnerPID))
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); dumpable != 0 {
		t.Errorf("main is dumpable: %d, %v", dumpable, err)
	}

	r.stop(errors.New("for a test"))
	if line := p.line(t); line != "stop: for a test" {
		t.Errorf("the child was told %q", line)
	}
	p.ends(t)
	if err := r.wait(t); err != nil {
		t.Error(err)
	}
	_ = p.Close()
	if after := descriptors(t); len(strings.Split(after, "\n")) > len(strings.Split(before, "\n")) {
		t.Errorf("descriptors before:\n%s\nafter:\n%s", before, after)
	}
	if left := children(t); left != "" {
		t.Errorf("processes left: %s", left)
	}
}

// checkCmdlines: command lines have no secret, and main can read them.
func checkCmdlines(t *testing.T, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			t.Error(err)
		}
		if s := string(text); s != "erluv\x00child\x000\x00" && !strings.HasPrefix(s, "erluv\x00spawner\x00"+fmt.Sprint(runAs().UID)+"\x00") {
			t.Errorf("process %d: %q", pid, s)
		}
	}
}

// TestRefusals: an impossible configuration ends Run at once, with advice, and leaves nothing.
func TestRefusals(t *testing.T) {
	closed := newNode(t)
	_ = closed.l.Close()
	for name, tt := range map[string]struct {
		node   func(*disttest.Node)
		cfg    func(*config.Config)
		want   string
		status int
		conns  int
	}{
		"cookie": {
			node: func(n *disttest.Node) { n.Cookie = "ANOTHER" },
			want: "cookie", status: 3, conns: 1,
		},
		"cookie of the node": {
			node: func(n *disttest.Node) { n.AckDigest = make([]byte, 16) },
			want: "cookie", status: 3, conns: 1,
		},
		"fixed name taken": {
			node: func(n *disttest.Node) { n.Status = "alive" },
			cfg:  func(c *config.Config) { c.Name = "fix" },
			want: "fix@127.0.0.1 is connected", status: 3, conns: 1,
		},
		"every random name taken": {
			node: func(n *disttest.Node) { n.Status = "alive" },
			want: "is connected", status: 3, conns: 10,
		},
		"not allowed": {
			node: func(n *disttest.Node) { n.Status = "not_allowed" },
			want: "net_kernel:allow/1", status: 3, conns: 1,
		},
		"another node": {
			node: func(n *disttest.Node) { n.Name = "bar@127.0.0.1" },
			want: "bar@127.0.0.1", status: 1, conns: 1,
		},
		"nothing listens": {
			cfg:  func(c *config.Config) { c.Address = closed.l.Addr().String() },
			want: "nothing listens at " + closed.l.Addr().String(), status: 1,
		},
		"no host": {
			cfg:  func(c *config.Config) { c.Address = "no.such.host.invalid:1" },
			want: "cannot connect to foo@127.0.0.1", status: 1,
		},
		"no such node": {
			cfg: func(c *config.Config) {
				c.Address, c.EPMDPort = "", fakeEPMD(t, "bar", 1)
			},
			want: `"foo"`, status: 1,
		},
		"root": {
			cfg:  func(c *config.Config) { c.RunAs = config.Identity{User: "root"} },
			want: "root", status: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			cfg := n.config()
			if tt.node != nil {
				n.change(tt.node)
			}
			if tt.cfg != nil {
				tt.cfg(cfg)
			}
			err := run(t, cfg).wait(t)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v; want one line with %q", err, tt.want)
			}
			if got := ExitStatus(err); got != tt.status {
				t.Errorf("exit status %d, want %d", got, tt.status)
			}
			for end := time.Now().Add(waitBound); len(n.conns) < tt.conns && time.Now().Before(end); {
				time.Sleep(time.Millisecond) // the node reports it when its side has ended
			}
			if len(n.conns) != tt.conns {
				t.Errorf("%d connections, want %d", len(n.conns), tt.conns)
			}
			if left := children(t); left != "" {
				t.Errorf("processes left: %s", left)
			}
		})
	}
}

func TestByEPMD(t *testing.T) {
	n := newNode(t)
	cfg := n.config()
	_, port, _ := strings.Cut(cfg.Address, ":")
	var p int
	_, _ = fmt.Sscan(port, &p)
	cfg.Address, cfg.EPMDPort = "", fakeEPMD(t, "foo", p)
	if err := pinged(t, cfg); err != nil {
		t.Error(err)
	}
	if p := n.next(t); p.err != nil {
		t.Error(p.err)
	} else {
		p.ends(t)
	}
}

// TestReconnect: a new connection has the same name and creation and other pids. The first one is
// closed.
func TestReconnect(t *testing.T) {
	for _, how := range []string{"", "c", "x", "j", "r", "h"} {
		t.Run("after "+how, func(t *testing.T) {
			n := newNode(t)
			r := run(t, n.config())
			p, first := n.served(t)
			if how == "" {
				_ = p.Close()
			} else {
				p.tell(t, how)
				p.ends(t)
			}
			p, second := n.served(t)
			if first.Link.Node != second.Link.Node || first.Link.Creation != second.Link.Creation || first.Link.Serial == second.Link.Serial {
				t.Errorf("%+v, then %+v", first.Link, second.Link)
			}
			if first.PID == second.PID || first.Start.SpawnerPID == second.Start.SpawnerPID {
				t.Error("the same processes serve again")
			}
			r.stop(errors.New("enough"))
			if err := r.wait(t); err != nil {
				t.Error(err)
			}
			p.ends(t)
			if left := children(t); left != "" {
				t.Errorf("processes left: %s", left)
			}
		})
	}
}

// TestReconnectExit: a lost connection ends erluv, as a failure.
func TestReconnectExit(t *testing.T) {
	for how, want := range map[string]string{"": "the connection was lost: by the node", "c": "was killed: killed", "x": "status 7"} {
		n := newNode(t)
		cfg := n.config()
		cfg.Reconnect = config.ReconnectExit
		r := run(t, cfg)
		p, _ := n.served(t)
		if how == "" {
			_ = p.Close()
		} else {
			p.tell(t, how)
		}
		err := r.wait(t)
		if ExitStatus(err) != 1 || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", how, err, want)
		}
	}
}

// TestStopByNode: the node's own request is an orderly end, even if the child ends before main has
// read all its messages.
func TestStopByNode(t *testing.T) {
	for _, how := range []string{"s", "S"} {
		n := newNode(t)
		r := run(t, n.config())
		p, _ := n.served(t)
		p.tell(t, how)
		p.ends(t)
		if err := r.wait(t); err != nil {
			t.Errorf("%s: %v", how, err)
		}
	}
}

// TestChildIgnoresStop: the child is killed when its time is over.
func TestChildIgnoresStop(t *testing.T) {
	n := newNode(t)
	cfg := n.config()
	cfg.KillTimeout = time.Millisecond
	r := run(t, cfg)
	p, _ := n.served(t)
	p.tell(t, "m")
	if line := p.line(t); line != "mute" {
		t.Fatal(line)
	}
	start := time.Now()
	r.stop(errors.New("enough"))
	err := r.wait(t)
	if ExitStatus(err) != 1 || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("%v", err)
	}
	if d := time.Since(start); d < crew.StopGrace {
		t.Errorf("killed after %v", d)
	}
	p.ends(t)
}
