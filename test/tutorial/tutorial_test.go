package tutorial

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	tutorial = "doc/tutorial.md"
	readme   = "README.md"

	// patience bounds the wait for each answer; a package manager has more to do.
	patience     = 2 * time.Minute
	rootPatience = 10 * time.Minute
)

// A place is the surroundings in which the tutorial is typed.
type place struct {
	credential *syscall.Credential // nil: the test's own
	home       string
	env        []string
	replace    *strings.Replacer
}

func TestTutorial(t *testing.T) {
	as := os.Getenv("TUTORIAL_AS")
	p := beside
	if as != "" {
		p = func(t *testing.T) *place { return fresh(t, as) }
	}
	typeAll(t, p, tutorial, as != "", "make deb")
}

// TestReadme types what README.md shows of the library and of the command.
func TestReadme(t *testing.T) {
	typeAll(t, beside, readme, false)
}

// typeAll types a document. Without asRoot it leaves out what root types.
func typeAll(t *testing.T, at func(*testing.T) *place, document string, asRoot bool, notTyped ...string) {
	text, err := os.ReadFile("../../" + document)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := parse(document, string(text), notTyped...)
	if err != nil {
		t.Fatal(err)
	}
	p := at(t)
	endAll(t)
	var root, bash, erl *terminal
	for _, s := range steps {
		typed, want := p.replace.Replace(s.typed), p.replace.Replace(s.want)
		switch {
		case s.prompt == "file":
			p.write(t, "tour/"+typed, want)
		case s.prompt == "#":
			if !asRoot {
				continue
			}
			if root == nil {
				root = startBash(t, &place{home: p.home, env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive"}})
			}
			root.step(t, s, typed, want, rootPatience)
		case s.prompt == "$" && strings.HasPrefix(typed, "erl ") && !strings.Contains(typed, "-detached"):
			erl = startErl(t, p, strings.Fields(typed))
		case s.prompt == "$":
			if bash == nil {
				bash = startBash(t, p)
			}
			bash.step(t, s, typed, want, patience)
		default:
			erl.step(t, s, typed, want, patience)
		}
		if t.Failed() {
			return
		}
	}
}

// beside is a place that leaves the rest of this machine alone.
func beside(t *testing.T) *place {
	t.Helper()
	dir, err := os.MkdirTemp("", "erluv-tutorial-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	binary := os.Getenv("ERLUV_BIN")
	if binary == "" {
		binary = filepath.Join(dir, "erluv")
		build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "../../cmd/erluv")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		run(t, build)
	}
	prefix := filepath.Join(dir, "usr")
	install := exec.Command("../../packaging/install")
	install.Env = append(os.Environ(), "ERLUV_BIN="+binary, "BUILD="+filepath.Join(dir, "build"), "DESTDIR=", "UNITDIR=",
		"INITDIR=", "ERLC=", "PREFIX="+prefix, "SYSCONFDIR="+filepath.Join(dir, "etc"))
	run(t, install)

	p := &place{home: filepath.Join(dir, "home")}
	if err := os.Mkdir(p.home, 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		p.become(t, "games")
		// An SSH server of any user needs this directory.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.env = []string{
		"HOME=" + p.home, "PATH=" + prefix + "/bin:/usr/local/bin:/usr/bin:/bin", "ERL_LIBS=" + prefix + "/lib/erlang/lib",
		// erluv takes the home directory from the user database.
		"ERLUV_COOKIE_FILE=" + p.home + "/.erlang.cookie", "ERLUV_CONF=none",
	}
	p.settle(t, prefix+"/bin/erluv")
	return p
}

// fresh is a place on a machine that only this test uses.
func fresh(t *testing.T, name string) *place {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	p := &place{home: u.HomeDir}
	p.become(t, name)
	p.env = []string{"HOME=" + p.home, "PATH=/usr/local/bin:/usr/bin:/bin"}
	p.settle(t, "/usr/bin/erluv")
	return p
}

func (p *place) become(t *testing.T, name string) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	p.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	if err := os.Chown(p.home, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
}

// settle chooses the name and the ports, of which one is EPMD's.
func (p *place) settle(t *testing.T, executable string) {
	t.Helper()
	var ports [4]string
	for i := range ports {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // all ports are held until all are known
		_, ports[i], _ = net.SplitHostPort(l.Addr().String())
	}
	p.replace = strings.NewReplacer("2222", ports[0], "8022", ports[1], "9100", ports[2],
		"shop@", fmt.Sprintf("shop%d@", os.Getpid()), "far@", fmt.Sprintf("far%d@", os.Getpid()),
		"erluv run ", executable+" run ")
	p.env = append(p.env, "ERL_EPMD_PORT="+ports[3], "ERL_EPMD_ADDRESS=127.0.0.1", "ERL_CRASH_DUMP_BYTES=0",
		"LC_ALL=C.UTF-8", "TERM=dumb")
}

func (p *place) write(t *testing.T, name, text string) {
	t.Helper()
	name = filepath.Join(p.home, name)
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// endAll ends the tutorial's programs with the test, if it was not typed to its end. It always ends
// EPMD, which the tutorial leaves. All of them become children of the test.
func endAll(t *testing.T) {
	t.Helper()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for deadline := time.Now().Add(patience); ; {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if err == syscall.ECHILD {
				return
			}
			if pid > 0 {
				continue
			}
			for _, child := range children(t) {
				_ = syscall.Kill(child, syscall.SIGKILL) // a child that is not reaped, so the number is its own
			}
			if time.Now().After(deadline) {
				t.Error("what the tutorial has started does not end")
				return
			}
			runtime.Gosched()
		}
	})
}

// children returns the children of this process.
func children(t *testing.T) (list []int) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		text, _ := os.ReadFile(task) // a thread may have ended
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				list = append(list, pid)
			}
		}
	}
	return list
}

func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
}
