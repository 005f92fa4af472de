package sandbox

import (
	"bufio"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestChildFiles: Landlock alone limits the files that the child can open.
func TestChildFiles(t *testing.T) {
	parts := here(t) &^ Seccomp
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	// The file and the two directories that the test has made.
	for path := file; path != os.TempDir() && path != "/"; path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	denied, isDir := "EACCES", "ok"
	if !parts.Has(Files) {
		denied = "ok"
	}
	said, state := sealed(t, parts, "files",
		"r", "/etc/passwd", "r", file, "w", file, "t", file, "c", file+"-new", "u", file+"-new", "r", "/dev/null", "x", "/bin/true",
		"d", "/", "d", "/etc", "r", "/proc/self/stat", "w", "/dev/ptmx")
	if !state.Success() {
		t.Fatal(state)
	}
	wantAll(t, said, map[string]string{
		"r passwd": denied, "r file": denied, "w file": denied, "t file": denied, "c file-new": denied, "u file-new": map[bool]string{true: "ENOENT", false: "ok"}[parts.Has(Files)],
		"r null": denied, "x true": denied,
		"d /": isDir, "d etc": isDir, "r stat": "ok", "w ptmx": denied,
	})
}

// TestChildNetwork: Landlock alone denies the child all ports.
func TestChildNetwork(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	want := map[string]string{"tcp": "EACCES", "bind": "EACCES"}
	if !here(t).Has(TCP) {
		want = map[string]string{"tcp": "ok", "bind": "ok"}
	}
	said, _ := sealed(t, here(t)&TCP, "net", l.Addr().String())
	wantAll(t, said, want)
}

// TestConfineProves: confine notices rules that allow everything.
func TestConfineProves(t *testing.T) {
	if !here(t).Has(Files) {
		return
	}
	r := Recipe{Rules: Rules{Files: true, Allow: []Beneath{{Path: "/", Access: Write | Exec}}}}
	if _, state := inStage(t, r, "whoami"); state.Success() {
		t.Error("a stage that can open /dev/null goes on")
	}
}

// TestRuleset: rules that cannot be enforced are an error, with the reason.
func TestRuleset(t *testing.T) {
	abi := landlockABI()
	for name, tt := range map[string]struct {
		rules Rules
		needs int
		errno error
	}{
		"scope":   {Rules{Scope: true}, abiScope, nil},
		"files":   {Rules{Files: true, Allow: []Beneath{{"/usr", Exec, false}, {"/dev/null", Write, false}}}, abiTruncate, nil},
		"ports":   {Rules{TCP: true, Connect: []uint16{443}}, abiTCP, nil},
		"missing": {Rules{Files: true, Allow: []Beneath{{"/no/such", Read, false}}}, abiTruncate, unix.ENOENT},
		"may be":  {Rules{Files: true, Allow: []Beneath{{"/no/such", Read, true}}}, abiTruncate, nil},
	} {
		fd, err := tt.rules.Ruleset()
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		want := tt.errno
		if abi < tt.needs {
			want = ErrLandlock
		}
		if !errors.Is(err, want) || (want == nil) != (fd >= 0) {
			t.Errorf("%s: %d, %v; want %v", name, fd, err, want)
		}
	}
}

// TestAvailable: kernels of each age have their parts, and the missing ones are named.
func TestAvailable(t *testing.T) {
	for _, tt := range []struct {
		abi     int
		seccomp bool
		want    Parts
		missing string
	}{
		{0, false, 0, "seccomp|lsm="},
		{0, true, Seccomp, "lsm="},
		{1, true, Seccomp, "files (Linux 6.2)|ports|signals"},
		{2, true, Seccomp, "files|ports|signals"},
		{3, true, Seccomp | Files, "ports (Linux 6.7)|signals"},
		{5, true, Seccomp | Files | TCP, "signals and abstract sockets (Linux 6.12)"},
		{6, true, Seccomp | Files | TCP | Scope, ""},
		{9, false, Files | TCP | Scope, "seccomp"},
	} {
		parts, missing := available(tt.abi, tt.seccomp)
		text := strings.Join(missing, "; ")
		if parts != tt.want || (tt.missing == "") != (text == "") {
			t.Errorf("version %d: %v, %q", tt.abi, parts, text)
		}
		for _, word := range strings.Split(tt.missing, "|") {
			if !strings.Contains(text, word) {
				t.Errorf("version %d: %q does not name %q", tt.abi, text, word)
			}
		}
	}
	if parts, _, err := Choose(Off); parts != 0 || err != nil {
		t.Errorf("off: %v, %v", parts, err)
	}
	if s := (Seccomp | Scope).String(); s != "seccomp scope" {
		t.Errorf("%q", s)
	}
}

// TestEnclose: a process that an enclosed thread starts can signal itself and its own children, but
// no other process of the same user.
func TestEnclose(t *testing.T) {
	path, err := intruder()
	if err != nil {
		t.Fatal(err)
	}
	attr := &syscall.SysProcAttr{}
	if id := target(); os.Geteuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: id.UID, Gid: id.GID}
	}
	victim := exec.Command(path, "victim")
	victim.SysProcAttr = attr
	in, err := victim.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		_ = victim.Wait()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	attack := func(parts Parts, whom string) (said string) {
		done := make(chan error)
		go func() {
			runtime.LockOSThread() // and ends it
			if err := parts.Enclose(); err != nil {
				done <- err
				return
			}
			cmd := exec.Command(path, "attack", whom)
			cmd.SysProcAttr = attr
			text, err := cmd.Output()
			said = string(text)
			done <- err
		}()
		if err := <-done; err != nil {
			t.Error(err)
		}
		return said
	}
	const works, fails = "kill: ok\n", "kill: EPERM\n"
	if said := attack(0, strings.TrimSpace(line)); !strings.Contains(said, works) {
		t.Errorf("not enclosed: %s", said)
	}
	if here(t).Has(Scope) {
		if said := attack(Scope, strings.TrimSpace(line)); !strings.Contains(said, fails) || !strings.Contains(said, "abstract socket: EPERM") {
			t.Errorf("enclosed: %s", said)
		}
		if said := attack(Scope, "own"); !strings.Contains(said, works) {
			t.Errorf("enclosed, against its own: %s", said)
		}
	}
}
