//go:build amd64 || arm64

package spawner

import (
	"bufio"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// forked starts a script with a pipe as its descriptor 1. It returns the output and the exit
// status.
func forked(t *testing.T, script string, change func(*syscall.ProcAttr), c confinement) (string, unix.WaitStatus) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	out := os.NewFile(uintptr(p[0]), "out")
	defer out.Close()
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	pidfd := -1
	attr := &syscall.ProcAttr{
		Dir: "/", Env: []string{"A=1"}, Files: []uintptr{uintptr(null), uintptr(p[1]), 2},
		Sys: &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd},
	}
	if change != nil {
		change(attr)
	}
	is, failed := fork("/bin/sh", []string{"sh", "-c", script}, attr, c)
	_, _ = unix.Close(p[1]), unix.Close(null)
	if failed != nil {
		t.Fatalf("system call %d: %v", failed.trap, failed.errno)
	}
	defer unix.Close(pidfd)
	text, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	var ws unix.WaitStatus
	if got, err := unix.Wait4(is.pid, &ws, 0, nil); got != is.pid || err != nil {
		t.Fatalf("process %d: %d, %v", is.pid, got, err)
	}
	return strings.TrimSpace(string(text)), ws
}

// TestForkIsFresh: a program inherits none of our settings of signals. Its limit of descriptors is
// the one before the Go runtime raised it.
func TestForkIsFresh(t *testing.T) {
	t.Run("CLONE_CLEAR_SIGHAND", testForkIsFresh)
	if clearsNot {
		t.Fatal("CLONE_CLEAR_SIGHAND was not tried, or Linux is older than 5.5")
	}
	clearsNot = true
	defer func() { clearsNot = false }()
	t.Run("each signal", testForkIsFresh)
}

func testForkIsFresh(t *testing.T) {
	ignore := sigaction{handler: sigIgnore}
	var was sigaction
	change := func(act, old *sigaction) {
		_, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGTTIN), uintptr(unsafe.Pointer(act)), uintptr(unsafe.Pointer(old)), unsafe.Sizeof(was.mask), 0, 0)
		if e != 0 {
			t.Fatal(e)
		}
	}
	change(&ignore, &was)
	ignored = sync.OnceValue(findIgnored)
	defer change(&was, nil)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	blocked := setMask(1 << (unix.SIGUSR1 - 1))
	got, _ := forked(t, "cat /proc/self/status | grep ^Sig[BIC]; ulimit -Sn; echo $A; pwd; exit 3", nil, unconfined)
	if was := setMask(blocked); was != 1<<(unix.SIGUSR1-1) {
		t.Errorf("our own mask is %x afterwards", was)
	}
	none := strings.Repeat("0", 16)
	want := strings.Join([]string{"SigBlk:\t" + none, "SigIgn:\t" + none, "SigCgt:\t" + none, strconv.Itoa(int(inheritedFiles().Cur)), "1", "/"}, "\n")
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestForkFiles: descriptors can be in each other's way, and some are closed in the program.
func TestForkFiles(t *testing.T) {
	runtime.LockOSThread() // without an unlock, the thread ends with its goroutine
	must(t, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(p[1], []byte("from a pipe\n")); err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(p[1])
	defer unix.Close(p[0])
	rules, err := confine(&ipc.Confine{Files: true, Exec: []string{"/"}, Write: []string{"/"}})
	if err != nil {
		rules = unconfined // an old kernel; the other checks still apply
	}
	defer rules.close()
	for n := 6; n < 40; n += 7 {
		got, ws := forked(t, "cat <&4; for i in 0 1 2 3 4 5 6 7 8; do [ -e /proc/self/fd/$i ] && echo $i; done", func(a *syscall.ProcAttr) {
			// 4 is p[0], 5 is stderr; 3 and those from 6 on are closed. If the rules have one of
			// these numbers, that number is overwritten.
			a.Files = append(a.Files, closed, uintptr(p[0]), 2)
			for len(a.Files) < n {
				a.Files = append(a.Files, closed)
			}
		}, rules)
		want := "0\n1\n2\n4\n5"
		if n == 6 { // the first program has emptied the pipe
			want = "from a pipe\n" + want
		}
		if got != want {
			t.Errorf("%d: %q, status %#x; want %q", n, got, ws, want)
		}
	}
}

// TestForkFails: the error names the failed call, and nothing is left.
func TestForkFails(t *testing.T) {
	before := descriptors(t)
	for name, tt := range map[string]struct {
		program string
		change  func(*syscall.ProcAttr)
		c       confinement
		trap    uintptr
		errno   unix.Errno
	}{
		"no program":   {"/no/such", nil, unconfined, unix.SYS_EXECVE, unix.ENOENT},
		"no right":     {"/etc/passwd", nil, unconfined, unix.SYS_EXECVE, unix.EACCES},
		"a NUL":        {"/bin/\x00sh", nil, unconfined, unix.SYS_EXECVE, unix.EINVAL},
		"no directory": {"/bin/sh", func(a *syscall.ProcAttr) { a.Dir = "/no/such" }, unconfined, unix.SYS_CHDIR, unix.ENOENT},
		"no file":      {"/bin/sh", func(a *syscall.ProcAttr) { a.Files = []uintptr{9999, 1, 2} }, unconfined, unix.SYS_DUP3, unix.EBADF},
		"no terminal":  {"/bin/sh", func(a *syscall.ProcAttr) { a.Sys.Setctty = true }, unconfined, unix.SYS_IOCTL, unix.ENOTTY},
		"no rules":     {"/bin/sh", nil, confinement{rules: 9999}, unix.SYS_LANDLOCK_RESTRICT_SELF, 0},
		"no filter":    {"/bin/sh", nil, confinement{rules: -1, filter: &unix.SockFprog{Len: 0}}, unix.SYS_SECCOMP, 0},
		"no cgroup":    {"/bin/sh", func(a *syscall.ProcAttr) { a.Sys.UseCgroupFD, a.Sys.CgroupFD = true, 9999 }, unconfined, unix.SYS_CLONE3, unix.EBADF},
	} {
		pidfd := -1
		attr := &syscall.ProcAttr{Dir: "/", Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd}}
		null, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		attr.Files[0] = null.Fd()
		if tt.change != nil {
			tt.change(attr)
		}
		is, failed := fork(tt.program, []string{"sh", "-c", "exit 0"}, attr, tt.c)
		null.Close()
		if failed == nil || is != (numbers{}) || failed.trap != tt.trap || tt.errno != 0 && failed.errno != tt.errno && failed.errno != unix.ENOSYS {
			t.Errorf("%s: %v, %+v; want system call %d, %v", name, is, failed, tt.trap, tt.errno)
		}
	}
	if got, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("a process is left: %d, %v", got, err)
	}
	noneLeft(t, "failed forks", before)
}

// TestForkDeath: the program ends with the thread that started it.
func TestForkDeath(t *testing.T) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	end := os.NewFile(uintptr(p[0]), "out")
	defer end.Close()
	out := bufio.NewReader(end)
	pids := make(chan int)
	die := make(chan struct{})
	var start func()
	start = func() {
		runtime.LockOSThread() // without an unlock, the thread ends, unless it is the first, which Go keeps
		if unix.Gettid() == unix.Getpid() {
			go start()
			<-die
			return
		}
		pidfd := -1
		is, failed := fork("/bin/sh", []string{"sh", "-c", "echo; exec sleep 1000"}, &syscall.ProcAttr{
			Dir: "/", Files: []uintptr{0, uintptr(p[1]), 2},
			Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, PidFD: &pidfd},
		}, unconfined)
		if failed != nil {
			t.Errorf("%+v", failed)
		}
		_ = unix.Close(pidfd)
		pids <- is.pid
		<-die
	}
	go start()
	pid := <-pids
	if _, err := out.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	close(die)
	var ws unix.WaitStatus
	if _, err := unix.Wait4(pid, &ws, 0, nil); err != nil || ws.Signal() != unix.SIGKILL {
		t.Errorf("%v, status %#x", err, ws)
	}
	_ = unix.Close(p[1])
}
