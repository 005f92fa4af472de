package workers

import (
	"path/filepath"
	"strconv"
	"strings"

	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// Counted has the kernel's figures of a program and all its descendants, from their control groups
// (cgroups(7)). A figure that no controller counts is -1. The machine decides which controllers
// there are, and a program without limits has only some of them.
type Counted struct {
	Memory, MemoryPeak int64 // bytes
	OOMKills           int64
	Processes          int64 // includes threads
	CPU                int64 // milliseconds
}

// Memory is Counted.Memory alone.
func (w *Worker) Memory() int64 {
	return number(w.groupFile(ipc.LimitMemory, "memory.usage_in_bytes", "memory.current"))
}

// Counted reads the figures.
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

// textOf returns the content of a file of a group, "" if there is none.
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

// line returns the number on the line that begins with a word, -1 if there is none.
func line(text, word string) int64 {
	for l := range strings.Lines(text) {
		if n, ok := strings.CutPrefix(l, word+" "); ok {
			return number(n)
		}
	}
	return -1
}
