package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"erluv/stat"
	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0.0s", 0: "0.0s", 1540 * time.Millisecond: "1.5s", 61 * time.Second: "1m01s",
		time.Hour + 2*time.Minute: "1h02m", 49 * time.Hour: "2d01h",
	} {
		if got := age(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0B", 1023: "1023B", 1024: "1.0K", 1536: "1.5K", 1<<20 - 1: "1.0M", 5 << 30: "5.0G", 1<<63 - 1: "8.0E",
	} {
		if got := size(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

// TestGrid: on a terminal no line is wider than the terminal. Elsewhere nothing is cut.
func TestGrid(t *testing.T) {
	started, cpu, memory, pid := int64(1000), int64(90_000), int64(4096), int64(7)
	name := strings.Repeat("n", 40)
	rows := []programRow{
		{Worker: "5.0", State: "running", User: "nobody", Command: []string{"/bin/sh", "-c", "a\nb\x1b[2J"}, OsPid: &pid, Started: &started, CPU: &cpu, Memory: &memory, Restarts: 3},
		{Worker: "4.0", Name: &name, State: "starting", User: "ü", Command: []string{strings.Repeat("ä", 200)}},
	}
	for _, width := range []int{0, 1, 10, 40, 80, 200} {
		var b strings.Builder
		if err := (&ps{}).print(&b, []told[[]programRow]{{value: rows}}, time.UnixMilli(61_000), width); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if len(lines) != 3 {
			t.Fatalf("%d lines:\n%s", len(lines), b.String())
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); width > 0 && n > width {
				t.Errorf("%d characters in a terminal of %d: %q", n, width, line)
			}
			for _, r := range line {
				if r < ' ' || r == 0x7f {
					t.Errorf("the control character %q in %q", r, line)
				}
			}
		}
		whole := strings.Contains(b.String(), name) && strings.Contains(b.String(), strings.Repeat("ä", 200))
		if whole != (width == 0) {
			t.Errorf("in a terminal of %d:\n%s", width, b.String())
		}
		if width == 0 && strings.Join(strings.Fields(lines[1]), " ") != `5.0 running nobody 7 1m00s 3 1m30s 4.0K - /bin/sh -c a\nb\x1b[2J` {
			t.Errorf("%q", lines[1])
		}
	}
}

func TestRowOf(t *testing.T) {
	full := program{etf.Pid{ID: 4, Serial: 1}, []stat.Item{
		{Key: "os_pid", Value: int64(9)},
		{Key: "cmd", Value: []string{"a", "b"}},
		{Key: "user", Value: "u"},
		{Key: "state", Value: stat.Word("running")},
		{Key: "started", Value: int64(5)},
		{Key: "restarts", Value: int64(2)},
		{Key: "name", Value: stat.Word("web")},
		{Key: "cpu", Value: int64(6)},
		{Key: "rss", Value: int64(7)},
		{Key: "cgroup", Value: []stat.Item{{Key: "memory", Value: int64(8)}}},
	}}
	r := rowOf(full)
	if r.Worker != "4.1" || *r.Name != "web" || len(r.Command) != 2 || r.User != "u" || r.State != "running" || *r.OsPid != 9 || *r.Started != 5 ||
		r.Restarts != 2 || *r.CPU != 6 || *r.Memory != 8 || r.called() != "web" {
		t.Errorf("%+v", r)
	}
	r = rowOf(program{etf.Pid{ID: 4}, []stat.Item{{Key: "os_pid", Value: int64(0)}, {Key: "name", Value: []string{}}, {Key: "rss", Value: int64(7)}}})
	if r.Name != nil || r.OsPid != nil || r.Command == nil || *r.Memory != 7 || r.called() != "4.0" {
		t.Errorf("%+v", r)
	}
}

func TestSignalOf(t *testing.T) {
	for s, want := range map[string]unix.Signal{"TERM": 15, "sigterm": 15, "SIGHUP": 1, "Hup": 1, "9": 9, "64": 64, "0": 0, "65": 0, "-1": 0, "": 0, "SIG": 0, "x": 0} {
		if got, err := signalOf(s); got != want || (err == nil) != (want != 0) {
			t.Errorf("%q is %d, %v, want %d", s, got, err, want)
		}
	}
}

func TestEndOf(t *testing.T) {
	for _, c := range []struct {
		exit etf.Term
		want string
	}{
		{etf.Tuple{etf.Atom("exit_status"), int64(3)}, `{"exit_status":3}`},
		{etf.Tuple{etf.Atom("signal"), etf.Atom("sigterm")}, `{"signal":"sigterm"}`},
		{etf.Tuple{etf.Atom("signal"), int64(40), etf.Atom("core")}, `{"signal":40,"how":"core"}`},
		{etf.Atom("never_started"), `{"exit":"never_started"}`},
	} {
		if got := string(stat.JSON(endOf(c.exit))); got != c.want {
			t.Errorf("%v is %s, want %s", c.exit, got, c.want)
		}
	}
}
