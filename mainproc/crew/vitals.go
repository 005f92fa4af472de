package crew

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// vitals are how a process does, seen from outside.
type vitals struct {
	worked time.Duration // processor time that it has had
	runs   bool          // a thread runs, waits for a processor, or waits for the disk
}

// vitalsOf looks at a child of main. What cannot be seen is not: its end, say.
func vitalsOf(pid int) vitals { return vitals{worked: workedOf(pid), runs: runsNow(pid)} }

// workedOf is the processor time of a process. Its clock needs no /proc, in which a
// process of another user may be hidden (proc(5), hidepid).
func workedOf(pid int) time.Duration {
	const sched = 2 // CPUCLOCK_SCHED of the kernel's posix-timers.h: in nanoseconds
	var t unix.Timespec
	if unix.ClockGettime(^int32(pid)<<3|sched, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// runsNow says whether any thread of a process is in a state of those that end without
// anything else: R or D (proc_pid_stat(5)).
func runsNow(pid int) bool {
	dir := fmt.Sprintf("/proc/%d/task/", pid)
	threads, _ := os.ReadDir(dir) // none: it has ended, or is hidden
	for _, t := range threads {
		stat, _ := os.ReadFile(dir + t.Name() + "/stat")
		// Its second field is the name in parentheses, and may have some in it.
		if i := bytes.LastIndexByte(stat, ')'); i >= 0 && i+2 < len(stat) && (stat[i+2] == 'R' || stat[i+2] == 'D') {
			return true
		}
	}
	return false
}
