package spawner

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// notifying is a program that prints its NOTIFY_SOCKET and waits.
func notifying(seq uint32) *ipc.Spawn {
	return changed(func(m *ipc.Spawn) { m.Notify, m.Seq = true, seq }, "/bin/sh", "-c", `echo "$NOTIFY_SOCKET"; exec sleep 1000`)
}

// starting starts a program and returns the first line of its output.
func (l *local) starting(m *ipc.Spawn) (is ipc.Spawned, with ipc.Handles, line string) {
	l.t.Helper()
	r, w := pipe(l.t)
	m.Streams[1] = ipc.Stream{FD: 1, Source: ipc.SourceFD}
	is, with = l.starts(m, int(w.Fd()))
	w.Close()
	l.t.Cleanup(func() { ipc.CloseAll(with.List()) })
	must(l.t, r.SetReadDeadline(time.Now().Add(patience)))
	line, err := bufio.NewReader(r).ReadString('\n')
	must(l.t, err)
	return is, with, strings.TrimSuffix(line, "\n")
}

// kills ends a program.
func (l *local) kills(is ipc.Spawned) {
	l.t.Helper()
	must(l.t, unix.Kill(-int(is.PID), unix.SIGKILL))
	l.ends(is)
}

// TestNotifySocket: a program has a socket that no other user can reach, with any umask. The child
// reads it, and learns the sender from the kernel.
func TestNotifySocket(t *testing.T) {
	l := here(t)
	m := notifying(12)
	m.Attributes.Umask = 0o777
	is, with, path := l.starting(m)
	dir := filepath.Dir(path)
	if filepath.Base(path) != "12" || filepath.Dir(dir) != notifyIn || !slices.Equal(l.sockets(), []string{"12", notifyLock}) {
		t.Errorf("the socket is %s, among %q", path, l.sockets())
	}
	for name, want := range map[string]os.FileMode{dir: os.ModeDir | 0o700, path: os.ModeSocket | 0o600} {
		if st, err := os.Lstat(name); err != nil || st.Mode() != want {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
	from, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(from)
	must(t, unix.Sendto(from, []byte("READY=1"), 0, &unix.SockaddrUnix{Name: path}))
	buf, oob := make([]byte, 100), make([]byte, 200)
	n, size, _, _, err := unix.Recvmsg(with.Notify[0], buf, oob, unix.MSG_CMSG_CLOEXEC)
	must(t, err)
	all, err := unix.ParseSocketControlMessage(oob[:size])
	must(t, err)
	who := 0
	for _, m := range all {
		if cred, err := unix.ParseUnixCredentials(&m); err == nil {
			who = int(cred.Pid)
		} else if m.Header.Type == 4 { // SCM_PIDFD
			_ = unix.Close(int(m.Data[0]) | int(m.Data[1])<<8)
		}
	}
	if string(buf[:n]) != "READY=1" || who != os.Getpid() {
		t.Errorf("%q from process %d", buf[:n], who)
	}
	if _, _, _, _, err := unix.Recvmsg(with.Notify[0], buf, nil, 0); err != unix.EAGAIN {
		t.Errorf("it blocks, or there is more: %v", err)
	}
	l.say(ipc.Forget{Seq: 13})
	l.say(ipc.Forget{Seq: 12})
	if left := l.sockets(); !slices.Equal(left, []string{notifyLock}) {
		t.Errorf("%q are left", left)
	}
	l.kills(is)
	must(t, l.over())
	l.s.notify.close()
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is left: %v", err)
	}
}

// TestNotifySocketTwice: a request with an earlier request's number does not remove that one's
// socket.
func TestNotifySocketTwice(t *testing.T) {
	l := here(t)
	is, _, path := l.starting(notifying(7))
	for range 2 {
		l.refused("the same number", notifying(7), ipc.Refusal{Stage: ipc.StageNotify, Errno: unix.EADDRINUSE})
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("the first socket: %v", err)
		}
	}
	l.kills(is)
}

// TestNotifyDirectoryCleaned: if the directory has been removed from /tmp, the spawner makes a new
// one, and drops the lock of the old one.
func TestNotifyDirectoryCleaned(t *testing.T) {
	l := here(t)
	is, _, path := l.starting(notifying(7))
	before := descriptors(t)
	must(t, os.RemoveAll(filepath.Dir(path)))
	again, _, other := l.starting(notifying(8))
	if filepath.Dir(other) == filepath.Dir(path) || !slices.Equal(l.sockets(), []string{"8", notifyLock}) {
		t.Errorf("%s after %s, with %q", other, path, l.sockets())
	}
	locks := 0
	for _, name := range descriptors(t) {
		if strings.Contains(name, notifyPrefix) {
			locks++
		}
	}
	if locks != 1 {
		t.Errorf("%d locks are held; before: %v", locks, before)
	}
	l.say(ipc.Forget{Seq: 7})
	l.kills(is)
	l.kills(again)
}

// TestSweep: only directories of killed spawners of our user are removed.
func TestSweep(t *testing.T) {
	top, err := os.MkdirTemp(notifyIn, notifyPrefix+"test-")
	must(t, err)
	defer os.RemoveAll(top)
	at := func(name string) string { return top + name }
	old := time.Now().Add(-2 * notifyYoung)
	for _, name := range []string{"dead", "held", "young", "old", "linked"} {
		must(t, os.Mkdir(at(name), 0o700))
		defer os.RemoveAll(at(name))
	}
	for _, name := range []string{"dead/lock", "dead/5", "held/lock", "young/5", "old/5", "file"} {
		must(t, os.WriteFile(at(name), nil, 0o600))
	}
	defer os.Remove(at("file"))
	must(t, os.Symlink(at("held"), at("link")))
	defer os.Remove(at("link"))
	must(t, os.Symlink("5", at("linked/lock"))) // must not be followed
	for _, name := range []string{"dead", "held", "old", "file", "linked"} {
		must(t, os.Chtimes(at(name), old, old))
	}
	lock, err := takeLock(at("held"), 0)
	must(t, err)
	defer unix.Close(lock)
	there := map[string]bool{"dead": false, "old": false, "held": true, "young": true, "file": true, "link": true, "linked": true, "": true}
	if os.Geteuid() == 0 {
		must(t, os.Mkdir(at("others"), 0o700))
		defer os.RemoveAll(at("others"))
		must(t, os.WriteFile(at("others/lock"), nil, 0o600))
		must(t, os.Chown(at("others"), 4001, 4001))
		must(t, os.Chtimes(at("others"), old, old))
		there["others"] = true
	}
	before := descriptors(t)
	soon(t, "what is dead is gone", func() bool { // others may sweep too
		(&notifySockets{}).sweep()
		_, err1 := os.Lstat(at("dead"))
		_, err2 := os.Lstat(at("old"))
		return os.IsNotExist(err1) && os.IsNotExist(err2)
	})
	for name, want := range there {
		if _, err := os.Lstat(at(name)); (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
	noneLeft(t, "the sweep", before)
}

// TestNotifyOfTheKilled: a killed spawner's sockets are removed when the next spawner makes its
// first.
func TestNotifyOfTheKilled(t *testing.T) {
	first := serving(t, !ipc.PidfdsSuffice())
	r, w := pipe(t)
	m := notifying(5)
	m.Streams[1].Source = ipc.SourceFD
	first.spawned(m, int(w.Fd()))
	line, err := bufio.NewReader(r).ReadString('\n')
	must(t, err)
	dir := filepath.Dir(line)
	if list, err := os.ReadDir(dir); err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	must(t, first.cmd.Process.Kill())
	_ = first.cmd.Wait()
	first.ended = true
	next := serving(t, !ipc.PidfdsSuffice())
	next.spawned(notifying(1))
	soon(t, "the first one's are gone", func() bool { // others may sweep too
		_, err := os.Lstat(dir)
		return os.IsNotExist(err)
	})
}
