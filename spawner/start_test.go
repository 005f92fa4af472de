package spawner

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// TestCannotServe: a spawner that cannot do what main requests does not begin, and reports why.
func TestCannotServe(t *testing.T) {
	for want, st := range map[string]ipc.StartSpawner{
		"cannot open /no/such: no such file or directory": {Leaves: "/no/such"},
		"cannot open /no/limits: no such file or":         {Limits: ipc.LimitDirs{"", "/no/limits"}},
		"cannot make a control group":                     {Leaves: "/proc/self"},
	} {
		p := begin(t)
		p.start(st)
		m, _ := p.hear(p.up)
		if f, ok := m.(ipc.Failed); !ok || !strings.Contains(f.Text, want) {
			t.Errorf("%#v, want the failure %q", m, want)
		}
		p.failed(want)
	}
}

// TestScope: a program cannot signal other programs of the same user, but it can signal its own
// descendants. Where Landlock cannot ensure that, the spawner does not begin.
func TestScope(t *testing.T) {
	abi, _, _ := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if int(abi) < 6 {
		p := begin(t)
		p.start(ipc.StartSpawner{Scope: true})
		p.failed("cannot keep programs apart")
		return
	}
	bothModes(t, func(t *testing.T, reports bool) {
		for scope, want := range map[bool]string{true: "no yes", false: "yes yes"} {
			p := servingWith(t, ipc.StartSpawner{Scope: scope, Reports: reports})
			other := p.spawned(program("sleep", "1000"))
			for _, way := range []func(m *ipc.Spawn){
				func(*ipc.Spawn) {}, func(m *ipc.Spawn) { byTheRole(t, m) },
				func(m *ipc.Spawn) { m.Attributes.Confine.Allow = ipc.AllowIOUring }, // beside other rules
			} {
				m := program("/bin/sh", "-c", `sleep 1000 & for p in "$0" $!; do kill -CONT $p 2>/dev/null && echo yes || echo no; done; kill $!`, strconv.Itoa(int(other.PID)))
				way(m)
				if got := strings.Join(strings.Fields(p.says(m)), " "); got != want {
					t.Errorf("scope %v: %q, want %q", scope, got, want)
				}
			}
		}
	})
}

// TestDeny: programs are denied the calls that an ordinary one never makes. A program with allowed
// calls has only these in addition, by either way of starting it.
func TestDeny(t *testing.T) {
	can := "no"
	if exec.Command("unshare", "-U", "true").Run() == nil {
		can = "yes"
	}
	p := servingWith(t, ipc.StartSpawner{Deny: true, Reports: true})
	for _, c := range []struct {
		allow ipc.Allow
		want  string
	}{{0, "no"}, {ipc.AllowOf("userns"), can}, {ipc.AllowIOUring, "no"}, {0, "no"}, {ipc.AllAllowed(), can}} {
		for _, way := range []func(m *ipc.Spawn){func(*ipc.Spawn) {}, func(m *ipc.Spawn) { byTheRole(t, m) }} {
			m := program("/bin/sh", "-c", "unshare -U true 2>/dev/null && echo yes || echo no; sed -n 's/^Seccomp:.//p' /proc/self/status")
			m.Attributes.Confine.Allow = c.allow
			way(m)
			if got := p.says(m); got != c.want+"\n2\n" {
				t.Errorf("with %v: %q, want %q", c.allow.Names(), got, c.want)
			}
		}
	}
	p.childEnds()
}

// TestConfined: a program has the requested confinement, by either way of starting it.
func TestConfined(t *testing.T) {
	p := servingWith(t, ipc.StartSpawner{Reports: true})
	top := tree(t)
	must(t, os.Chmod(top, 0o777))
	for _, way := range []func(m *ipc.Spawn){func(*ipc.Spawn) {}, func(m *ipc.Spawn) { byTheRole(t, m) }} {
		m := program("/bin/sh", "-c", `for f in "$0"/in "$0"/../out; do (: >"$f") 2>/dev/null && echo yes || echo no; done`, top+"/open")
		_ = os.Mkdir(top+"/open", 0o755)
		m.Attributes.Confine = ipc.Confine{Files: true, Exec: []string{"/"}, Write: []string{top + "/open", "/dev/null"}}
		way(m)
		if got := p.says(m); got != "yes\nno\n" {
			t.Errorf("%q", got)
		}
	}
	p.childEnds()
}

// TestSpare: rules that protect control groups are made again when the root directory changes, and
// take no more descriptors. If they cannot be made, newSpare returns an error.
func TestSpare(t *testing.T) {
	if none, err := newSpare(false); none != (spare{}) || err != nil || none.renew() != 0 {
		t.Errorf("%+v, %v", none, err)
	}
	before := descriptors(t)
	s, err := newSpare(true)
	if err != nil {
		// Root may write to the directories of the path, and a kernel may lack Landlock.
		if s.mounts > 0 {
			_ = unix.Close(s.mounts)
		}
		return
	}
	for range 3 {
		if s.changed() || s.renew() != s.rules {
			t.Error("nothing has changed")
		}
		s.root.Sec-- // as of another time
		if s.renew() <= 0 || s.changed() {
			t.Errorf("%+v", s)
		}
	}
	_, _ = unix.Close(s.mounts), unix.Close(s.rules)
	noneLeft(t, "the rules", before)
}
