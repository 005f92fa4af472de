package crew

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// Main inherits processes that its roles leave behind: the spawner, which ends its programs, can
// itself be killed. As the init of a container it also inherits other orphans, which it only reaps.

// inherit makes main the parent of processes whose own parents have ended (PR_SET_CHILD_SUBREAPER,
// prctl(2)).
func inherit() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot become the parent of orphans: %w", err)
	}
	return nil
}

const (
	// orphansBound is how long endOrphans may take. Otherwise it would not end if processes started
	// faster than it ends them.
	orphansBound = 2 * time.Second

	// orphansAtOnce bounds the descriptors that it needs.
	orphansAtOnce = 100
)

// endOrphans ends all inherited programs that run as uid, and reaps them. Their children become
// main's, so it continues until there are none. All roles must have been reaped, except those that
// are spared.
func endOrphans(uid uint32, spared func(pid int) bool) error {
	for end := time.Now().Add(orphansBound); ; {
		list, err := offspring()
		if err != nil {
			return err
		}
		list = slices.DeleteFunc(list, func(pid int) bool { return spared(pid) || !isProgram(pid, uid) })
		if len(list) == 0 {
			return nil
		}
		for some := range slices.Chunk(list, orphansAtOnce) {
			endAll(some, end)
		}
		reapOrphans(spared)
		if time.Now().After(end) {
			return fmt.Errorf("%d processes that the programs have left behind cannot be ended in %v", len(list), orphansBound)
		}
	}
}

// isProgram reports whether a child of main is a program, or was started by one. It then has
// no_new_privs, which no process can drop. It also has the user's id, which no process with
// no_new_privs can change.
func isProgram(pid int, uid uint32) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	id := fmt.Sprintf("\nUid:\t%d\t%d\t%d\t", uid, uid, uid)
	return err == nil && strings.Contains(string(text), "\nNoNewPrivs:\t1\n") && strings.Contains(string(text), id)
}

// endAll kills children and reaps those that end in time. Only this function reaps them, so their
// numbers cannot be reused meanwhile.
func endAll(pids []int, end time.Time) {
	fds := make([]unix.PollFd, len(pids))
	for i, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err == nil {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			defer unix.Close(fd)
		}
		fds[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	}
	for i := range fds {
		for err := error(unix.EINTR); err == unix.EINTR && fds[i].Fd >= 0; {
			_, err = unix.Poll(fds[i:i+1], int(max(0, time.Until(end)).Milliseconds()))
		}
		_, _ = unix.Wait4(pids[i], nil, unix.WNOHANG, nil)
	}
}

// offspring lists the children of all threads of this process (proc(5)).
func offspring() ([]int, error) {
	const tasks = "/proc/self/task"
	threads, err := os.ReadDir(tasks)
	var list []int
	seen := false
	for i := 0; i < len(threads) && err == nil; i++ {
		text, no := os.ReadFile(filepath.Join(tasks, threads[i].Name(), "children"))
		if os.IsNotExist(no) {
			continue // the thread has ended
		}
		err, seen = no, true
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				list = append(list, pid)
			}
		}
	}
	if err == nil && !seen {
		err = errors.New("the kernel does not tell (" + tasks + "/*/children)")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot see what the programs leave behind: %w", err)
	}
	return list, nil
}

// reapOrphans reaps inherited processes that have ended. It stops at one that is a role, which is
// reaped elsewhere.
func reapOrphans(isRole func(pid int) bool) {
	for {
		var info unix.Siginfo
		if err := eintr.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil {
			return
		}
		// The pid is behind signo, errno and code, with the alignment of a pointer (siginfo_t in
		// sigaction(2)). 0 means that there is none.
		pid := int((*[unsafe.Sizeof(info) / 4]int32)(unsafe.Pointer(&info))[16/4])
		if pid == 0 || isRole(pid) {
			return
		}
		_, _ = eintr.Wait4(pid, nil, unix.WNOHANG, nil)
	}
}
