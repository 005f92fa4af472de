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

// Longest waits for what should come soon. The machine may be slow.
const (
	startTime = 2 * time.Minute // for a node to be there
	endTime   = 2 * time.Minute // for a process to be gone
)

// until waits until the condition is true, and says whether it came true in time.
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

// unusedPort is a port that nothing listens at. The kernel gives it to no connection meanwhile:
// that takes those of ip_local_port_range, which begins at 32768.
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

// A process is told from later ones with the same number by when it started.
type process struct {
	pid   int
	start string // clock ticks since boot
}

func (p process) String() string { return strconv.Itoa(p.pid) }

// gone: a zombie is, whoever has still to reap it.
func (p process) gone() bool {
	s, ok := stat(p.pid)
	return !ok || s.process != p || s.dead()
}

// statLine is what we use of /proc/PID/stat: proc_pid_stat(5).
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
	// The name, in parentheses, may hold anything.
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

// children are the living ones.
func children(pid int) []process {
	var list []process
	for _, s := range all() {
		if s.parent == pid && !s.dead() {
			list = append(list, s.process)
		}
	}
	return list
}

// family are all living descendants.
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

// zombies counts the dead children that nobody has reaped.
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

// descriptors lists what a process has open, but for files of control groups, of
// which the child keeps some for the next program.
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

// threads are the numbers of all threads of a process.
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

// status reads /proc/PID/task/TID/status, or nil when it is gone.
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

// private is the memory of a process that no other one shares, in bytes; 0: it is gone.
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

// resident is the memory of a process in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	kib, err := strconv.Atoi(strings.TrimSuffix(status(pid, pid)["VmRSS"], " kB"))
	if err != nil {
		t.Fatalf("VmRSS of %d: %v", pid, err)
	}
	return kib << 10
}
