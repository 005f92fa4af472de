package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// playGroups attacks control groups by every mount that it finds: other groups, its own, and the
// trees of these names.
func playGroups(names []string) error {
	var trees []string
	for _, at := range groupMounts() {
		_ = filepath.WalkDir(at, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && slices.Contains(names, d.Name()) {
				trees = append(trees, path)
				return fs.SkipDir
			}
			return nil
		})
	}
	var dirs, files []string
	for _, tree := range trees {
		_ = filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
			case d.IsDir():
				dirs = append(dirs, path)
			default:
				files = append(files, path)
			}
			return nil
		})
	}
	attackGroups(dirs, files, !slices.Contains(names, "but chmod"))
	say("mount", mountAnew())
	for _, bare := range []string{"userns", "a cgroup namespace"} {
		flags := unix.CLONE_NEWUSER
		if bare != "userns" {
			flags |= unix.CLONE_NEWCGROUP | unix.CLONE_NEWNS
		}
		cmd := exec.Command("/proc/self/exe", "mounter")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  uintptr(flags),
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		}
		out, err := cmd.Output()
		if said := strings.TrimSpace(string(out)); err == nil && said != "ok" {
			err = errors.New(said)
		}
		say(bare, err)
	}
	fmt.Printf("trees: %d\n", len(trees)) // zero means that nothing was attacked
	return nil
}

// attackGroups prints the outcome of each kind of attack: ok if one attempt succeeds.
func attackGroups(dirs, files []string, chmod bool) {
	try := func(attack string, list []string, f func(path string) error) {
		err := error(unix.ENOENT)
		for _, path := range list {
			if err = f(path); err == nil {
				fmt.Fprintln(os.Stderr, attack, path)
				break
			}
		}
		say(attack, err)
	}
	entered := slices.DeleteFunc(slices.Clone(files), func(f string) bool {
		return !slices.Contains([]string{"cgroup.procs", "cgroup.threads", "tasks"}, filepath.Base(f))
	})
	try("open", files, func(path string) error {
		fd, err := unix.Open(path, unix.O_WRONLY, 0)
		if err == nil {
			_ = unix.Close(fd)
		}
		return err
	})
	try("open again", files, func(path string) error {
		fd, err := unix.Open(path, unix.O_PATH, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		again, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_WRONLY, 0)
		if err == nil {
			_ = unix.Close(again)
		}
		return err
	})
	try("enter", entered, func(path string) error { return os.WriteFile(path, []byte("0"), 0) })
	try("truncate", files, func(path string) error { return unix.Truncate(path, 0) })
	try("mkdir", dirs, func(path string) error { return unix.Mkdir(path+"/intruder", 0o755) })
	try("create", dirs, func(path string) error { return unix.Mknod(path+"/intruder", unix.S_IFREG|0o644, 0) })
	try("rename", dirs, func(path string) error { return unix.Rename(path, path+"x") })
	try("rmdir", dirs, unix.Rmdir)
	try("clone", dirs, cloneInto)
	try("lock", files, func(path string) error {
		base := filepath.Base(path)
		if !strings.HasSuffix(filepath.Dir(path), ".tree") || base != "cgroup.kill" && base != "notify_on_release" {
			return unix.ENOENT // main owns these files
		}
		fd, err := unix.Open(path, unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	})
	owned := append(slices.Clone(dirs), files...)
	try("chown", owned, func(path string) error { return unix.Chown(path, -1, os.Getgid()) })
	try("setxattr", owned, func(path string) error { return unix.Setxattr(path, "user.intruder", []byte("x"), 0) })
	try("utime", owned, func(path string) error { return unix.Utime(path, &unix.Utimbuf{}) })
	if !chmod {
		return
	}
	try("chmod", owned, func(path string) error { return unix.Chmod(path, 0) })
}

// cloneInto starts a process in a group (clone(2), CLONE_INTO_CGROUP).
func cloneInto(dir string) error {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	p, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{
		Sys: &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd},
	})
	if err == nil {
		_, _ = p.Wait()
	}
	return err
}

// groupMounts returns the mount points of control groups.
func groupMounts() (list []string) {
	text, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(text)) {
		before, after, _ := strings.Cut(line, " - ")
		if f := strings.Fields(before); len(f) > 4 && strings.HasPrefix(after, "cgroup") {
			list = append(list, f[4])
		}
	}
	return list
}

// mountAnew makes mounts of control groups writable, or makes new ones.
func mountAnew() error {
	err := unix.Mount("none", "/tmp", "cgroup2", 0, "")
	for _, at := range groupMounts() {
		if err != nil {
			err = unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_BIND, "")
		}
	}
	return err
}

// playMounter is root of a user namespace. It mounts control groups, and attacks its own mounts.
func playMounter([]string) error {
	at, err := os.MkdirTemp("", "intruder-")
	if err != nil {
		return err
	}
	defer os.Remove(at)
	if err := unix.Mount("none", at, "cgroup2", 0, ""); err != nil {
		fmt.Println(err)
		return nil
	}
	defer unix.Unmount(at, unix.MNT_DETACH)
	for _, file := range []string{"cgroup.freeze", "cgroup.kill", "cgroup.procs", "pids.max", "memory.max"} {
		if fd, no := unix.Open(at+"/"+file, unix.O_WRONLY, 0); no == nil {
			_ = unix.Close(fd)
			fmt.Println("ok")
			return nil
		} else {
			err = no
		}
	}
	if no := unix.Mkdir(at+"/intruder", 0o755); no == nil {
		err = nil
	}
	fmt.Println(err)
	return nil
}
