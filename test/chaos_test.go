package e2e

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tests named TestChaos are those of doc/reliability.md: make chaos runs them
// with -chaos, and shows the figures.
var (
	chaos = flag.Bool("chaos", false, "chaos with the full counts of doc/reliability.md")
	share = flag.Int("share", 100, "percent of the full counts")
)

// counts returns a number of repetitions, for every run of the tests or for a full one.
func counts(short, full int) int {
	if inVersion1 {
		return min(short, 2)
	}
	if !*chaos {
		return short
	}
	return max(1, full**share/100)
}

// newMark makes a value for the variable CHAOS. A test's programs and all their descendants have it
// in their environment.
func newMark() string { return fmt.Sprintf("chaos-%d-%d", os.Getpid(), serial.Add(1)) }

// marked returns the living processes with a mark.
func marked(mark string) []process {
	entries, _ := filepath.Glob("/proc/[0-9]*")
	var list []process
	for _, entry := range entries {
		environ, err := os.ReadFile(entry + "/environ")
		if err != nil || !bytes.Contains(environ, []byte("CHAOS="+mark+"\x00")) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(entry))
		if s, ok := stat(pid); ok && !s.dead() {
			list = append(list, s.process)
		}
	}
	return list
}

// orphans fails for each process with a mark that is left, and kills it.
func orphans(t *testing.T, mark string) {
	t.Helper()
	for _, p := range marked(mark) {
		t.Errorf("process %v is left behind: %s", p, cmdline(p.pid))
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
	}
}

// inherited reaps processes that became children of the test because their parents were killed. The
// test's own children have their Wait.
func inherited(own ...int) {
	for _, s := range all() {
		if s.parent == os.Getpid() && s.dead() && !slices.Contains(own, s.pid) {
			_, _ = syscall.Wait4(s.pid, nil, syscall.WNOHANG, nil)
		}
	}
}

// wait waits for a random time of up to most.
func wait(most time.Duration) { <-time.After(rand.N(most)) }

// figures are measured durations.
type figures []time.Duration

func (f figures) String() string {
	if len(f) == 0 {
		return "none"
	}
	slices.Sort(f)
	at := func(percent int) time.Duration {
		return f[(len(f)-1)*percent/100].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("%d, median %v, 99%% %v, longest %v", len(f), at(50), at(99), at(100))
}

// median is for bounds that hold on any machine most of the time.
func (f figures) median() time.Duration {
	slices.Sort(f)
	return f[len(f)/2]
}

// micros reads a printed list of microseconds.
func micros(t *testing.T, text string) (f figures) {
	t.Helper()
	for _, field := range strings.FieldsFunc(text, func(r rune) bool { return !('0' <= r && r <= '9') }) {
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		f = append(f, time.Duration(n)*time.Microsecond)
	}
	return f
}

// stubborn is a program that ignores SIGTERM and leaves a daemon that does so too.
const stubborn = daemon + "trap '' TERM; echo ready; exec sleep 1000"

// kinds is a load for e2e_chaos:load/3, in which half are stubborn.
func kinds(daemons int, others ...string) source {
	list := slices.Clone(others)
	for range daemons {
		list = append(list, fmt.Sprintf("{program, %q}", stubborn))
	}
	return source("[" + strings.Join(list, ", ") + "]")
}
