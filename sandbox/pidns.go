package sandbox

import (
	"fmt"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// OwnProc is for the stage of a role that is the init of a pid namespace (and has
// a mount namespace of its own), before Drop: it mounts a /proc that shows this
// namespace. Programs that look processes up there and signal them by their numbers
// would otherwise hit others. What is mounted outside later on appears inside too
// (mount_namespaces(7), MS_SLAVE), not the other way around.
//
// The /proc outside is left open at the given descriptor: there a process finds the
// number that it has outside.
func OwnProc(outer int) error {
	if err := openAs("/proc", outer); err != nil {
		return err
	}
	if err := eintr.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("cannot keep mounts from the outside: %w", err)
	}
	if err := eintr.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("cannot mount /proc: %w", err)
	}
	return nil
}

// openAs opens a directory at a descriptor, which stays open at an exec. It may be the
// one that the kernel gives of itself.
func openAs(dir string, want int) error {
	fd, err := eintr.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open %s: %w", dir, err)
	}
	if fd == want {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
	} else {
		err = eintr.Dup3(fd, want, 0)
		_ = unix.Close(fd)
	}
	if err != nil {
		return fmt.Errorf("cannot make it descriptor %d: %w", want, err)
	}
	return nil
}
