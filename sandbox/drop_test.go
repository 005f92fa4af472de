package sandbox

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// seen holds the results of walk: the role's own report, and Check's result after the role has
// become undumpable.
type seen struct {
	Report report
	Check  string // the error, "" for none
	Other  string // the same for another identity, for which Check must fail
}

// walk starts a role from the dirtiest process that it can make, and inspects the role.
func walk() (seen, error) { return walkAs(target()) }

func walkAs(id Identity) (s seen, err error) {
	passwd, err := os.Open("/etc/passwd") // stands for a privileged file
	if err != nil {
		return s, err
	}
	defer passwd.Close()
	recipe := Recipe{Identity: id, Parent: os.Getpid(), KeepFD: 3, NoCore: true}
	text, err := json.Marshal(recipe)
	if err != nil {
		return s, err
	}
	cmd := exec.Command(self, "dirty", "drop", string(text), self, "report")
	cmd.ExtraFiles = []*os.File{os.Stderr, passwd, passwd, passwd} // 3, 4, 5, 6
	cmd.Stderr = os.Stderr
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential:  &syscall.Credential{Groups: []uint32{4, 27}},
			AmbientCaps: []uintptr{unix.CAP_NET_RAW, unix.CAP_SYS_ADMIN},
		}
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return s, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return s, err
	}
	if err := cmd.Start(); err != nil {
		return s, err
	}
	out, err := io.ReadAll(stdout) // ends when the role is ready
	if err == nil {
		err = json.Unmarshal(out, &s.Report)
	}
	if err := Check(cmd.Process.Pid, recipe.Identity, 0); err != nil {
		s.Check = err.Error()
	}
	if err := Check(cmd.Process.Pid, Identity{UID: 1, GID: 1}, 0); err != nil {
		s.Other = err.Error()
	}
	stdin.Close()
	if werr := cmd.Wait(); err == nil {
		err = werr
	}
	return s, err
}

// TestDrop runs the walk as the user of the test, and as an ordinary one if that is root.
func TestDrop(t *testing.T) {
	t.Run("here", func(t *testing.T) {
		got, err := walk()
		if err != nil {
			t.Fatal(err)
		}
		verify(t, got)
	})
	t.Run("ordinary user", func(t *testing.T) {
		cmd := exec.Command(self, "ordinary")
		cmd.Stderr = os.Stderr
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345, Groups: []uint32{12346}}}
		}
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var got seen
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%v in %q", err, out)
		}
		verify(t, got)
	})
}

func verify(t *testing.T, s seen) {
	t.Helper()
	r := s.Report
	if s.Check != "" {
		t.Error(s.Check)
	}
	if !strings.Contains(s.Other, "Uid is") {
		t.Errorf("Check for another identity: %q", s.Other)
	}
	for _, to := range r.FDs {
		if to == "/etc/passwd" {
			t.Errorf("a descriptor above 3 was inherited: %q", r.FDs)
		}
	}
	if len(r.Regained) > 0 {
		t.Errorf("possible after Drop: %v", r.Regained)
	}
	if r.Umask != 0o022 || r.Dir != "/" {
		t.Errorf("umask %#o in %s", r.Umask, r.Dir)
	}
	if r.Core != (unix.Rlimit{}) {
		t.Errorf("core dumps: %+v", r.Core)
	}
	if r.SigIgn != "0000000000000000" || r.SigBlk != "0000000000000000" {
		t.Errorf("signals ignored %s, blocked %s", r.SigIgn, r.SigBlk)
	}
	if r.Deathsig != int(unix.SIGKILL) {
		t.Errorf("the parent's death signal is %d", r.Deathsig)
	}
	if r.Dumpable[1] != 0 {
		t.Errorf("dumpable before and after NotDumpable: %v", r.Dumpable)
	}
}

// TestFiles: the programs of a spawner have the soft limit that erluv_main was started with. With
// AllFiles they have the hard one.
func TestFiles(t *testing.T) {
	for _, all := range []bool{false, true} {
		recipe, err := json.Marshal(Recipe{Identity: target(), Parent: os.Getpid(), KeepFD: 2, AllFiles: all})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/bin/sh", "-c", `ulimit -Sn 300; ulimit -Hn 600; exec "$@"`, "sh", exePath(t), "drop", string(recipe), self, "report")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var r report
		if err := json.Unmarshal(out, &r); err != nil {
			t.Fatal(err)
		}
		want := unix.Rlimit{Cur: 300, Max: 600}
		if all {
			want.Cur = 600
		}
		if r.Files != want {
			t.Errorf("AllFiles %v: a program has %+v, want %+v", all, r.Files, want)
		}
	}
}

// TestOutlives: a role that outlives its parent gets SIGCONT, and any other SIGKILL.
func TestOutlives(t *testing.T) {
	for outlives, want := range map[bool]unix.Signal{true: unix.SIGCONT, false: unix.SIGKILL} {
		recipe, err := json.Marshal(Recipe{Identity: target(), Parent: os.Getpid(), KeepFD: 2, Outlives: outlives})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(exePath(t), "drop", string(recipe), self, "report")
		cmd.Stderr = os.Stderr
		runtime.LockOSThread() // the end of the thread would kill it
		defer runtime.UnlockOSThread()
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var r report
		if err := json.Unmarshal(out, &r); err != nil {
			t.Fatal(err)
		}
		if r.Deathsig != int(want) {
			t.Errorf("Outlives %v: the parent's death signal is %d, want %d", outlives, r.Deathsig, want)
		}
	}
}

func exePath(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestParentEnds: a role ends when its parent is killed.
func TestParentEnds(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := os.StartProcess(self, []string{"test", "parent"}, &os.ProcAttr{Files: []*os.File{nil, w, os.Stderr}})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(r)
	if _, err := in.ReadString('\n'); err != nil {
		t.Fatalf("the role does not run: %v", err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		t.Errorf("the role lives on: %v", err)
	}
}

func TestDropRefuses(t *testing.T) {
	for _, tt := range []struct {
		play   string
		recipe Recipe
		want   string
	}{
		{"drop", Recipe{Identity: Identity{UID: 0, GID: 65534}, Parent: os.Getpid()}, "are root's"},
		{"drop", Recipe{Identity: Identity{UID: 1, GID: 1, Groups: []uint32{3}}, Parent: 1 << 21}, map[bool]string{true: "the parent has ended", false: "setresgid"}[os.Geteuid() == 0]},
		{"drop", Recipe{Identity: target(), Parent: 1 << 21}, "the parent has ended"},
		{"forget", Recipe{Identity: Identity{UID: 1, GID: 1}, Parent: os.Getpid()}, "cannot prove"},
	} {
		text, err := json.Marshal(tt.recipe)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(self, tt.play, string(text), "/bin/echo", "ran").CombinedOutput()
		if err == nil || !strings.Contains(string(out), tt.want) || strings.Contains(string(out), "ran") {
			t.Errorf("%+v: %v, %q; want an error with %q", tt.recipe, err, out, tt.want)
		}
	}
}

// TestProve: prove notices each incomplete drop. Each runs on a thread of its own, which ends with
// its goroutine.
func TestProve(t *testing.T) {
	if os.Geteuid() != 0 {
		// An ordinary user can only claim another identity.
		if err := prove(Recipe{Identity: Identity{UID: 1, GID: 1}}); err == nil {
			t.Error("an identity that we do not have was proved")
		}
		return
	}
	const u = 65534
	set := func(trap, a, b, c uintptr) error {
		if _, _, e := unix.RawSyscall(trap, a, b, c); e != 0 {
			return e
		}
		return nil
	}
	gids := func() error { return set(unix.SYS_SETRESGID, u, u, u) }
	for name, drop := range map[string]func() error{
		"nothing dropped": func() error { return nil },
		"saved uid":       func() error { return first(gids(), set(unix.SYS_SETRESUID, u, u, 0)) },
		"real uid":        func() error { return first(gids(), set(unix.SYS_SETRESUID, 0, u, u)) },
		"saved gid": func() error {
			return first(set(unix.SYS_SETRESGID, u, u, 0), set(unix.SYS_SETRESUID, u, u, u))
		},
		"another uid": func() error { return first(gids(), set(unix.SYS_SETRESUID, 1, 1, 1)) },
		"another gid": func() error {
			return first(set(unix.SYS_SETRESGID, 1, 1, 1), set(unix.SYS_SETRESUID, u, u, u))
		},
		"capabilities kept": func() error {
			return first(gids(), unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0), set(unix.SYS_SETRESUID, u, u, u))
		},
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan error)
			go func() {
				runtime.LockOSThread()
				if err := drop(); err != nil {
					done <- fmt.Errorf("cannot be tested: %w", err)
					return
				}
				if prove(Recipe{Identity: Identity{UID: u, GID: u}}) == nil {
					done <- fmt.Errorf("not noticed")
					return
				}
				done <- nil
			}()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
