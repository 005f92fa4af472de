package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// playTerminals attacks other users' terminals, by name or by any name of their descriptors, then
// again as root of a user namespace. The outcome of each kind of attack is ok if one attempt
// succeeds.
func playTerminals(paths []string) error {
	attackTerminals("", paths)
	cmd := exec.Command("/proc/self/exe", append([]string{"in a namespace"}, paths...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	say("userns", cmd.Run())
	return nil
}

// playInNamespace is root of a user namespace.
func playInNamespace(paths []string) error {
	attackTerminals("as root, ", paths)
	return nil
}

func attackTerminals(as string, paths []string) {
	open := func(flags int) func(string) error {
		return func(path string) error {
			fd, err := unix.Open(path, flags|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
			if err == nil {
				_ = unix.Close(fd)
			}
			return err
		}
	}
	for _, attack := range []struct {
		name string
		do   func(path string) error
	}{
		{"read", open(unix.O_RDONLY)},
		{"write", open(unix.O_WRONLY)},
		{"both", open(unix.O_RDWR)},
		{"truncate", open(unix.O_WRONLY | unix.O_TRUNC)},
		{"again", func(path string) error {
			fd, err := unix.Open(path, unix.O_PATH, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return open(unix.O_RDWR)(fmt.Sprintf("/proc/self/fd/%d", fd))
		}},
		{"access", func(path string) error { return unix.Access(path, unix.R_OK) }},
		{"chown", func(path string) error { return unix.Chown(path, os.Getuid(), os.Getgid()) }},
		{"utime", func(path string) error { return unix.Utime(path, &unix.Utimbuf{}) }},
		{"chmod", func(path string) error { return unix.Chmod(path, 0o666) }},
	} {
		err := error(unix.ENOENT)
		for _, path := range paths {
			if err = attack.do(path); err == nil {
				fmt.Fprintln(os.Stderr, as+attack.name, path)
				break
			}
		}
		say(as+attack.name, err)
	}
}
