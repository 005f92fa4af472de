package e2e

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// All tests share these variables. TestMain sets them, and later code only reads them.
var (
	dir        string              // of this run; everyone may read it
	executable string              // erluv, where everyone may execute it
	erl        string              // erl from ERLUV_ERL or PATH
	epmd       address             // the tests' own
	ordinary   bool                // erl and erluv run as an ordinary user
	credential *syscall.Credential // of that user; nil: the tests' own
	workerName string              // the user setting, if it is not the default
	workerID   uint32              // uid of child and workers
	groupID    uint32              // their gid
	cookie     = "kX9s" + strconv.FormatInt(time.Now().UnixNano(), 36)
)

type address struct{ host, port string }

func (a address) String() string { return net.JoinHostPort(a.host, a.port) }

func TestMain(m *testing.M) {
	status, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		status = 1
	}
	os.Exit(status)
}

func run(m *testing.M) (int, error) {
	if err := narrow(); err != nil {
		return 0, err
	}
	// Parallel tests mostly wait, so four run at once on any number of processors.
	if err := flag.Set("test.parallel", "4"); err != nil {
		return 0, err
	}
	// No command begins with SIGHUP ignored, as under nohup(1).
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	// Processes that tests leave behind become children of this process, and so cannot hide.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("cannot become a subreaper: %v", err)
	}
	if err := setUser(); err != nil {
		return 0, err
	}
	var err error
	if dir, err = os.MkdirTemp("", "erluv-e2e-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return 0, err
	}
	if err := setBinary(); err != nil {
		return 0, err
	}
	if err := setErl(); err != nil {
		return 0, err
	}
	stop, err := startEPMD()
	if err != nil {
		return 0, err
	}
	status := m.Run()
	err = stopShared()
	stop()
	if err != nil {
		return 0, err
	}
	// A node's erl_child_setup ends a moment after the node.
	until(endTime, func() bool { return len(family(os.Getpid())) == 0 })
	left := family(os.Getpid())
	for _, p := range left {
		fmt.Fprintf(os.Stderr, "e2e: left behind: %v %q\n", p, cmdline(p.pid))
		status = 1
	}
	return status, nil
}

// setUser reads ERLUV_TEST_AS and ERLUV_TEST_USER. Suites that run beside each other have a user
// each, because limits of processes and pipes are counted by user.
func setUser() error {
	name := os.Getenv("ERLUV_TEST_USER")
	root := os.Getuid() == 0
	workerID, groupID = uint32(os.Getuid()), uint32(os.Getgid())
	switch as := os.Getenv("ERLUV_TEST_AS"); {
	case as == "user" && root:
		ordinary = true
		if err := lookup(cmp.Or(name, "games")); err != nil {
			return err
		}
		credential = &syscall.Credential{Uid: workerID, Gid: groupID}
	case as == "user", as == "" && !root:
		ordinary = true
	case (as == "" || as == "root") && root:
		workerName = name
		return lookup(cmp.Or(name, "nobody"))
	default:
		return fmt.Errorf("ERLUV_TEST_AS=%q cannot be had as uid %d", as, os.Getuid())
	}
	return nil
}

// lookup sets workerID and groupID.
func lookup(name string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	workerID, groupID = uint32(uid), uint32(gid)
	return errors.Join(err1, err2)
}

// setBinary copies the binary to where every user can execute it.
func setBinary() error {
	from := os.Getenv("ERLUV_BIN")
	executable = filepath.Join(dir, "erluv")
	if from == "" {
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", executable, "../cmd/erluv")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("cannot build erluv: %v\n%s", err, out)
		}
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("ERLUV_BIN: %v", err)
	}
	defer in.Close()
	out, err := os.OpenFile(executable, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}

// setErl finds erl and compiles our modules with the erlc beside it.
func setErl() error {
	name := os.Getenv("ERLUV_ERL")
	if name == "" {
		name = "erl"
	}
	var err error
	if erl, err = exec.LookPath(name); err != nil {
		return fmt.Errorf("ERLUV_ERL: %v", err)
	}
	cmd := exec.Command(beside("erlc"), "-Werror", "-o", dir, "erl/e2e.erl", "erl/e2e_fan.erl", "erl/e2e_server.erl", "erl/e2e_sup.erl", "erl/e2e_chaos.erl", "erl/e2e_fleet.erl", "erl/e2e_scale.erl")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %v\n%s", cmd, err, out)
	}
	return nil
}

// beside returns the path of a program of the same release as erl.
func beside(program string) string { return filepath.Join(filepath.Dir(erl), program) }

// startEPMD starts the tests' own EPMD on a free port of the loopback.
func startEPMD() (stop func(), err error) {
	const host = "127.0.0.1"
	port, err := unusedPort()
	if err != nil {
		return nil, err
	}
	epmd = address{host, port}
	cmd := exec.Command(beside("epmd"), "-port", port, "-address", host)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: credential}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	if !until(startTime, func() bool {
		conn, err := net.Dial("tcp4", epmd.String())
		if err == nil {
			conn.Close()
		}
		return err == nil
	}) {
		stop()
		return nil, fmt.Errorf("epmd does not answer at %v", epmd)
	}
	return stop, nil
}
