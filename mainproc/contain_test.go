package mainproc

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// strongest is the containment that this machine lets us have, by an attempt of
// our own: unshare(1) as main would.
func strongest() string {
	if os.Geteuid() != 0 {
		return "group"
	}
	cmd := exec.Command("mount", "-t", "proc", "proc", "/proc")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Unshareflags: unix.CLONE_NEWNS}
	if cmd.Run() != nil {
		return "group"
	}
	return "pidns"
}

// TestContain: auto takes the strongest that works, and what is asked for is taken
// or refused, never replaced.
func TestContain(t *testing.T) {
	for contain, want := range map[string]string{"auto": strongest(), "group": "group", "pidns": "pidns"} {
		t.Run(contain, func(t *testing.T) {
			n := newNode(t)
			cfg := n.config()
			cfg.Contain = contain
			r := run(t, cfg)
			if contain == "pidns" && strongest() != "pidns" {
				if err := r.wait(t); err == nil || !strings.Contains(err.Error(), `by "pidns"`) {
					t.Errorf("%v, want an error that names it", err)
				}
				return
			}
			_, got := n.served(t)
			<-r.up
			if got.Start.Contain != want {
				t.Errorf("contained by %q, want %q", got.Start.Contain, want)
			}
			inside, err1 := os.Readlink("/proc/" + fmt.Sprint(got.Start.SpawnerPID) + "/ns/pid")
			ours, err2 := os.Readlink("/proc/self/ns/pid")
			if err1 != nil || err2 != nil || (inside != ours) != (want == "pidns") {
				t.Errorf("the spawner is in %s, %v; we are in %s, %v", inside, err1, ours, err2)
			}
			r.stop(nil)
			_ = r.wait(t)
		})
	}
}
