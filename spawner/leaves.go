package spawner

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"erluv/eintr"
	"erluv/ipc"
	"erluv/sandbox/cgroup"

	"golang.org/x/sys/unix"
)

// leaves are control groups (cgroups(7)), one for each program and its descendants, in a directory
// that main has made (cgroup.Tree). An empty leaf is reused, because to make and remove one takes
// as long as to start a program.
type leaves struct {
	dir  int  // -1: there are no leaves
	v1   bool // of the freezer of version 1: see cgroup.Kill
	next uint32
	free []uint32
	left []uint32 // those with processes that were left alone
	over []uint32 // those to be removed: see tidy

	reserve reserve

	// spent are leaves that are not reused: those for limits, and those whose cgroup.kill was
	// written. Linux (seen with 6.18) kills processes that CLONE_INTO_CGROUP later starts in the
	// latter, unless the starter's own group was killed as often.
	spent map[uint32]bool
}

// leaf is one of the leaves, open to start a program in it.
type leaf struct {
	number uint32 // 0: none
	fd     int    // -1 in version 1
	enter  []int  // the file cgroup.procs in version 1
}

func newLeaves(dir string) (*leaves, error) {
	l := &leaves{dir: -1, reserve: reserve{-1}, spent: make(map[uint32]bool)}
	if dir == "" {
		return l, nil
	}
	var err error
	if l.dir, err = eintr.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", dir, err)
	}
	if l.reserve, err = newReserve(); err != nil {
		return nil, err
	}
	l.v1 = eintr.Faccessat(l.dir, "freezer.state", unix.F_OK, 0) == nil
	return l, l.try()
}

// try checks whether a program can start in a leaf. It executes a file that does not exist, so that
// ENOENT means success.
func (l *leaves) try() error {
	first, err := l.take()
	if err != nil {
		return err
	}
	defer l.close(first)
	l.give(first.number)
	if !knowsOutside && l.v1 {
		return nil // the role become will enter it
	}
	with := unconfined
	with.enter = first.enter
	_, no := fork("", []string{""}, &syscall.ProcAttr{Dir: "/", Sys: &syscall.SysProcAttr{UseCgroupFD: first.fd >= 0, CgroupFD: first.fd}}, with)
	if no != nil && no.errno != unix.ENOENT { // the error of execve(2), in the leaf
		return fmt.Errorf("cannot start programs in a control group: %w", no.errno)
	}
	return nil
}

// take returns an empty leaf. The caller passes its descriptor to close. Its number goes to give
// or, through the child, to release.
func (l *leaves) take() (leaf, error) {
	if l.dir < 0 {
		return leaf{fd: -1}, nil
	}
	l.lookAgain()
	for {
		var n uint32
		if last := len(l.free) - 1; last >= 0 {
			n, l.free = l.free[last], l.free[:last]
		} else {
			l.next++
			n = l.next
			err := l.make(n)
			if err == unix.EEXIST {
				continue // another process has made it
			}
			if err != nil {
				return leaf{}, fmt.Errorf("cannot make a control group: %w", err)
			}
		}
		fd, err := eintr.Openat(l.dir, name(n), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err == unix.EACCES {
			l.repair(n)
			fd, err = eintr.Openat(l.dir, name(n), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		}
		if err == unix.ENOENT {
			continue // another process has removed it
		}
		if err != nil {
			l.give(n)
			return leaf{}, fmt.Errorf("cannot open a control group: %w", err)
		}
		f := leaf{number: n, fd: fd}
		if l.v1 {
			if err = f.open(); err == unix.ENOENT {
				continue
			}
		}
		if err != nil {
			l.give(n)
			return leaf{}, fmt.Errorf("cannot open a control group to be entered: %w", err)
		}
		return f, nil
	}
}

// make makes a leaf that can be entered. Its mode does not depend on the umask, which is the last
// program's.
func (l *leaves) make(n uint32) error {
	defer asKeeper()()
	err := eintr.Mkdirat(l.dir, name(n), 0o755)
	if err == nil {
		err = eintr.Fchmodat(l.dir, name(n), 0o755, 0)
	}
	return err
}

// open opens a leaf of version 1, which the program enters between fork and exec. It thaws the leaf
// first: in a frozen one the spawner would wait for ever.
func (f *leaf) open() error {
	defer asKeeper()()
	defer unix.Close(f.fd)
	cgroup.Thaw(func(file string, flags int) (int, error) { return eintr.Openat(f.fd, file, flags|unix.O_CLOEXEC, 0) })
	procs, err := eintr.Openat(f.fd, "cgroup.procs", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	f.fd, f.enter = -1, []int{procs}
	return err
}

// takeFresh returns a leaf that no program has used before, and none will use again.
func (l *leaves) takeFresh() (leaf, error) {
	free := l.free
	l.free = nil
	f, err := l.take()
	l.free = append(free, l.free...)
	if err == nil {
		l.spent[f.number] = true
	}
	return f, err
}

// lookAgain reuses leaves whose remaining processes have ended. It examines two at a time, so that
// many cost no more than few.
func (l *leaves) lookAgain() {
	for range min(2, len(l.left)) {
		n := l.left[0]
		l.left = l.left[1:]
		if l.empty(n) {
			l.give(n)
		} else {
			l.left = append(l.left, n)
		}
	}
}

func (l *leaves) close(f leaf) {
	if f.fd >= 0 {
		_ = unix.Close(f.fd)
	}
	ipc.CloseAll(f.enter)
}

// give takes an empty leaf back.
func (l *leaves) give(n uint32) {
	switch {
	case n == 0:
	case !l.spent[n]:
		l.free = append(l.free, n)
	default:
		delete(l.spent, n)
		l.over = append(l.over, n)
		if len(l.over) > maxOver {
			l.tidy(2)
		}
	}
}

// release takes back leaves and groups that the child no longer needs.
func (l *leaves) release(m ipc.Release) {
	for _, n := range m.Empty {
		l.give(n)
	}
	l.left = append(l.left, m.Left...)
}

func name(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// read reads a file of a leaf.
func (l *leaves) read(n uint32, file string) (string, error) {
	fd, err := l.reserve.openat(l.dir, name(n)+"/"+file, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	f := os.NewFile(uintptr(fd), file)
	defer f.Close()
	var text strings.Builder
	_, err = f.WriteTo(&text)
	return text.String(), err
}

// empty reports whether a leaf has no process. A missing leaf has none.
func (l *leaves) empty(n uint32) bool {
	if l.v1 {
		pids, err := l.members(n)
		return err == unix.ENOENT || err == nil && len(pids) == 0
	}
	text, err := l.read(n, "cgroup.events")
	return err == unix.ENOENT || err == nil && strings.Contains(text, "populated 0")
}

// kill sends SIGKILL to all processes in a leaf, including those forked meanwhile.
func (l *leaves) kill(n uint32) unix.Errno {
	defer asKeeper()()
	if l.v1 {
		if err := cgroup.Kill(l.files(n)); err != nil {
			return ipc.ErrnoOf(err)
		}
		return 0
	}
	fd, err := l.reserve.openat(l.dir, name(n)+"/cgroup.kill", unix.O_WRONLY)
	if err == unix.EACCES {
		l.repair(n)
		fd, err = l.reserve.openat(l.dir, name(n)+"/cgroup.kill", unix.O_WRONLY)
	}
	if err == nil {
		defer unix.Close(fd)
		l.spent[n] = true
		_, err = eintr.Write(fd, []byte("1"))
	}
	if err != nil {
		return ipc.ErrnoOf(err)
	}
	return 0
}

// repair undoes chmod(2) by a program. Without a keeper the program owns its control group, and
// Landlock does not forbid chmod.
func (l *leaves) repair(n uint32) {
	defer asKeeper()()
	_ = eintr.Chmod("/proc/self/fd/"+strconv.Itoa(l.dir), 0o755)
	_ = eintr.Fchmodat(l.dir, "cgroup.procs", 0o644, 0)
	_ = eintr.Fchmodat(l.dir, name(n), 0o755, 0)
	for file, mode := range map[string]uint32{"cgroup.kill": 0o200, "cgroup.procs": 0o644, "cgroup.events": 0o444} {
		_ = eintr.Fchmodat(l.dir, name(n)+"/"+file, mode, 0)
	}
}

// thaw thaws all leaves at the end of the spawner, because SIGKILL does not reach a frozen process.
func (l *leaves) thaw() {
	defer asKeeper()()
	for n := uint32(1); l.v1 && n <= l.next; n++ {
		cgroup.Thaw(l.files(n))
	}
}

// files returns an Open for a leaf.
func (l *leaves) files(n uint32) cgroup.Open {
	return func(file string, flags int) (int, error) { return l.reserve.openat(l.dir, name(n)+"/"+file, flags) }
}

// members returns the processes in a leaf, by their numbers with the spawner.
func (l *leaves) members(n uint32) ([]int, error) { return cgroup.Members(l.files(n)) }

// maxSignalled bounds how many processes of a leaf get a signal. Each takes a descriptor, and time
// in which nothing is started. SIGKILL, which follows, has no bound.
const maxSignalled = 512

// signalOthers sends a signal to the processes of a leaf that are not in the process group. It uses
// pidfds. Each was opened before a second look found its number in the leaf, so it refers to that
// process.
func (l *leaves) signalOthers(n uint32, group int, sig unix.Signal) error {
	pids, err := l.members(n)
	if err != nil {
		return err
	}
	open := make(map[int]int)
	defer func() {
		for _, fd := range open {
			_ = unix.Close(fd)
		}
	}()
	for _, pid := range pids {
		if g, err := unix.Getpgid(pid); err != nil || g == group {
			continue
		}
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			open[pid] = fd
		}
		if len(open) == maxSignalled {
			break
		}
	}
	if len(open) == 0 {
		return nil
	}
	if pids, err = l.members(n); err != nil {
		return err
	}
	for _, pid := range pids {
		if fd, ok := open[pid]; ok {
			_ = unix.PidfdSendSignal(fd, sig, nil, 0)
		}
	}
	return nil
}

// signal serves a SignalGroup; fds may have the pidfd.
func (s *spawner) signal(m ipc.SignalGroup, fds []int) unix.Errno {
	if m.Only {
		return signalOnly(m, fds)
	}
	if m.Leaf == 0 || s.leaves.dir < 0 {
		return signalGroup(m, fds)
	}
	if s.leaves.empty(m.Leaf) {
		return unix.ESRCH
	}
	sig := unix.Signal(m.Signal)
	switch sig {
	case 0:
		return 0
	case unix.SIGKILL:
		return s.leaves.kill(m.Leaf)
	}
	if s.reports || len(fds) > 0 {
		_ = signalGroup(m, fds) // ESRCH: the processes in the leaf have left the group
	}
	if err := s.leaves.signalOthers(m.Leaf, int(m.PID), sig); err != nil {
		return ipc.ErrnoOf(err)
	}
	return 0
}
