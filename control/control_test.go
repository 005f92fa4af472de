package control

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// short returns a directory whose path is short enough for a socket's.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func listening(t *testing.T, path string, own bool) *Listener {
	t.Helper()
	l, err := Listen(path, own)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// dead leaves a socket as a killed process does.
func dead(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
}

func modeOf(t *testing.T, path string) os.FileMode {
	t.Helper()
	st, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Mode()
}

func TestListen(t *testing.T) {
	defer unix.Umask(unix.Umask(0))
	dir := filepath.Join(short(t), "erluv")
	path := PathOf(dir, "erluv_1")
	l := listening(t, path, true)
	want := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		want = 0o755
	}
	if mode := modeOf(t, dir); mode != os.ModeDir|want {
		t.Errorf("the directory has mode %v", mode)
	}
	if mode := modeOf(t, path); mode != os.ModeSocket|0o600 {
		t.Errorf("the socket has mode %v", mode)
	}
	if mode := modeOf(t, filepath.Join(dir, ".lock")); mode != 0o600 {
		t.Errorf("the lock has mode %v", mode)
	}
	if l.Path() != path {
		t.Error(l.Path())
	}
	conn, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	for _, end := range []net.Conn{conn, theirs} {
		who, err := PeerOf(end)
		if want := (Peer{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), PID: int32(os.Getpid())}); who != want || err != nil {
			t.Errorf("%v, %v", who, err)
		}
	}
	if _, err := Listen(path, true); err == nil || !strings.Contains(err.Error(), "another process listens there") {
		t.Errorf("a second one: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	if _, err := Dial(t.Context(), path); !errors.Is(err, ErrNobody) {
		t.Error(err)
	}
}

// TestDead: the socket of a dead erluv is replaced. In erluv's own directory all such sockets are
// removed.
func TestDead(t *testing.T) {
	dir := short(t)
	for _, name := range []string{"a", "b", "c"} {
		dead(t, PathOf(dir, name))
	}
	if err := os.WriteFile(PathOf(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := listening(t, PathOf(dir, "a"), false)
	if names, err := Living(dir); err != nil || !slices.Equal(names, []string{"a"}) {
		t.Errorf("%v, %v", names, err)
	}
	listening(t, PathOf(dir, "d"), true)
	entries, _ := filepath.Glob(filepath.Join(dir, "*.sock"))
	if want := []string{PathOf(dir, "a"), PathOf(dir, "d"), PathOf(dir, "file")}; !slices.Equal(entries, want) {
		t.Errorf("%v instead of %v", entries, want)
	}
	// A process that does not listen yet is not dead.
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: PathOf(dir, "new")}); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(PathOf(dir, "new"), true); err == nil {
		t.Error("one that is being made is replaced")
	}
	// Close leaves another process's socket.
	if err := os.Rename(PathOf(dir, "d"), l.Path()); err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if _, err := os.Lstat(l.Path()); err != nil {
		t.Errorf("another's socket is gone: %v", err)
	}
}

func TestRefusedPlaces(t *testing.T) {
	dir := short(t)
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	must(os.Mkdir(at("plain"), 0o755))
	must(os.Symlink(at("plain"), at("link")))
	must(os.WriteFile(at("file"), nil, 0o600))
	must(os.Mkdir(at("sticky"), 0o755))
	must(os.Chmod(at("sticky"), 0o777|os.ModeSticky))
	must(os.Mkdir(at("open"), 0o755))
	must(os.Chmod(at("open"), 0o777))
	must(os.Mkdir(at("open/below"), 0o755))
	must(os.Symlink(at("plain/target"), at("plain/dangling")))
	if os.Geteuid() == 0 {
		must(os.Mkdir(at("theirs"), 0o755))
		must(os.Chown(at("theirs"), 65534, 65534))
	}
	for path, why := range map[string]string{
		"link/x.sock":            "symbolic link",
		"file/x.sock":            "is no directory",
		"sticky/x.sock":          "can be written by others",
		"open/below/x.sock":      "can be written by others (mode 0777): chmod go-w " + at("open"),
		"file":                   "no socket",
		"plain/dangling":         "no socket",
		"none/x.sock":            "no such file",
		strings.Repeat("x", 107): "characters, and 107 are possible",
		"theirs/x.sock":          "belongs to user 65534",
	} {
		if path == "theirs/x.sock" && os.Geteuid() != 0 {
			continue
		}
		_, err := Listen(at(path), false)
		if err == nil || !strings.Contains(err.Error(), why) || !strings.HasPrefix(err.Error(), "cannot listen at the control socket "+at(path)) {
			t.Errorf("%s: %v, want %q", path, err, why)
		}
	}
	if names, err := Living(at("none")); err != nil || names != nil {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := Living(at("link")); err == nil {
		t.Error("a link is followed")
	}
	must(os.Mkdir(at("lock"), 0o755))
	must(os.Symlink("/dev/null", at("lock/.lock")))
	if _, err := Listen(at("lock/x.sock"), false); err == nil || !strings.Contains(err.Error(), ".lock") {
		t.Errorf("the lock is followed: %v", err)
	}
}

// TestManyAtOnce: of several processes that want the same socket at the same time, one gets it.
func TestManyAtOnce(t *testing.T) {
	dir := short(t)
	path := PathOf(dir, "same")
	for range 20 {
		dead(t, path)
		var mu sync.Mutex
		var got []*Listener
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if l, err := Listen(path, false); err == nil {
					mu.Lock()
					got = append(got, l)
					mu.Unlock()
				} else if !strings.Contains(err.Error(), "another process") {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if len(got) != 1 {
			t.Fatalf("%d have it", len(got))
		}
		if err := knock(path); err != nil {
			t.Error(err)
		}
		_ = got[0].Close()
	}
}

func TestDir(t *testing.T) {
	for _, c := range []struct {
		uid           int
		runtime, want string
	}{
		{0, "", "/run/erluv"},
		{0, "/run/user/0", "/run/erluv"},
		{7, "/run/user/7", "/run/user/7/erluv"},
		{7, "", ""},
		{7, "run", ""},
	} {
		if got, err := Dir(c.uid, c.runtime); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}

func TestCheckName(t *testing.T) {
	for name, fine := range map[string]bool{"x@control": true, "@control": false, "x@h": false, "control": false, "x@control@h": false} {
		if err := CheckName(name); (err == nil) != fine {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDialFails(t *testing.T) {
	dir := short(t)
	dead(t, PathOf(dir, "dead"))
	for _, name := range []string{"dead", "none"} {
		if _, err := Dial(t.Context(), PathOf(dir, name)); !errors.Is(err, ErrNobody) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l := listening(t, PathOf(dir, "x"), false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(ctx, l.Path()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	if _, err := PeerOf(ours); err == nil {
		t.Error("a pipe has credentials")
	}
}

// TestStranger: the kernel's identification decides, even if the socket is open to all users.
func TestStranger(t *testing.T) {
	if os.Geteuid() != 0 {
		return // only root can become a stranger
	}
	l := listening(t, PathOf(short(t), "x"), false)
	if err := errors.Join(os.Chmod(l.Path(), 0o666), os.Chmod(filepath.Dir(l.Path()), 0o755)); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() { // ends with its thread, which becomes another user's
		runtime.LockOSThread()
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); e != 0 {
			failed <- e
			return
		}
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err == nil {
			err = unix.Connect(fd, &unix.SockaddrUnix{Name: l.Path()})
		}
		failed <- err
		<-failed
		_ = unix.Close(fd)
	}()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	who, err := PeerOf(conn)
	if err == nil || who.UID != 65534 || !strings.Contains(err.Error(), "uid 65534, pid "+strconv.Itoa(os.Getpid())) {
		t.Errorf("%v, %v", who, err)
	}
	failed <- nil
}
