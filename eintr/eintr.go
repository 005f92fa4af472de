// Package eintr repeats system calls that a signal interrupted. Go's runtime installs its handlers
// with SA_RESTART, and often sends itself SIGURG to preempt goroutines. But the kernel never
// restarts poll(2) and epoll_wait(2) (signal(7)). Nor does it restart writes to control group
// files, or any call on FUSE and NFS.
//
// All packages use these functions, or handle EINTR themselves where it means something. A test of
// the sources checks this. close(2) is not here, because it frees the descriptor even if it returns
// EINTR (close(2)).
package eintr

import "golang.org/x/sys/unix"

// Do repeats call until it returns something other than EINTR. It is for calls that have no
// function below.
func Do(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// Access is unix.Access.
func Access(path string, mode uint32) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Access(path, mode)
	}
	return err
}

// Bind is unix.Bind.
func Bind(fd int, addr unix.Sockaddr) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Bind(fd, addr)
	}
	return err
}

// Chdir is unix.Chdir.
func Chdir(path string) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Chdir(path)
	}
	return err
}

// Chmod is unix.Chmod.
func Chmod(path string, mode uint32) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Chmod(path, mode)
	}
	return err
}

// Dup3 is unix.Dup3.
func Dup3(from, to, flags int) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Dup3(from, to, flags)
	}
	return err
}

// Faccessat is unix.Faccessat.
func Faccessat(dir int, path string, mode uint32, flags int) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Faccessat(dir, path, mode, flags)
	}
	return err
}

// Fchmod is unix.Fchmod.
func Fchmod(fd int, mode uint32) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Fchmod(fd, mode)
	}
	return err
}

// Fchmodat is unix.Fchmodat.
func Fchmodat(dir int, path string, mode uint32, flags int) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Fchmodat(dir, path, mode, flags)
	}
	return err
}

// Fchownat is unix.Fchownat.
func Fchownat(dir int, path string, uid, gid, flags int) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Fchownat(dir, path, uid, gid, flags)
	}
	return err
}

// Flock is unix.Flock.
func Flock(fd, how int) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Flock(fd, how)
	}
	return err
}

// Fstat is unix.Fstat.
func Fstat(fd int, st *unix.Stat_t) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Fstat(fd, st)
	}
	return err
}

// Fstatat is unix.Fstatat.
func Fstatat(dir int, path string, st *unix.Stat_t, flags int) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Fstatat(dir, path, st, flags)
	}
	return err
}

// Ftruncate is unix.Ftruncate.
func Ftruncate(fd int, length int64) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Ftruncate(fd, length)
	}
	return err
}

// Getdents is unix.Getdents.
func Getdents(fd int, buf []byte) (n int, err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		n, err = unix.Getdents(fd, buf)
	}
	return n, err
}

// InotifyAddWatch is unix.InotifyAddWatch.
func InotifyAddWatch(fd int, path string, mask uint32) (n int, err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		n, err = unix.InotifyAddWatch(fd, path, mask)
	}
	return n, err
}

// Lstat is unix.Lstat.
func Lstat(path string, st *unix.Stat_t) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Lstat(path, st)
	}
	return err
}

// Mkdir is unix.Mkdir.
func Mkdir(path string, mode uint32) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Mkdir(path, mode)
	}
	return err
}

// Mkdirat is unix.Mkdirat.
func Mkdirat(dir int, path string, mode uint32) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Mkdirat(dir, path, mode)
	}
	return err
}

// Mount is unix.Mount.
func Mount(source, target, fstype string, flags uintptr, data string) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Mount(source, target, fstype, flags, data)
	}
	return err
}

// Open is unix.Open.
func Open(path string, mode int, perm uint32) (n int, err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		n, err = unix.Open(path, mode, perm)
	}
	return n, err
}

// Statfs is unix.Statfs.
func Statfs(path string, s *unix.Statfs_t) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Statfs(path, s)
	}
	return err
}

// Openat is unix.Openat.
func Openat(dir int, path string, flags int, mode uint32) (n int, err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		n, err = unix.Openat(dir, path, flags, mode)
	}
	return n, err
}

// Pread is unix.Pread.
func Pread(fd int, p []byte, offset int64) (n int, err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		n, err = unix.Pread(fd, p, offset)
	}
	return n, err
}

// Pwrite is unix.Pwrite.
func Pwrite(fd int, p []byte, offset int64) (n int, err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		n, err = unix.Pwrite(fd, p, offset)
	}
	return n, err
}

// Read is unix.Read.
func Read(fd int, p []byte) (n int, err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		n, err = unix.Read(fd, p)
	}
	return n, err
}

// Readlinkat is unix.Readlinkat.
func Readlinkat(dir int, path string, buf []byte) (n int, err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		n, err = unix.Readlinkat(dir, path, buf)
	}
	return n, err
}

// Renameat is unix.Renameat.
func Renameat(from int, old string, to int, name string) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Renameat(from, old, to, name)
	}
	return err
}

// Rmdir is unix.Rmdir.
func Rmdir(path string) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Rmdir(path)
	}
	return err
}

// Sendto is unix.Sendto.
func Sendto(fd int, p []byte, flags int, to unix.Sockaddr) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Sendto(fd, p, flags, to)
	}
	return err
}

// Stat is unix.Stat.
func Stat(path string, st *unix.Stat_t) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Stat(path, st)
	}
	return err
}

// Unlink is unix.Unlink.
func Unlink(path string) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Unlink(path)
	}
	return err
}

// Unlinkat is unix.Unlinkat.
func Unlinkat(dir int, path string, flags int) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Unlinkat(dir, path, flags)
	}
	return err
}

// Wait4 is unix.Wait4.
func Wait4(pid int, status *unix.WaitStatus, options int, usage *unix.Rusage) (n int, err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		n, err = unix.Wait4(pid, status, options, usage)
	}
	return n, err
}

// Waitid is unix.Waitid.
func Waitid(idType, id int, info *unix.Siginfo, options int, usage *unix.Rusage) (err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Waitid(idType, id, info, options, usage)
	}
	return err
}

// Write is unix.Write.
func Write(fd int, p []byte) (n int, err error) {
	for err = unix.EINTR; err == unix.EINTR; {
		n, err = unix.Write(fd, p)
	}
	return n, err
}

// TerminalPeer opens the other end of a terminal: TIOCGPTPEER (ioctl_tty(2)).
func TerminalPeer(fd, flags int) (peer int, err error) {
	e := unix.EINTR
	var n uintptr
	for e == unix.EINTR {
		n, _, e = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, uintptr(flags))
	}
	if e != 0 {
		return -1, e
	}
	return int(n), nil
}
