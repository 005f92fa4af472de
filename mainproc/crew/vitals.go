package crew

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// vitals are the condition of a process, seen from outside.
type vitals struct {
	worked time.Duration // processor time used
	runs   bool          // a thread runs, or waits for a processor or the disk; false if not asked
}

// vitalsOf examines a child of main. If it cannot see a value, for instance after its end, the
// value is zero. Only with threads it opens files, one for each thread.
func vitalsOf(pid int, threads bool) vitals {
	return vitals{worked: workedOf(pid), runs: threads && runsNow(pid)}
}

// workedOf returns the processor time of a process. Its clock needs no /proc, which may hide a
// process of another user (proc(5), hidepid).
func workedOf(pid int) time.Duration {
	const sched = 2 // CPUCLOCK_SCHED of the kernel's posix-timers.h: in nanoseconds
	var t unix.Timespec
	if unix.ClockGettime(^int32(pid)<<3|sched, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// runsNow reports whether any thread of a process is in one of the states that end by themselves: R
// or D (proc_pid_stat(5)).
func runsNow(pid int) bool {
	dir := fmt.Sprintf("/proc/%d/task/", pid)
	threads, _ := os.ReadDir(dir) // none: it has ended, or is hidden
	for _, t := range threads {
		stat, _ := os.ReadFile(dir + t.Name() + "/stat")
		// The second field is the name in parentheses, which may contain parentheses.
		if i := bytes.LastIndexByte(stat, ')'); i >= 0 && i+2 < len(stat) && (stat[i+2] == 'R' || stat[i+2] == 'D') {
			return true
		}
	}
	return false
}
