package spawner

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"erluv/ipc"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

const patience = 2 * time.Minute

// The test binary plays the roles. One is the spawner, with Main on descriptor 3, and with a limit
// of descriptors if one is given. Another is the process that becomes a program, with Exec.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "spawner" {
		if len(os.Args) > 2 {
			n, _ := strconv.ParseUint(os.Args[2], 10, 32)
			if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n}); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
		leave(Main())
	}
	if len(os.Args) > 1 && os.Args[1] == "become" {
		leave(Exec(os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

// leave ends a process that has played a role. With GOCOVERDIR, os.Exit writes there which
// statements have run: go test -cover ./spawner -args -test.gocoverdir=DIR counts them. Without it,
// os.Exit would print a warning, and with -race it waits a second.
func leave(err error) {
	exit, status := syscall.Exit, 0
	if os.Getenv("GOCOVERDIR") != "" {
		exit = os.Exit
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	exit(status)
}

// environ is the environment of a process that plays a role.
func environ() []string {
	if f := flag.Lookup("test.gocoverdir"); f != nil && f.Value.String() != "" {
		return []string{"GOCOVERDIR=" + f.Value.String()}
	}
	return []string{}
}

// process is a spawner with the test as main and as the child.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr bytes.Buffer
	up     *ipc.Conn
	child  *ipc.Conn
	ended  bool
}

// begin starts the process and receives its hello.
func begin(t *testing.T) *process {
	t.Helper()
	return beginAs(t, nil)
}

func beginAs(t *testing.T, as *syscall.Credential, args ...string) *process {
	t.Helper()
	p := &process{t: t}
	up, down, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(uintptr(down.FD()), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	_ = down.Close()
	f := os.NewFile(uintptr(fd), "socket")
	p.up = up
	p.cmd = exec.Command("/proc/self/exe", append([]string{"spawner"}, args...)...)
	if os.Geteuid() != 0 { // as main does; the kernel requires it of an ordinary user
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		p.cmd = exec.Command("/usr/bin/setpriv", append([]string{"--no-new-privs", self, "spawner"}, args...)...)
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	p.cmd.ExtraFiles, p.cmd.Env, p.cmd.Stderr = []*os.File{f}, environ(), &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	t.Cleanup(func() {
		_ = p.up.Close()
		if p.child != nil {
			_ = p.child.Close()
		}
		if !p.ended {
			_ = p.cmd.Wait()
		}
	})
	if m, _ := p.hear(p.up); m != (ipc.Hello{Version: ipc.Version, Role: ipc.RoleSpawner, PID: uint32(p.cmd.Process.Pid)}) {
		t.Fatalf("%#v instead of a hello", m)
	}
	return p
}

// serving returns a spawner that serves.
func serving(t *testing.T, reports bool) *process {
	t.Helper()
	return servingWith(t, ipc.StartSpawner{Reports: reports})
}

// servingWith returns one that serves with more settings.
func servingWith(t *testing.T, st ipc.StartSpawner) *process {
	t.Helper()
	p := begin(t)
	p.serve(st)
	return p
}

// serve makes it serve. Programs are looked up where they are.
func (p *process) serve(st ipc.StartSpawner) {
	p.t.Helper()
	p.start(st)
	if m, _ := p.hear(p.up); m != (ipc.Ready{}) {
		p.t.Fatalf("%#v instead of Ready", m)
	}
}

// start sends the settings.
func (p *process) start(st ipc.StartSpawner) {
	p.t.Helper()
	mine, theirs, err := ipc.Pair()
	if err != nil {
		p.t.Fatal(err)
	}
	p.child = mine
	st.Path = []string{"/usr/bin", "/bin"}
	p.say(p.up, st, theirs.FD())
	_ = theirs.Close()
}

func (p *process) say(c *ipc.Conn, m ipc.Message, fds ...int) {
	p.t.Helper()
	if err := c.Send(ipc.Append(nil, m), patience, fds...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) hear(c *ipc.Conn) (ipc.Message, []int) {
	p.t.Helper()
	buf := make([]byte, ipc.MaxPacket)
	n, fds, err := c.Recv(buf, patience)
	if err != nil {
		p.t.Fatalf("%v; %s", err, p.stderr.String())
	}
	m, err := ipc.Decode(buf[:n])
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { ipc.CloseAll(fds) })
	return m, fds
}

// spawned requests a program and returns the answer.
func (p *process) spawned(m *ipc.Spawn, fds ...int) ipc.Spawned {
	p.t.Helper()
	p.say(p.child, m, fds...)
	answer, _ := p.hear(p.child)
	s, ok := answer.(ipc.Spawned)
	if !ok || s.Seq != m.Seq {
		p.t.Fatalf("%#v instead of the answer to %d", answer, m.Seq)
	}
	return s
}

// says runs a program to its end and returns its output.
func (p *process) says(m *ipc.Spawn) string {
	p.t.Helper()
	r, w := pipe(p.t)
	m.Streams[1] = ipc.Stream{FD: 1, Source: ipc.SourceFD}
	p.say(p.child, m, int(w.Fd()))
	w.Close()
	if a := answer(p); a.Stage != ipc.StageNone {
		p.t.Fatalf("%q: %+v", m.Args, a)
	}
	return all(p.t, r)
}

// failed waits until the process has ended by itself, with a text on stderr.
func (p *process) failed(text string) {
	p.t.Helper()
	p.ended = true
	err := p.cmd.Wait()
	if err == nil || !strings.Contains(p.stderr.String(), text) {
		p.t.Errorf("the spawner: %v, %q, want %q", err, p.stderr.String(), text)
	}
}

// childEnds closes the child's end. The spawner must then end well.
func (p *process) childEnds() {
	p.t.Helper()
	_ = p.child.Close()
	p.ended = true
	if err := p.cmd.Wait(); err != nil || p.stderr.Len() > 0 {
		p.t.Errorf("the spawner: %v, %q", err, p.stderr.String())
	}
}

func null(n int) []ipc.Stream {
	s := make([]ipc.Stream, n)
	for i := range s {
		s[i] = ipc.Stream{Source: ipc.SourceNull, FD: uint8(i)}
	}
	return s
}

func program(args ...string) *ipc.Spawn {
	return &ipc.Spawn{Seq: 9, Program: args[0], Args: args, Dir: "/", Streams: null(3)}
}

func gone(pid uint32) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	return f[0] == "Z" || f[0] == "X"
}

func bothModes(t *testing.T, f func(t *testing.T, reports bool)) {
	t.Run("reports", func(t *testing.T) { f(t, true) })
	if ipc.PidfdsSuffice() {
		t.Run("pidfds", func(t *testing.T) { f(t, false) })
	}
}
