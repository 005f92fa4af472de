package spawner

import (
	"iter"
	"path"
	"slices"
	"strings"
	"syscall"

	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// startProgram opens the program's files, forks and execs. The caller keeps the descriptors fds,
// and owns the returned handles for the child. Without a refusal there is a process at its place,
// in a process group of its own.
func (s *spawner) startProgram(m *ipc.Spawn, fds []int, at *site) (is numbers, child ipc.Handles, no *ipc.Refusal) {
	unix.Umask(int(m.Attributes.Umask))
	dir, errno := openDir(m.Dir)
	if errno != 0 {
		return numbers{}, ipc.Handles{}, &ipc.Refusal{Stage: ipc.StageDir, Errno: errno}
	}
	defer unix.Close(dir)

	t, no := openStreams(m, fds, dir)
	defer ipc.CloseAll(t.opened)
	defer func() {
		if no != nil {
			ipc.CloseAll(t.child.List())
		}
	}()
	if no != nil {
		return numbers{}, ipc.Handles{}, no
	}
	env := m.Env
	if m.Notify {
		fd, path, err := s.notify.add(m.Seq)
		if err != nil {
			return numbers{}, ipc.Handles{}, &ipc.Refusal{Stage: ipc.StageNotify, Errno: ipc.ErrnoOf(err)}
		}
		t.child.Notify = []int{fd}
		env = append(env, "NOTIFY_SOCKET="+path)
		defer func() {
			if no != nil {
				s.notify.forget(m.Seq)
			}
		}()
	}
	program, errno := s.lookUp(m, env)
	if errno != 0 {
		return numbers{}, ipc.Handles{}, &ipc.Refusal{Stage: ipc.StageProgram, Errno: errno}
	}
	pidfd := -1
	attr := &syscall.ProcAttr{
		Dir:   m.Dir,
		Env:   env,
		Files: t.files,
		Sys: &syscall.SysProcAttr{
			Setsid: !m.Attributes.NoSession, Setpgid: m.Attributes.NoSession, Setctty: m.Terminal != nil, // of descriptor 0
			Pdeathsig: syscall.SIGKILL, PidFD: &pidfd,
			UseCgroupFD: at.leaf.fd >= 0, CgroupFD: at.leaf.fd,
		},
	}
	if needsExec(&m.Attributes, at.enter) {
		is, no = s.startByExec(m, program, attr, at)
	} else {
		is, no = s.startDirectly(m, program, attr, at.enter)
	}
	if no != nil && no.Stage == ipc.StageLimits && m.Attributes.Limits.None() {
		no = &ipc.Refusal{Stage: ipc.StageProgram, Errno: no.Errno} // the leaf failed, not a limit
	}
	if no != nil {
		return numbers{}, ipc.Handles{}, no
	}
	t.child.Process = pidfd
	return is, t.child, nil
}

func (s *spawner) startDirectly(m *ipc.Spawn, program string, attr *syscall.ProcAttr, enter []int) (is numbers, no *ipc.Refusal) {
	with := confinement{rules: s.domain, enter: enter}
	from := s.fork
	if c := &m.Attributes.Confine; !c.None() {
		c.Scope = s.domain >= 0
		from = s.forkFor(c)
		var err error
		if with, err = confine(c); err != nil {
			return numbers{}, &ipc.Refusal{Stage: ipc.StageConfine, Errno: ipc.ErrnoOf(err)}
		}
		defer with.close()
		with.enter = enter
	}
	with.attributes, with.spare = &m.Attributes, s.spare.renew()
	return started(from(program, m.Args, attr, with))
}

// started turns the result of a fork into an answer.
func started(is numbers, failed *forkError) (numbers, *ipc.Refusal) {
	switch {
	case failed == nil:
		return is, nil
	case failed.of != 0:
		return numbers{}, refusedAttribute(failed.of, failed.errno)
	case failed.trap == unix.SYS_LANDLOCK_RESTRICT_SELF || failed.trap == unix.SYS_SECCOMP:
		return numbers{}, &ipc.Refusal{Stage: ipc.StageConfine, Errno: failed.errno}
	case failed.trap == unix.SYS_WRITE:
		return numbers{}, &ipc.Refusal{Stage: ipc.StageLimits, Errno: failed.errno, Limit: ipc.NumLimits}
	}
	return numbers{}, &ipc.Refusal{Stage: ipc.StageProgram, Errno: failed.errno}
}

// openDir opens the program's directory. It checks that the user can enter it, so that a later
// failure concerns the program.
func openDir(path string) (int, unix.Errno) {
	fd, err := eintr.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, ipc.ErrnoOf(err)
	}
	if err := eintr.Faccessat(fd, ".", unix.X_OK, unix.AT_EACCESS); err != nil {
		_ = unix.Close(fd)
		return -1, ipc.ErrnoOf(err)
	}
	return fd, 0
}

// maxLogs is how many files can come with a Spawned. The other descriptors are the pidfd, the
// child's two ends of a terminal, and the notify socket.
const maxLogs = ipc.MaxFDs - 4

// closed stands for a descriptor that the program does not have.
const closed = ^uintptr(0)

// table is the program's table of descriptors.
type table struct {
	files  []uintptr
	opened []int       // those that were opened here and must be closed
	child  ipc.Handles // the child's handles; there is no process yet (-1)
}

// openStreams makes the table. With a refusal the table is incomplete.
func openStreams(m *ipc.Spawn, fds []int, dir int) (t table, no *ipc.Refusal) {
	t.child.Process = -1
	for _, st := range m.Streams {
		fail := func(e unix.Errno) (table, *ipc.Refusal) { return t, refusedStream(st.FD, e) }
		if int(st.FD) < len(t.files) {
			return fail(unix.EBADF) // not in order
		}
		fd := closed
		switch st.Source {
		case ipc.SourceFD:
			if len(fds) == 0 {
				return fail(unix.EBADF)
			}
			fd, fds = uintptr(fds[0]), fds[1:]
		case ipc.SourceDup:
			if int(st.Dup) >= len(t.files) {
				return fail(unix.EBADF)
			}
			if fd = t.files[st.Dup]; fd == closed {
				return fail(unix.EBADF)
			}
		case ipc.SourceNull, ipc.SourceFile:
			f, err := openStream(st, dir)
			if err != nil {
				return fail(ipc.ErrnoOf(err))
			}
			fd, t.opened = uintptr(f), append(t.opened, f)
		case ipc.SourceTerminal:
			if m.Terminal == nil || st.FD != 0 {
				return fail(unix.EINVAL)
			}
			ours, theirs, err := openTerminal(m.Terminal)
			if err != nil {
				return t, &ipc.Refusal{Stage: ipc.StageTerminal, Errno: ipc.ErrnoOf(err)}
			}
			fd, t.opened, t.child.Terminal = uintptr(theirs), append(t.opened, theirs), ours[:]
		default:
			return fail(unix.EINVAL)
		}
		if st.Log {
			if st.Source != ipc.SourceFD {
				return fail(unix.EINVAL)
			}
			if len(t.child.Logs) == maxLogs {
				return fail(unix.EMFILE)
			}
			log, err := openLog(dir, st)
			if err != nil {
				return fail(ipc.ErrnoOf(err))
			}
			t.child.Logs = append(t.child.Logs, log)
		}
		for len(t.files) < int(st.FD) {
			t.files = append(t.files, closed)
		}
		t.files = append(t.files, fd)
	}
	return t, nil
}

func refusedStream(fd uint8, e unix.Errno) *ipc.Refusal {
	if fd <= 2 {
		return &ipc.Refusal{Stage: ipc.StageStdin + ipc.Stage(fd), Errno: e}
	}
	return &ipc.Refusal{Stage: ipc.StageFD, Errno: e, FD: fd}
}

// openStream opens a file for the program as the worker's user. It never waits: a FIFO without
// reader is ENXIO (open(2)).
func openStream(st ipc.Stream, dir int) (int, error) {
	if st.Source == ipc.SourceNull {
		mode := [...]int{unix.O_RDONLY, unix.O_WRONLY, unix.O_WRONLY, unix.O_RDWR}[min(st.FD, 3)]
		return eintr.Open("/dev/null", mode|unix.O_CLOEXEC, 0)
	}
	var fd int
	var err error
	if st.Write {
		fd, err = openOutput(dir, st)
	} else {
		fd, err = eintr.Openat(dir, st.Path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	}
	if err != nil {
		return -1, err
	}
	// Programs expect blocking descriptors, as from a shell.
	if err := unix.SetNonblock(fd, false); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// lookUp finds the program as execvp(3) does. A name with a slash is a path. For any other name
// lookUp takes the first executable file of that name in a list of directories. That list is Path,
// else the program's own PATH, else the configured one. Relative paths start at the program's
// directory. The error is EACCES if there are only files that are not executable.
func (s *spawner) lookUp(m *ipc.Spawn, env []string) (string, unix.Errno) {
	program := m.Program
	if strings.Contains(program, "/") {
		return program, 0
	}
	errno := unix.ENOENT
	if program == "" {
		return "", errno
	}
	for dir := range s.searched(m.Path, env) {
		p := path.Join(m.Dir, program)
		switch { // not cleaned: the kernel must interpret ..
		case path.IsAbs(dir):
			p = dir + "/" + program
		case dir != "":
			p = m.Dir + "/" + dir + "/" + program
		}
		var st unix.Stat_t
		if eintr.Stat(p, &st) != nil {
			continue // it does not exist, or the user cannot reach it
		}
		if st.Mode&unix.S_IFMT != unix.S_IFREG || eintr.Faccessat(unix.AT_FDCWD, p, unix.X_OK, unix.AT_EACCESS) != nil {
			errno = unix.EACCES
			continue
		}
		return p, 0
	}
	return "", errno
}

// searched returns the directories in which a program is looked up.
func (s *spawner) searched(asked string, env []string) iter.Seq[string] {
	if asked != "" {
		return strings.SplitSeq(asked, ":")
	}
	for _, v := range env {
		if dirs, ok := strings.CutPrefix(v, "PATH="); ok {
			return strings.SplitSeq(dirs, ":")
		}
	}
	return slices.Values(s.path)
}
