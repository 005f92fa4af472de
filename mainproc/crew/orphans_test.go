package crew

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func sparesNone(int) bool { return false }

// TestOrphans: all processes that programs have left behind are ended. Other orphans are reaped.
func TestOrphans(t *testing.T) {
	defer func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) }()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends, and its no_new_privs with it
		done <- orphans()
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(waitBound):
		t.Error("it does not end")
	}
}

func orphans() error {
	if err := inherit(); err != nil {
		return err
	}
	// Another process's child stays. It can be distinguished unless all processes here have
	// no_new_privs.
	var others []int
	if nnp, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err != nil || nnp == 0 {
		other := exec.Command("/bin/sleep", "1000")
		if err := other.Start(); err != nil {
			return err
		}
		defer func() {
			_ = other.Process.Kill()
			_ = other.Wait()
		}()
		others = []int{other.Process.Pid}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	// Two orphans, one in a session of its own. The latter's child becomes ours when its parent is
	// killed.
	leave := "sleep 1000 & setsid sh -c 'sleep 1000 & wait' & exit 0"
	if err := exec.Command("/bin/sh", "-c", leave).Run(); err != nil {
		return err
	}
	list, err := offspring()
	if err != nil || len(list) < 2+len(others) {
		return fmt.Errorf("children: %v, %v", list, err)
	}
	if err := endOrphans(uint32(os.Getuid()), sparesNone); err != nil {
		return err
	}
	if list, err = offspring(); err != nil || !slices.Equal(list, others) {
		return fmt.Errorf("children are left: %v, %v", list, err)
	}
	// Ended processes are reaped, except one that another part of main waits for.
	role := exec.Command("/bin/true")
	if err := exec.Command("/bin/sh", "-c", "true & true & exit 0").Run(); err != nil {
		return err
	}
	for end := time.Now().Add(waitBound); ; {
		reapOrphans(sparesNone)
		if list, err = offspring(); err != nil || time.Now().After(end) {
			return fmt.Errorf("children are left: %v, %v", list, err)
		}
		if slices.Equal(list, others) {
			break
		}
	}
	if err := role.Start(); err != nil {
		return err
	}
	for range 100 {
		reapOrphans(func(pid int) bool { return pid == role.Process.Pid })
	}
	return role.Wait()
}
