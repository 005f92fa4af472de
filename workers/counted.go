package workers

import (
	"path/filepath"
	"strconv"
	"strings"

	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// Counted is what the kernel has counted of a program and all that it has started, in the
// control groups that it has (cgroups(7)). -1 is what nobody counts: which controllers
// there are is the machine's, and without limits only some of them.
type Counted struct {
	Memory, MemoryPeak int64 // bytes
	OOMKills           int64
	Processes          int64 // with threads
	CPU                int64 // milliseconds
}

// Memory is the first of them alone.
func (w *Worker) Memory() int64 {
	return number(w.groupFile(ipc.LimitMemory, "memory.usage_in_bytes", "memory.current"))
}

// Counted reads it.
func (w *Worker) Counted() Counted {
	cpu := line(textOf(w.starter.limited.leaves, w.proc.leaf, "cpu.stat"), "usage_usec")
	if cpu > 0 {
		cpu /= 1000
	}
	return Counted{
		Memory:     w.Memory(),
		MemoryPeak: number(w.groupFile(ipc.LimitMemory, "memory.max_usage_in_bytes", "memory.peak")),
		OOMKills:   line(w.groupFile(ipc.LimitMemory, "memory.oom_control", "memory.events"), "oom_kill"),
		Processes:  number(w.groupFile(ipc.LimitPIDs, "pids.current", "pids.current")),
		CPU:        cpu,
	}
}

// textOf is what a file of a group says; "": there is none.
func textOf(dir string, group uint32, name string) string {
	if dir == "" || group == 0 {
		return ""
	}
	fd, err := eintr.Open(filepath.Join(dir, strconv.FormatUint(uint64(group), 10), name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var text [512]byte
	n, err := eintr.Read(fd, text[:])
	if err != nil {
		return ""
	}
	return string(text[:n])
}

func number(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// line is the number of the line that begins with a word.
func line(text, word string) int64 {
	for l := range strings.Lines(text) {
		if n, ok := strings.CutPrefix(l, word+" "); ok {
			return number(n)
		}
	}
	return -1
}
