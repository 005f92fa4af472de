package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// signals are the attacks that Landlock's scope alone keeps from processes of the same
// user, and limits the one that the programs' filter does.
var (
	signals = []string{"kill", "SIGCONT", "tgkill", "pidfd_send_signal", "abstract socket"}
	limits  = []string{"core"}
)

// A program attacks erluv's own processes and another program. None of it works; all of
// it works against a program that it has started itself, so the attacks are some.
func TestAttacks(t *testing.T) {
	eachWay(t, func(t *testing.T, contain, contained string) {
		n := newNode(t, nodeOptions{})
		e := newErluv(t, n, "--contain="+contain)
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
		}
		for name, target := range targets {
			if name != "another program" {
				// They listen on no abstract socket: somebody does in their stead.
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

// mayWork says what a kernel that lacks a part cannot forbid.
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

// A program that is set-user-ID root runs as its user, whoever starts it.
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
		// It is what it looks like to others, unless the file system says no.
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
