package mainproc

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"strings"
	"testing"

	"erluv/config"

	"golang.org/x/sys/unix"
)

// second is another allowed user if we are root, else our own.
func second() config.Allowed {
	if os.Geteuid() == 0 {
		return config.Allowed{
			Identity: config.Identity{User: "games", Group: "games", UID: 5, GID: 60, Home: "/usr/games", Shell: "/bin/sh"},
			Groups:   []config.Group{{Name: "audio", GID: 29}},
		}
	}
	return config.Allowed{Identity: runAs()}
}

// nobodyElse is a user that no process can become.
func nobodyElse() config.Allowed {
	return config.Allowed{Identity: config.Identity{User: "none", Group: "none", UID: math.MaxUint32, GID: 1}}
}

// user returns the child's message about a user's spawner, and its process.
func (p *peer) user(t *testing.T) (user, pid, fds int) {
	t.Helper()
	line := p.line(t)
	if _, err := fmt.Sscanf(line, "user %d: %d %d", &user, &pid, &fds); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return user, pid, fds
}

// TestUsers: the spawner of another user exists as long as the child wants it. The child learns of
// its end, and of a failed start.
func TestUsers(t *testing.T) {
	for _, contain := range []string{"auto", "cgroup", "group"} {
		t.Run(contain, func(t *testing.T) {
			n := newNode(t)
			cfg := n.config()
			cfg.Contain = contain
			if contain == "cgroup" && !canCgroup() {
				cfg.Contain = "auto"
			}
			cfg.Allowed = []config.Allowed{second(), nobodyElse()}
			r := run(t, cfg)
			p, got := n.served(t)
			if list := got.Start.Allowed; len(list) != 3 || list[0].User != cfg.RunAs.User || list[1].User != second().User || list[2].User != "none" {
				t.Errorf("allowed are %+v", list)
			}
			want := func(what string, here bool) (pid int) {
				t.Helper()
				p.tell(t, what)
				user, pid, fds := p.user(t)
				if user < 1 || (pid != 0) != here || (fds == 1) != here {
					t.Fatalf("for %q: user %d, process %d with %d descriptors", what, user, pid, fds)
				}
				return pid
			}
			first := want("1", true)
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", first))
			// The first id may be a keeper's.
			if id := fmt.Sprintf("\t%[1]d\t%[1]d\t%[1]d\n", second().UID); err != nil || !strings.Contains(string(text), id) {
				t.Errorf("not %s: %s, %v", id, text, err)
			}
			want("2", false)
			if err := unix.Kill(first, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if user, pid, _ := p.user(t); user != 1 || pid != 0 {
				t.Errorf("after its death: user %d, process %d", user, pid)
			}
			if again := want("1", true); again == first {
				t.Errorf("the same process %d", again)
			}
			want("d", false)
			want("1", true)
			r.stop(nil)
			if line := p.line(t); !strings.HasPrefix(line, "stop: ") {
				t.Errorf("%q instead of a stop", line)
			}
			if err := r.wait(t); err != nil {
				t.Error(err)
			}
			if left := children(t); left != "" {
				t.Errorf("processes left: %s", left)
			}
			for _, words := range []string{"no spawner could be started\" user=none error=", "a spawner was killed, and its programs with it\" user=" + second().User, "a spawner is not needed any more"} {
				if !strings.Contains(r.log.String(), words) {
					t.Errorf("the log does not have %q:\n%s", words, r.log.String())
				}
			}
		})
	}
}

// TestUsersMisplaced: a child that wants a spawner that cannot exist, or that it has, is killed.
func TestUsersMisplaced(t *testing.T) {
	for what, words := range map[string]string{"0": "wants a spawner for user 0", "9": "wants a spawner for user 9 of 1", "11": "wants a spawner for user 1, and has it"} {
		n := newNode(t)
		cfg := n.config()
		cfg.Reconnect = config.ReconnectExit
		cfg.Allowed = []config.Allowed{second()}
		r := run(t, cfg)
		p, _ := n.served(t)
		p.tell(t, what)
		if err := r.wait(t); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v, want %q", what, err, words)
		}
		if left := children(t); left != "" {
			t.Errorf("processes left: %s", left)
		}
	}
}

// TestUsersDieAtOnce: a child may want a spawner that dies at once again and again. Main stops
// starting it.
func TestUsersDieAtOnce(t *testing.T) {
	n := newNode(t)
	cfg := n.config()
	cfg.Allowed = []config.Allowed{second()}
	r := run(t, cfg)
	p, _ := n.served(t)
	tries := 0
	for ; tries < 100; tries++ {
		p.tell(t, "1")
		_, pid, _ := p.user(t)
		if pid == 0 {
			break
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if _, pid, _ = p.user(t); pid != 0 {
			t.Fatalf("process %d in its place", pid)
		}
	}
	r.stop(nil)
	if err := r.wait(t); err != nil {
		t.Error(err)
	}
	// On a loaded machine one may live too long to be counted.
	if tries < 5 || tries == 100 || !strings.Contains(r.log.String(), "have died at once: there is none for 30s") {
		t.Errorf("%d spawners:\n%s", tries, r.log.String())
	}
}

// TestTooManyUsers: too many users for one message are an error at the start.
func TestTooManyUsers(t *testing.T) {
	cfg := newNode(t).config()
	a := second()
	for range 300 {
		a.Groups = append(a.Groups, config.Group{Name: strings.Repeat("g", 60), GID: 7})
	}
	cfg.Allowed = []config.Allowed{a}
	if err := Run(t.Context(), cfg, slog.New(slog.DiscardHandler), Options{}); err == nil || !strings.Contains(err.Error(), "name fewer") {
		t.Errorf("%v", err)
	}
}
