package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

const self = "/proc/self/exe"

// The attributes that execve(2) gives a process, such as the parent's death signal, belong to its
// first thread. Go runs a goroutine on that thread only if an init locks it.
func init() {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		runtime.LockOSThread()
	}
}

// The test binary plays the processes of the tests, by its first argument.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if play, ok := plays[os.Args[1]]; ok {
			if err := play(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				syscall.Exit(1)
			}
			syscall.Exit(0) // os.Exit waits a second with -race
		}
	}
	status := m.Run()
	if intruderDir != "" {
		os.RemoveAll(intruderDir)
	}
	os.Exit(status)
}

var plays = map[string]func(args []string) error{
	"dirty":    playDirty,
	"drop":     playDrop,
	"forget":   playForget,
	"report":   playReport,
	"half":     playHalf,
	"wait":     playWait,
	"hang":     playHang,
	"parent":   playParent,
	"ordinary": playOrdinary,
}

// playDirty makes everything as unfit for a role as it can, and then executes its arguments.
func playDirty(args []string) error {
	signal.Ignore(unix.SIGINT, unix.SIGHUP, unix.SIGPIPE, unix.SIGCHLD, unix.SIGTSTP, unix.SIGUSR2)
	var mask unix.Sigset_t
	mask.Val[0] = 1<<(unix.SIGUSR1-1) | 1<<(unix.SIGTERM-1)
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &mask, nil); err != nil {
		return err
	}
	unix.Umask(0)
	if err := unix.Chdir("/tmp"); err != nil {
		return err
	}
	return syscall.Exec(self, append([]string{"test"}, args...), []string{"SECRET=1"})
}

// playDrop is a stage. Its arguments are the recipe, then the program to execute and its arguments.
func playDrop(args []string) error {
	var r Recipe
	if err := json.Unmarshal([]byte(args[0]), &r); err != nil {
		return err
	}
	if err := Drop(r); err != nil {
		return err
	}
	return syscall.Exec(args[1], args[1:], []string{})
}

// playForget is a stage that does not change the ids.
func playForget(args []string) error {
	for i := range steps {
		if steps[i].what == "give up ids and capabilities" {
			steps[i].do = func(Recipe) error { return nil }
		}
	}
	return playDrop(args)
}

// report is a role's own view of itself.
type report struct {
	FDs      []string
	Umask    int
	Dir      string
	Core     unix.Rlimit
	Files    unix.Rlimit // of a program that the role starts
	SigIgn   string
	SigBlk   string
	Deathsig int
	Dumpable [2]int // before and after NotDumpable
	Regained []string
}

// playReport prints a report, closes its output and stays until its input ends.
func playReport([]string) error {
	if unix.Gettid() != os.Getpid() {
		return errors.New("the report would be of another thread than the first")
	}
	var r report
	for range 3 { // some more threads
		go func() {
			runtime.LockOSThread()
			select {}
		}()
	}
	names, _ := filepath.Glob("/proc/self/fd/*")
	for _, n := range names {
		if to, err := os.Readlink(n); err == nil {
			r.FDs = append(r.FDs, to)
		}
	}
	r.Umask = unix.Umask(0)
	r.Dir, _ = os.Getwd()
	_ = unix.Getrlimit(unix.RLIMIT_CORE, &r.Core)
	r.Files = inheritedFiles()
	text, _ := os.ReadFile("/proc/thread-self/status")
	s := parseStatus(string(text))
	r.SigIgn, r.SigBlk = s["SigIgn"], s["SigBlk"]
	var sig int32
	_ = unix.Prctl(unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&sig)), 0, 0, 0)
	r.Deathsig = int(sig)
	r.Dumpable[0], _ = unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err := NotDumpable(); err != nil {
		return err
	}
	r.Dumpable[1], _ = unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	r.Regained = regain()
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		return err
	}
	os.Stdout.Close()
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// inheritedFiles starts a program and returns its soft limit of descriptors.
func inheritedFiles() (l unix.Rlimit) {
	r, w, err := os.Pipe()
	if err != nil {
		return l
	}
	defer r.Close()
	p, err := os.StartProcess("/bin/sh", []string{"sh", "-c", "ulimit -Sn; ulimit -Hn"},
		&os.ProcAttr{Files: []*os.File{nil, w, os.Stderr}})
	w.Close()
	if err != nil {
		return l
	}
	_, _ = fmt.Fscan(r, &l.Cur, &l.Max)
	_, _ = p.Wait()
	return l
}

// regain tries to regain privileges by the ordinary functions, which act on all threads.
func regain() (got []string) {
	for name, try := range map[string]func() error{
		"setuid":    func() error { return syscall.Setuid(0) },
		"setgid":    func() error { return syscall.Setgid(0) },
		"setresuid": func() error { return syscall.Setresuid(0, 0, 0) },
		"seteuid":   func() error { return syscall.Seteuid(0) },
		"setgroups": func() error { return syscall.Setgroups([]int{0}) },
		"shadow":    func() error { f, err := os.Open("/etc/shadow"); f.Close(); return err },
		"chroot":    func() error { return unix.Chroot("/") },
		"capset":    func() error { return setCaps(1 << unix.CAP_SETUID) },
	} {
		if try() == nil {
			got = append(got, name)
		}
	}
	return got
}

// playHalf drops the privileges of its first thread only, like a Go program that forgets the
// others.
func playHalf(args []string) error {
	id, _ := strconv.Atoi(args[0])
	if err := setIdentity(Recipe{Identity: Identity{UID: uint32(id), GID: uint32(id)}}); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return playWait(nil)
}

// playWait closes its output and stays until its input ends.
func playWait([]string) error {
	os.Stdout.Close()
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// playHang reports that it runs, and never ends.
func playHang([]string) error {
	fmt.Println("running")
	for {
		_ = unix.Pause()
	}
}

// playParent starts a role that hangs, and hangs too. They share one output, which ends when both
// have ended.
func playParent([]string) error {
	recipe, err := json.Marshal(Recipe{Identity: target(), Parent: os.Getpid(), KeepFD: 2})
	if err != nil {
		return err
	}
	_, err = os.StartProcess(self, []string{"test", "drop", string(recipe), self, "hang"},
		&os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}})
	if err != nil {
		return err
	}
	for {
		_ = unix.Pause()
	}
}

// playOrdinary runs walk as an ordinary user and prints the result.
func playOrdinary([]string) error {
	seen, err := walk()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(seen)
}

// target is the identity that a test's role drops to: nobody for root, else the test's own user.
func target() Identity {
	if os.Geteuid() == 0 {
		return Identity{UID: 65534, GID: 65534}
	}
	return Identity{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
}
