package spawner

import (
	"errors"
	"strings"
	"syscall"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// startProgram opens the program's files, forks and execs. The descriptors stay
// the caller's. With StageNone there is a process, in a session and process
// group of its own, and a pidfd of it; otherwise there is none, and stage and
// errno say why.
func (s *spawner) startProgram(m *ipc.Spawn, fds []int) (pid, pidfd int, stage ipc.Stage, errno unix.Errno) {
	unix.Umask(int(m.Umask))
	dir, errno := openDir(m.Dir)
	if errno != 0 {
		return 0, -1, ipc.StageDir, errno
	}
	defer unix.Close(dir)

	files, opened, stage, errno := openStreams(m.Streams, fds, dir)
	defer ipc.CloseAll(opened)
	if stage != ipc.StageNone {
		return 0, -1, stage, errno
	}
	program, errno := s.lookUp(m.Program)
	if errno != 0 {
		return 0, -1, ipc.StageProgram, errno
	}
	pidfd = -1
	pid, err := syscall.ForkExec(program, m.Args, &syscall.ProcAttr{
		Dir:   m.Dir,
		Env:   m.Env,
		Files: files,
		Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, PidFD: &pidfd},
	})
	if err != nil {
		return 0, -1, ipc.StageProgram, errnoOf(err)
	}
	return pid, pidfd, ipc.StageNone, 0
}

// openDir opens the program's directory. Being able to enter it is checked
// here, so that a failure later on is the program's.
func openDir(path string) (int, unix.Errno) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, errnoOf(err)
	}
	if err := unix.Faccessat(fd, ".", unix.X_OK, 0); err != nil {
		_ = unix.Close(fd)
		return -1, errnoOf(err)
	}
	return fd, 0
}

// openStreams makes the program's table of descriptors. opened are those that
// were opened for it and are to be closed.
func openStreams(streams []ipc.Stream, fds []int, dir int) (files []uintptr, opened []int, stage ipc.Stage, errno unix.Errno) {
	fail := func(i int, e unix.Errno) ([]uintptr, []int, ipc.Stage, unix.Errno) {
		return nil, opened, ipc.StageStdin + ipc.Stage(min(i, 2)), e
	}
	for i, st := range streams {
		fd := -1
		switch st.Source {
		case ipc.SourceFD:
			if len(fds) == 0 {
				return fail(i, unix.EBADF)
			}
			fd, fds = fds[0], fds[1:]
		case ipc.SourceDup:
			if int(st.Dup) >= i {
				return fail(i, unix.EBADF)
			}
			fd = int(files[st.Dup])
		case ipc.SourceNull, ipc.SourceFile:
			var err error
			if fd, err = openStream(st, i, dir); err != nil {
				return fail(i, errnoOf(err))
			}
			opened = append(opened, fd)
		default:
			return fail(i, unix.EINVAL)
		}
		files = append(files, uintptr(fd))
	}
	return files, opened, ipc.StageNone, 0
}

// openStream opens a file of stream i as the worker's user. It never waits: a
// FIFO that nobody reads is ENXIO (open(2)).
func openStream(st ipc.Stream, i, dir int) (int, error) {
	if st.Source == ipc.SourceNull {
		mode := unix.O_RDONLY
		if i > 0 {
			mode = unix.O_WRONLY
		}
		return unix.Open("/dev/null", mode|unix.O_CLOEXEC, 0)
	}
	flags := unix.O_RDONLY
	if st.Write {
		flags = unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC
		if st.Append {
			flags = unix.O_WRONLY | unix.O_CREAT | unix.O_APPEND
		}
	}
	fd, err := unix.Openat(dir, st.Path, flags|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, st.Mode)
	if err != nil {
		return -1, err
	}
	// The program expects a descriptor as a shell gives it.
	if err := unix.SetNonblock(fd, false); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// lookUp finds the program as execvp(3) does: with a slash it is a path, seen
// from the program's directory; without one the first executable file of that
// name in the configured path. EACCES when there are only others.
func (s *spawner) lookUp(program string) (string, unix.Errno) {
	if strings.Contains(program, "/") {
		return program, 0
	}
	errno := unix.ENOENT
	if program == "" {
		return "", errno
	}
	for _, dir := range s.path {
		p := dir + "/" + program
		var st unix.Stat_t
		if err := unix.Stat(p, &st); err != nil {
			if errnoOf(err) == unix.EACCES {
				errno = unix.EACCES
			}
			continue
		}
		if st.Mode&unix.S_IFMT != unix.S_IFREG || unix.Access(p, unix.X_OK) != nil {
			errno = unix.EACCES
			continue
		}
		return p, 0
	}
	return "", errno
}

func errnoOf(err error) unix.Errno {
	var e unix.Errno
	if errors.As(err, &e) {
		return e
	}
	return unix.EIO
}
