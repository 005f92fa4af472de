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

// strongest returns the containment that this machine allows, by attempts of our own.
func strongest() string {
	switch {
	case canPidns():
		return "pidns"
	case canCgroup():
		return "cgroup"
	}
	return "group"
}

// canPidns makes unshare(2) and mount(8) do what main would.
func canPidns() bool {
	cmd := exec.Command("mount", "-t", "proc", "proc", "/proc")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Unshareflags: unix.CLONE_NEWNS}
	return os.Geteuid() == 0 && cmd.Run() == nil
}

// canCgroup makes a group in the shell's own group, in the cgroup2 that is mounted beneath /sys or
// in the freezer of version 1.
func canCgroup() bool {
	script := `own=$(sed -n 's/^0:://p' /proc/self/cgroup)
		for at in $(sed -n 's/^[^ ]* \(\/sys\/fs\/cgroup[^ ]*\) cgroup2 .*/\1/p' /proc/mounts); do
			d=$at$own/probe-$$
			mkdir $d && test -w $d/cgroup.kill && rmdir $d && exit 0
			rmdir $d
		done
		own=$(sed -n 's/^[0-9]*:freezer://p' /proc/self/cgroup)
		for at in $(sed -n 's/^[^ ]* \(\/sys\/fs\/cgroup[^ ]*\) cgroup [^ ]*,freezer .*/\1/p' /proc/mounts); do
			mkdir $at$own/probe-$$ && rmdir $at$own/probe-$$ && exit 0
		done
		exit 1`
	return exec.Command("/bin/sh", "-c", script).Run() == nil
}

// TestContain: auto takes the strongest way that works. A requested way is used or refused, never
// replaced.
func TestContain(t *testing.T) {
	for contain, want := range map[string]string{"auto": strongest(), "group": "group", "pidns": "pidns", "cgroup": "cgroup"} {
		t.Run(contain, func(t *testing.T) {
			n := newNode(t)
			cfg := n.config()
			cfg.Contain = contain
			r := run(t, cfg)
			if contain == "pidns" && !canPidns() || contain == "cgroup" && !canCgroup() {
				if err := r.wait(t); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("by %q", contain)) {
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
			if leaves := got.Start.Leaves; (leaves != "") != (canCgroup() && contain != "group") {
				t.Errorf("the leaves are in %q", leaves)
			}
			r.stop(nil)
			_ = r.wait(t)
			if _, err := os.Stat(got.Start.Leaves); got.Start.Leaves != "" && !os.IsNotExist(err) {
				t.Errorf("the tree is left: %v", err)
			}
		})
	}
}
