package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A node that stands still reads nothing. The programs then stand still too, in their writes, and
// erluv holds hardly any of their output. When the node goes on, all output arrives.
//
//erluv:releases
func TestStalledNode(t *testing.T) {
	n := newNode(t, nodeOptions{})
	e := newErluv(t, n)
	r := e.roles(t)
	s := e.session(t)
	s.eval(t, `W = e2e:start(E, "read x; exec head -c 512M /dev/zero"), ok`)
	program := children(r.spawner)
	if len(program) != 1 {
		t.Fatalf("there are the programs %v", program)
	}
	before := resident(t, r.child)
	s.eval(t, `ok = e2e:call(W, {write, "\n"})`)
	if err := n.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.cmd.Process.Signal(syscall.SIGCONT) }()
	last, since := written(t, program[0].pid), time.Now()
	eventually(t, "the program stands still", func() bool {
		if now := written(t, program[0].pid); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 300*time.Millisecond
	})
	if program[0].gone() {
		t.Fatal("the program has ended: it did not have to wait")
	}
	if after := resident(t, r.child); after > before+8<<20 {
		t.Errorf("the child has grown from %d to %d bytes", before, after)
	}
	if err := n.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.expect(t, `{{536870912,<<"AA559B4E3523A6C931F08F4DF52D58F2">>},<<>>,{exit_status,0},normal}`, `e2e:digest(W)`)
	if after := resident(t, r.child); after > before+8<<20 {
		t.Errorf("the child has grown from %d to %d bytes", before, after)
	}
}

// written returns the line of /proc/PID/io that counts written bytes, or "".
func written(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "wchar:") {
			return line
		}
	}
	return ""
}
