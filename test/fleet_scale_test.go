package e2e

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	scaleHosts    = flag.Int("hosts", 50, "hosts of the control node of TestFleetOfManyHosts")
	scalePrograms = flag.Int("programs", 500, "programs that it places there, a multiple of the hosts")
)

// TestFleetOfManyHosts: a control node has many hosts, and spreads programs evenly. A tenth of the
// hosts go at once: it notices each, with its programs, and nothing waits in a mailbox. The log has
// the times and sizes. make scale-fleet has a thousand hosts.
func TestFleetOfManyHosts(t *testing.T) {
	n, s := controlNode(t)
	took := func(begin time.Time, what string, args ...any) {
		t.Helper()
		t.Logf("%-55s %v", fmt.Sprintf(what, args...), time.Since(begin).Round(time.Millisecond))
	}
	memory := func() (of [3]int) {
		t.Helper()
		said := s.eval(t, `e2e_scale:memory()`)
		if _, err := fmt.Sscanf(said, "{%d,%d,%d}", &of[0], &of[1], &of[2]); err != nil {
			t.Fatalf("%s: %v", said, err)
		}
		return of
	}
	all, programs := *scaleHosts, *scalePrograms
	lost := all / 10
	before := memory()
	begin := time.Now()
	hosts := fakeHosts(t, n, all)
	s.expect(t, "ok", fmt.Sprintf(`e2e_scale:hosts(%d)`, all))
	took(begin, "%d hosts are connected and known", all)
	after := memory()
	t.Logf("%-55s %.1f KiB, of which the fleet %.1f, the host's process %.1f", "memory of the node for each host",
		perHost(after[0]-before[0], all), perHost(after[1]-before[1], all), perHost(after[2], all))
	for _, strategy := range []string{"least_loaded", "spread"} {
		said := s.eval(t, fmt.Sprintf(`e2e_scale:placed(%d, %s)`, programs, strategy))
		micros, shares, _ := strings.Cut(strings.Trim(said, "{}"), ",")
		if want := fmt.Sprintf("#{%d => %d", programs/all, all); shares != want {
			t.Errorf("%s: %s, want %s}", strategy, shares, want)
		}
		t.Logf("%-55s %s us", fmt.Sprintf("%d places for one process, %s", programs, strategy), micros)
	}
	begin = time.Now()
	s.expect(t, fmt.Sprintf("#{%d => %d}", programs/all, all), fmt.Sprintf(`e2e_scale:spawned(%d, 10)`, programs))
	took(begin, "%d programs, placed and started by 10 processes", programs)
	with := memory()
	t.Logf("%-55s %.1f KiB", "memory of the node for each program", perHost(with[0]-after[0], programs))
	s.expect(t, "ok", `erluv_fleet:subscribe()`)
	begin = time.Now()
	for _, h := range hosts[:lost] {
		h.conn.Close()
	}
	s.expect(t, "ok", fmt.Sprintf(`e2e_scale:went(%d)`, lost))
	took(begin, "%d hosts that go at once are noticed", lost)
	s.expect(t, "ok", fmt.Sprintf(`e2e_scale:counted(%d)`, programs/all*(all-lost)))
	s.expect(t, "ok", `e2e:until(fun() -> [{erluv_fleet, 0}, {net_kernel, 0}] =:= e2e_scale:state() end)`)
}

func perHost(bytes, hosts int) float64 { return float64(bytes) / float64(hosts) / 1024 }

// controlNode is a node with the library and a fleet, which may have as many connections as the
// machine allows.
func controlNode(t *testing.T) (*node, session) {
	t.Helper()
	ebin, err := library()
	if err != nil {
		t.Fatal(err)
	}
	// Go restores the limit that it was started with for its children.
	many := filepath.Join(dir, "erl-with-many")
	script := "#!/bin/sh\nulimit -S -n \"$(ulimit -H -n)\"\nexec " + erl + " \"$@\"\n"
	if err := os.WriteFile(many, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	n := newNode(t, nodeOptions{erl: many, args: []string{"-pa", ebin, "-kernel", "logger_level", "error"}})
	s := n.session(t)
	s.expect(t, "ok", `e2e_scale:start()`)
	return n, s
}
