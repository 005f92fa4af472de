package sandbox

import (
	"fmt"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// OwnProc is for the stage of a role that is the init of a pid namespace and has its own mount
// namespace. It runs before Drop and mounts a /proc of this namespace. Without that, programs that
// find processes there and signal them by number would hit others. Later mounts outside appear
// inside too, but not the other way around (mount_namespaces(7), MS_SLAVE).
//
// The outside /proc stays open at the given descriptor. A process reads the number that it has
// outside there.
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

// openAs opens a directory at a descriptor, which stays open over an exec. The kernel may return
// that very descriptor.
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
