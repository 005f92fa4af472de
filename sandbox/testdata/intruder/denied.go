package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"erluv/sandbox"

	"golang.org/x/sys/unix"
)

// playCalls makes system calls. Each is "NAME:NUMBER:ARG,ARG", or "NAME:compat NUMBER:..." for the
// numbers of the other architecture.
func playCalls(args []string) error {
	for _, a := range args {
		name, rest, _ := strings.Cut(a, ":")
		number, list, _ := strings.Cut(rest, ":")
		number, compat := strings.CutPrefix(number, "compat ")
		trap, err := strconv.ParseUint(number, 0, 64)
		if err != nil {
			return err
		}
		var values []uintptr
		for word := range strings.SplitSeq(strings.ReplaceAll(list, "self", strconv.Itoa(os.Getpid())), ",") {
			v, err := strconv.ParseUint(word, 0, 64)
			if err != nil {
				return err
			}
			values = append(values, uintptr(v))
		}
		if compat {
			say(name, compatCall(uintptr(trap), values...))
		} else {
			say(name, call(uintptr(trap), values...))
		}
	}
	return nil
}

// playDenied installs a filter and then runs the play in its remaining arguments.
func playDenied(args []string) error {
	var d sandbox.Denials
	if err := json.Unmarshal([]byte(args[0]), &d); err != nil {
		return err
	}
	filter, err := d.Filter()
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := sandbox.Deny(filter); err != nil {
		return err
	}
	return plays[args[1]](args[2:])
}

// playAlter changes the attributes of a file of ours, but not its contents. It does so by path, and
// by a descriptor that is open for reading.
func playAlter(args []string) error {
	path := args[0]
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	own := fmt.Sprintf("/proc/self/fd/%d", fd)
	now := []unix.Timespec{{Sec: 1}, {Sec: 1}}
	name, value := "user.intruder", []byte("x")
	uid, gid := os.Getuid(), os.Getgid()
	str, _ := unix.BytePtrFromString(path)
	key, _ := unix.BytePtrFromString(name)
	empty, _ := unix.BytePtrFromString("")
	xargs := struct {
		value       uint64
		size, flags uint32
	}{uint64(uintptr(unsafe.Pointer(&value[0]))), 1, 0}
	var attr [24]byte
	var flags int32
	for _, a := range []struct {
		name string
		err  error
	}{
		{"chmod", unix.Chmod(path, 0o640)},
		{"chmod of fd", unix.Chmod(own, 0o641)},
		{"fchmod", unix.Fchmod(fd, 0o642)},
		{"fchmodat", unix.Fchmodat(unix.AT_FDCWD, path, 0o643, 0)},
		{"fchmodat2", call(unix.SYS_FCHMODAT2, uintptr(fd), uintptr(unsafe.Pointer(empty)), 0o644, unix.AT_EMPTY_PATH)},
		{"chown", unix.Chown(path, uid, gid)},
		{"lchown", unix.Lchown(path, uid, gid)},
		{"fchown", unix.Fchown(fd, uid, gid)},
		{"fchownat", unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH)},
		{"utimes", unix.Utimes(path, []unix.Timeval{{Sec: 1}, {Sec: 1}})},
		{"futimesat", unix.Futimesat(unix.AT_FDCWD, path, []unix.Timeval{{Sec: 1}, {Sec: 1}})},
		{"utimensat", unix.UtimesNanoAt(unix.AT_FDCWD, path, now, 0)},
		{"futimens", call(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&now[0])), 0)},
		{"setxattr", unix.Setxattr(path, name, value, 0)},
		{"lsetxattr", unix.Lsetxattr(path, name, value, 0)},
		{"fsetxattr", unix.Fsetxattr(fd, name, value, 0)},
		{"setxattrat", call(unix.SYS_SETXATTRAT, uintptr(fd), uintptr(unsafe.Pointer(empty)), unix.AT_EMPTY_PATH, uintptr(unsafe.Pointer(key)), uintptr(unsafe.Pointer(&xargs)), unsafe.Sizeof(xargs))},
		{"removexattr", gone(unix.Removexattr(path, name))},
		{"lremovexattr", gone(unix.Lremovexattr(path, name))},
		{"fremovexattr", gone(unix.Fremovexattr(fd, name))},
		{"removexattrat", gone(call(unix.SYS_REMOVEXATTRAT, uintptr(fd), uintptr(unsafe.Pointer(empty)), unix.AT_EMPTY_PATH, uintptr(unsafe.Pointer(key))))},
		{"file_setattr", call(unix.SYS_FILE_SETATTR, ^uintptr(99), uintptr(unsafe.Pointer(str)), uintptr(unsafe.Pointer(&attr)), uintptr(len(attr)), 0)},
		{"FS_IOC_SETFLAGS", call(unix.SYS_IOCTL, uintptr(fd), 0x40086602, uintptr(unsafe.Pointer(&flags)))},
		{"BTRFS_IOC_SUBVOL_CREATE", call(unix.SYS_IOCTL, uintptr(fd), 0x5000940E, uintptr(unsafe.Pointer(&flags)))},
		{"BTRFS_IOC_SNAP_CREATE_V2", call(unix.SYS_IOCTL, uintptr(fd), 0x50009417, uintptr(unsafe.Pointer(&flags)))},
		{"EXT4_IOC_SETVERSION", call(unix.SYS_IOCTL, uintptr(fd), 0x40086604, uintptr(unsafe.Pointer(&flags)))},
	} {
		say(a.name, a.err)
	}
	return nil
}

// gone treats a missing attribute as removed.
func gone(err error) error {
	if err == unix.ENODATA {
		return nil
	}
	return err
}

// playMemfd copies the program of its argument into a memfd and executes it.
func playMemfd(args []string) error {
	for name, flags := range map[string]int{"plain": 0, "executable": 0x10 /* MFD_EXEC */} {
		say(name, fromMemory(args[0], flags))
	}
	fd, err := unix.MemfdCreate("data", 0x8 /* MFD_NOEXEC_SEAL */)
	if err == nil {
		err = unix.Close(fd)
	}
	say("data", err)
	return nil
}

func fromMemory(program string, flags int) error {
	text, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("program", flags)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "program")
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return err
	}
	p, err := os.StartProcess(fmt.Sprintf("/proc/self/fd/%d", fd), []string{"true"}, &os.ProcAttr{Files: []*os.File{nil, nil, nil, f}})
	if err != nil {
		return err
	}
	_, err = p.Wait()
	return err
}
