package e2e

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// topOutput is what `erluv top --format json` prints.
type topOutput struct {
	Node          string                            `json:"node"`
	Status        string                            `json:"status"`
	Uptime        int64                             `json:"uptime"`
	Nodes         int                               `json:"nodes"`
	Load          *[3]float64                       `json:"load"`
	Memory        *struct{ Total, Available int64 } `json:"memory"`
	Total         int                               `json:"total"`
	MaxWorkers    int                               `json:"max_workers"`
	States        map[string]int                    `json:"states"`
	Started       int                               `json:"started"`
	Ended         map[string]int                    `json:"ended"`
	Crashes       int                               `json:"crashes"`
	Output        int64                             `json:"output"`
	OutputRate    float64                           `json:"output_rate"`
	Paused        int64                             `json:"paused"`
	PausedStreams float64                           `json:"paused_streams"`
	Roles         []struct {
		Role       string   `json:"role"`
		OsPid      int      `json:"os_pid"`
		CPU        *int64   `json:"cpu"`
		CPUPercent *float64 `json:"cpu_percent"`
		Memory     *int64   `json:"memory"`
	} `json:"roles"`
	Programs []topProgram `json:"programs"`
}

type topProgram struct {
	programOutput          // the end is null: top does not ask for it
	CPUPercent    *float64 `json:"cpu_percent"`
	Output        int64    `json:"output"`
	OutputRate    *float64 `json:"output_rate"`
	Paused        bool     `json:"paused"`
}

// TestTopOnce checks section 6 of the contract for top --once.
//
//erluv:users
func TestTopOnce(t *testing.T) {
	e, s, socket := operated(t)
	s.eval(t, wares)
	got := one[topOutput](t, done(t, socket, "top", "--format", "json", "-o", "output"))
	if got.Node != e.erluv || got.Status != "ready" || got.Total != 17 || got.States["running"] != 17 || got.Nodes != 1 || len(got.Programs) != 17 || len(got.Roles) != 3 {
		t.Errorf("%+v", got)
	}
	first := got.Programs[0]
	if first.Name == nil || *first.Name != "web" || first.OutputRate == nil || *first.OutputRate < 1 || first.CPUPercent == nil || first.Memory == nil {
		t.Errorf("the first by output is %+v", first)
	}
	if !slices.ContainsFunc(got.Programs, func(p topProgram) bool {
		return p.Paused && p.Name != nil && *p.Name == "flood"
	}) || got.PausedStreams < 0.5 {
		t.Errorf("nothing is paused: %+v", got)
	}
	text := done(t, socket, "top", "--once", "-n", "2", "-o", "name")
	if lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n"); len(lines) != 7 || strings.Contains(text, "\x1b") ||
		!strings.HasPrefix(lines[4], "PROGRAM") || !strings.Contains(lines[1], "17 running") {
		t.Errorf("%q", text)
	}
	if _, stderr, status := operates(t, socket, "top", "-o", "size"); status != 2 || !strings.Contains(stderr, "takes cpu or memory") {
		t.Errorf("%d, %s", status, stderr)
	}
}

// live is erluv top on a terminal of its own.
type live struct {
	*terminal
	t *testing.T
}

func topOn(t *testing.T, socket string, rows, cols uint16) *live {
	t.Helper()
	return &live{onTerminal(t, rows, cols, executable, "top", "--control", socket), t}
}

// picture returns the last complete picture.
func (l *live) picture() string {
	all := strings.Split(l.out.String(), "\x1b[H")
	for _, p := range slices.Backward(all) {
		if body, _, whole := strings.Cut(p, "\x1b[J"); whole {
			return body
		}
	}
	return ""
}

// pictures returns how many pictures there were.
func (l *live) pictures() int { return strings.Count(l.out.String(), "\x1b[H") }

// showing waits for a picture that satisfies is.
func (l *live) showing(what string, is func(picture string) bool) {
	l.t.Helper()
	if !until(endTime, func() bool { return is(l.picture()) }) {
		l.t.Fatalf("top does not show %s:\n%q", what, l.picture())
	}
}

// leaves checks that top ends, and leaves the terminal and the screen as they were.
func (l *live) leaves() {
	l.t.Helper()
	l.ends(l.t, 0)
	if !until(startTime, func() bool { return strings.HasSuffix(l.out.String(), "\x1b[?25h\x1b[?1049l") }) {
		l.t.Errorf("the screen is not left: %q", l.out.String())
	}
}

func has(words ...string) func(string) bool {
	return func(picture string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(picture, w) })
	}
}

// TestTop checks section 6 of the contract for top on a terminal. It is live, sorts as keys choose,
// and fits the size of the terminal. However top ends, the terminal is as before. top outlives a
// crash of the child.
//
//erluv:users
func TestTop(t *testing.T) {
	e, s, socket := operated(t, "--die-timeout", "1m")
	s.eval(t, wares)
	l := topOn(t, socket, 12, 100)
	l.showing("the programs", has(e.erluv, "17 running", "more  keys", "by cpu"))
	if now := l.modes(t); now.Lflag&(unix.ECHO|unix.ICANON) != 0 || now.Lflag&unix.ISIG == 0 {
		t.Errorf("the terminal is %+v", now)
	}
	sequence := regexp.MustCompile(`\x1b\[[0-9;?]*[a-zA-Z]`)
	fits := func(rows, cols int) func(string) bool {
		return func(picture string) bool {
			lines := strings.Split(strings.ReplaceAll(sequence.ReplaceAllString(picture, ""), "\r", ""), "\n")
			return len(lines) == rows && !slices.ContainsFunc(lines, func(l string) bool { return utf8.RuneCountInString(l) > cols })
		}
	}
	l.showing("12 lines", fits(12, 100))
	l.size(t, 30, 60)
	l.showing("30 lines", fits(30, 60))
	l.types(t, "n")
	l.showing("names", has("by name", "worker_a", "<i>odd</i>"))
	s.eval(t, `P(["sleep", "1000"], #{owner => none, link => false, name => aaa_new}), ok`)
	l.showing("one that is new", has("aaa_new", "18 running"))
	kill(t, e.roles(t).child, syscall.SIGKILL)
	l.showing("the crash", has("! "))
	s.down(t, 0)
	s.respawn(t)
	l.showing("the next child", func(p string) bool {
		return has("programs 0 of", "crashes of the child 1")(p) && !strings.Contains(p, "! ")
	})
	l.types(t, "q")
	l.leaves()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT} {
		l := topOn(t, socket, 24, 80)
		l.showing("the node", has(e.erluv))
		if err := l.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		l.leaves()
	}

	// Ctrl-Z restores the terminal until top goes on.
	l = topOn(t, socket, 24, 80)
	l.showing("the node", has(e.erluv))
	if err := l.cmd.Process.Signal(syscall.SIGTSTP); err != nil {
		t.Fatal(err)
	}
	if !until(endTime, func() bool { return l.modes(t) == l.before && strings.HasSuffix(l.out.String(), "\x1b[?1049l") }) {
		t.Errorf("stopped, the terminal is %+v", l.modes(t))
	}
	if !until(endTime, func() bool { return stats(t, l.cmd.Process.Pid)[0] == "T" }) {
		t.Error("it is not stopped") // before, a SIGCONT would be lost
	}
	if err := l.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if !until(endTime, func() bool { return l.modes(t) != l.before }) {
		t.Error("it does not go on")
	}
	l.types(t, "q")
	l.leaves()
}

var topFor = flag.Duration("topfor", 3*time.Second, "how long TestTopCosts measures")

// This measures the cost of top with 1,000 programs, over all processes, and the cost when nothing
// looks. People read the figures in the log (doc/performance.md). The bounds catch a cost of
// another order of magnitude.
func TestTopCosts(t *testing.T) {
	e, s, socket := operated(t)
	s.eval(t, `[e2e:start(E, ["sleep", "1000"], #{owner => none, link => false}) || _ <- lists:seq(1, 1000)], ok`)
	l := topOn(t, socket, 50, 120)
	l.showing("all", has("1000 running"))
	roles := e.roles(t)
	pids := []int{roles.main, roles.child, roles.spawner, l.cmd.Process.Pid}
	spent := func(pids []int) (percent float64) {
		t.Helper()
		before, begin := make([]time.Duration, len(pids)), time.Now()
		for i, pid := range pids {
			before[i] = processorTime(t, pid)
		}
		time.Sleep(*topFor)
		elapsed, each := time.Since(begin), ""
		for i, pid := range pids {
			p := 100 * float64(processorTime(t, pid)-before[i]) / float64(elapsed)
			percent += p
			each += fmt.Sprintf(" %s %.2f", []string{"main", "child", "spawner", "top"}[i], p)
		}
		t.Logf("%.2f %% of a processor:%s", percent, each)
		return percent
	}
	seen := l.pictures()
	looked := spent(pids)
	if !until(endTime, func() bool { return l.pictures() >= seen+2 }) {
		t.Fatal("top is not live")
	}
	if looked > 10 {
		t.Errorf("it costs %.2f %% of a processor", looked)
	}
	l.types(t, "q")
	l.leaves()
	if idle := spent(pids[:3]); idle > 5 {
		t.Errorf("with no look it is %.2f %% of a processor", idle)
	}
}

// processorTime returns the processor time of a process, by its clock: clock_getcpuclockid(3).
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &now); err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.Nano())
}

// stats returns the fields of /proc/PID/stat after the name. The first one is the state.
func stats(t *testing.T, pid int) []string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
}
