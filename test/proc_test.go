package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// These bound waits for events that should come soon. The machine may be slow.
const (
	startTime = 2 * time.Minute // for a node to be up
	endTime   = 2 * time.Minute // for a process to be gone
)

// until waits until the condition is true, and reports whether it was true in time.
func until(timeout time.Duration, condition func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(timeout); !condition(); <-tick.C {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// unusedPort returns a port that nothing listens at. The kernel gives it to no connection
// meanwhile, since it takes ports from ip_local_port_range, which begins at 32768.
func unusedPort() (string, error) {
	var last error
	for range 100 {
		port := strconv.Itoa(10_000 + rand.IntN(22_000))
		l, err := net.Listen("tcp", ":"+port)
		if err == nil {
			return port, l.Close()
		}
		last = err
	}
	return "", last
}

func freePort(t *testing.T) string {
	t.Helper()
	port, err := unusedPort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	if !until(endTime, condition) {
		t.Fatalf("not in %v: %s", endTime, what)
	}
}

// The start time tells a process from a later one with the same number.
type process struct {
	pid   int
	start string // clock ticks since boot
}

func (p process) String() string { return strconv.Itoa(p.pid) }

// gone reports whether a process has ended. A zombie counts as gone.
func (p process) gone() bool {
	s, ok := stat(p.pid)
	return !ok || s.process != p || s.dead()
}

// statLine is the part of /proc/PID/stat that the tests use: proc_pid_stat(5).
type statLine struct {
	process
	state  string
	parent int
}

func (s statLine) dead() bool { return s.state == "Z" || s.state == "X" }

func stat(pid int) (statLine, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return statLine{}, false
	}
	// The name, in parentheses, may contain any character.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 {
		return statLine{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	return statLine{process{pid, fields[19]}, fields[0], parent}, err == nil
}

func all() []statLine {
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var lines []statLine
	for _, entry := range entries {
		pid, err := strconv.Atoi(filepath.Base(entry))
		if err != nil {
			continue
		}
		if s, ok := stat(pid); ok {
			lines = append(lines, s)
		}
	}
	return lines
}

// children returns the living children.
func children(pid int) []process {
	var list []process
	for _, s := range all() {
		if s.parent == pid && !s.dead() {
			list = append(list, s.process)
		}
	}
	return list
}

// family returns all living descendants.
func family(pid int) []process {
	lines := all()
	found := []int{pid}
	var list []process
	for i := 0; i < len(found); i++ {
		for _, s := range lines {
			if s.parent == found[i] && !slices.Contains(found, s.pid) {
				found = append(found, s.pid)
				if !s.dead() {
					list = append(list, s.process)
				}
			}
		}
	}
	return list
}

// zombies counts the dead children that have not been reaped.
func zombies(pid int) int {
	n := 0
	for _, s := range all() {
		if s.parent == pid && s.dead() {
			n++
		}
	}
	return n
}

func cmdline(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // "" when gone
	return strings.ReplaceAll(string(text), "\x00", " ")
}

// descriptors lists the open descriptors of a process, except files of control groups. The child
// keeps some of those for the next program.
func descriptors(t *testing.T, pid int) []string {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, entry := range entries {
		target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, entry.Name()))
		if err == nil && filepath.Base(target) != "cgroup.events" {
			list = append(list, entry.Name()+" "+target)
		}
	}
	return list
}

// threads returns the numbers of all threads of a process.
func threads(t *testing.T, pid int) []int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	var list []int
	for _, entry := range entries {
		tid, err := strconv.Atoi(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, tid)
	}
	return list
}

// status reads /proc/PID/task/TID/status, or returns nil if the thread is gone.
func status(pid, tid int) map[string]string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/status", pid, tid))
	if err != nil {
		return nil
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		fields[key] = strings.Join(strings.Fields(value), " ")
	}
	return fields
}

// private returns the memory of a process that no other process shares, in bytes, or 0 if it is
// gone.
func private(pid int) (sum int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if kib, is := strings.CutPrefix(line, "Private_"); is {
			n, _ := strconv.Atoi(strings.Fields(kib)[1])
			sum += n << 10
		}
	}
	return sum
}

// resident returns the resident memory of a process, in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	kib, err := strconv.Atoi(strings.TrimSuffix(status(pid, pid)["VmRSS"], " kB"))
	if err != nil {
		t.Fatalf("VmRSS of %d: %v", pid, err)
	}
	return kib << 10
}
