package mainproc

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"erluv/mainproc/link"
	"erluv/wire/dist"
)

// names of the actions, in the order of the constants.
var doNames = []string{"connect", "launch", "hand", "serve", "ask", "end", "kill", "fall", "keep", "tell", "release", "leave", "arm"}

func (d do) String() string {
	s := ""
	for i, name := range doNames {
		if d&(1<<i) != 0 {
			s += " " + name
		}
	}
	if s == "" {
		return "nothing"
	}
	return s[1:]
}

var (
	errTest = errors.New("test")
	t0      = time.Unix(1000, 0)
)

// inputs are the machine's events.
var inputs = []struct {
	name string
	do   func(*machine) do
}{
	{"connected", func(m *machine) do { return m.connected() }},
	{"launched", func(m *machine) do { return m.launched() }},
	{"ready", func(m *machine) do { return m.ready(t0) }},
	{"failed", func(m *machine) do { return m.failed(errTest) }},
	{"stopped", func(m *machine) do { return m.stopped(nil) }},
	{"lost", func(m *machine) do { return m.stopped(errTest) }},
	{"died", func(m *machine) do { return m.died(errTest) }},
	{"stop", func(m *machine) do { return m.stop() }},
	{"expired", func(m *machine) do { return m.expired() }},
	{"gone", func(m *machine) do { return m.gone(t0) }},
	{"respawn", func(m *machine) do { return m.respawn() }},
	{"released", func(m *machine) do { return m.released() }},
	{"gone link", func(m *machine) do { return m.lost(errTest) }},
}

// The rows are states, as far as they differ; the columns are the events in the
// order of inputs. A cell is the state afterwards and what is to be done; "." is
// neither.
var rows = []struct {
	name  string
	start machine
	cells [13]string
}{
	{"connecting", machine{state: connecting, roles: launchBegun}, [13]string{
		"starting: nothing", ".", ".", "stopping: end kill", ".", ".", ".", "stopping: end kill", ".", ".", ".", ".", ".",
	}},
	{"connecting again", machine{state: connecting, served: true}, [13]string{
		"starting: launch", ".", ".", "stopping: end kill", ".", ".", ".", "stopping: end kill", ".", ".", ".", ".", ".",
	}},
	{"connecting, launched", machine{state: connecting, roles: launchDone}, [13]string{
		"starting: hand", ".", ".", "stopping: end kill", ".", ".", ".", "stopping: end kill", ".", ".", ".", ".", ".",
	}},
	{"starting", machine{state: starting}, [13]string{
		".", "starting: hand", "serving: serve", "stopping: end kill", ".", ".", ".", "stopping: end kill", ".", ".", ".", ".", ".",
	}},
	{"starting, handed", machine{state: starting, roles: launchDone}, [13]string{
		".", "starting: hand", "serving: serve", "stopping: end kill", ".", ".", ".", ".", ".", ".", ".", ".", ".",
	}},
	{"starting, handed, to stop", machine{state: starting, roles: launchDone, quit: true}, [13]string{
		".", "starting: hand", "stopping: serve ask arm", "stopping: end kill", ".", ".", ".", ".", ".", ".", ".", ".", ".",
	}},
	{"serving", machine{state: serving, served: true}, [13]string{
		".", ".", ".", "falling: fall arm", "stopping: end arm", "stopping: end arm", "falling: fall arm", "stopping: ask arm", ".", ".", ".", ".", ".",
	}},
	{"falling", machine{state: falling, served: true, err: errTest}, [13]string{
		".", ".", ".", ".", ".", ".", ".", ".", "falling: kill", "down: keep arm", ".", ".", ".",
	}},
	{"falling, to stop", machine{state: falling, served: true, quit: true, err: errTest}, [13]string{
		".", ".", ".", ".", ".", ".", ".", ".", "falling: kill", "stopping: keep leave", ".", ".", ".",
	}},
	{"down", machine{state: down, served: true, err: errTest}, [13]string{
		".", ".", ".", ".", ".", ".", ".", "stopping: kill leave", "stopping: kill leave", ".", "rising: launch", ".", "stopping: end kill",
	}},
	{"down again", machine{state: down, served: true, crashes: 1, err: errTest}, [13]string{
		".", ".", ".", ".", ".", ".", ".", "stopping: kill leave", "stopping: kill leave", ".", "resting: arm", ".", "stopping: end kill",
	}},
	{"resting", machine{state: resting, served: true, crashes: 2, err: errTest}, [13]string{
		".", ".", ".", ".", ".", ".", ".", "stopping: kill leave", "rising: launch", ".", ".", ".", "stopping: end kill",
	}},
	{"rising", machine{state: rising, served: true, roles: launchBegun}, [13]string{
		".", "rising: release", "serving: serve", "down: tell arm", ".", ".", ".", "stopping: kill leave", ".", ".", ".", "rising: hand", "stopping: end kill",
	}},
	{"rising, launched", machine{state: rising, served: true, roles: launchDone}, [13]string{
		".", "rising: release", "serving: serve", "down: tell arm", ".", ".", ".", "stopping: kill leave", ".", ".", ".", "rising: hand", "stopping: end kill",
	}},
	{"rising, handed", machine{state: rising, served: true, roles: launchHanded}, [13]string{
		".", "rising: release", "serving: serve", "falling: fall arm", ".", ".", ".", ".", ".", ".", ".", "rising: hand", "stopping: end kill",
	}},
	{"rising, handed, to stop", machine{state: rising, served: true, roles: launchHanded, quit: true}, [13]string{
		".", "rising: release", "stopping: serve ask arm", "falling: fall arm", ".", ".", ".", ".", ".", ".", ".", "rising: hand", "stopping: end kill",
	}},
	{"stopping, leaving", machine{state: stopping, served: true, quit: true}, [13]string{
		"stopping: end", "stopping: end kill", ".", ".", ".", ".", ".", ".", "stopping: end kill", "ended: nothing", ".", ".", "stopping: end",
	}},
	{"stopping, asked", machine{state: stopping, served: true, asked: true, quit: true}, [13]string{
		"stopping: end", "stopping: end kill", ".", ".", "stopping: end arm", "stopping: end arm", "stopping: end arm", ".", "stopping: end kill", "ended: nothing", ".", ".", "stopping: end",
	}},
	{"stopping, lost", machine{state: stopping, served: true, retry: true, err: errTest}, [13]string{
		"stopping: end", "stopping: end kill", ".", ".", ".", ".", ".", ".", "stopping: end kill", "waiting: arm", ".", ".", "stopping: end",
	}},
	{"stopping, lost, exit", machine{state: stopping, served: true, err: errTest}, [13]string{
		"stopping: end", "stopping: end kill", ".", ".", ".", ".", ".", ".", "stopping: end kill", "ended: nothing", ".", ".", "stopping: end",
	}},
	{"stopping, never up", machine{state: stopping, retry: true, err: errTest}, [13]string{
		"stopping: end", "stopping: end kill", ".", ".", ".", ".", ".", ".", "stopping: end kill", "ended: nothing", ".", ".", "stopping: end",
	}},
	{"stopping, never up, always", machine{state: stopping, retry: true, always: true, err: errTest}, [13]string{
		"stopping: end", "stopping: end kill", ".", ".", ".", ".", ".", ".", "stopping: end kill", "waiting: arm", ".", ".", "stopping: end",
	}},
	{"stopping, never up, refused", machine{state: stopping, retry: true, always: true, err: dist.ErrCookie}, [13]string{
		"stopping: end", "stopping: end kill", ".", ".", ".", ".", ".", ".", "stopping: end kill", "ended: nothing", ".", ".", "stopping: end",
	}},
	{"stopping, refused", machine{state: stopping, served: true, retry: true, err: dist.ErrCookie}, [13]string{
		"stopping: end", "stopping: end kill", ".", ".", ".", ".", ".", ".", "stopping: end kill", "ended: nothing", ".", ".", "stopping: end",
	}},
	{"waiting", machine{state: waiting, served: true, retry: true}, [13]string{
		".", ".", ".", ".", ".", ".", ".", "ended: nothing", "connecting: connect", ".", ".", ".", ".",
	}},
	{"waiting, never up", machine{state: waiting, retry: true, always: true, attempt: 1}, [13]string{
		".", ".", ".", ".", ".", ".", ".", "ended: nothing", "connecting: connect", ".", ".", ".", ".",
	}},
	{"ended", machine{state: ended}, [13]string{
		".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".",
	}},
}

func TestMachine(t *testing.T) {
	seen := map[state]bool{}
	for _, row := range rows {
		seen[row.start.state] = true
		for i, in := range inputs {
			m := row.start
			m.jitter = func(d time.Duration) time.Duration { return d }
			m.final = link.IsFinal
			d := in.do(&m)
			got := fmt.Sprintf("%v: %v", m.state, d)
			want := row.cells[i]
			if want == "." {
				want = fmt.Sprintf("%v: nothing", row.start.state)
			}
			if got != want {
				t.Errorf("%s, %s: %s; want %s", row.name, in.name, got, want)
			}
		}
	}
	if len(seen) != int(ended)+1 {
		t.Errorf("states in the table: %v", seen)
	}
}

// TestErrors: what run returns for ways through the machine.
func TestErrors(t *testing.T) {
	byName := map[string]func(*machine) do{}
	for _, in := range inputs {
		byName[in.name] = in.do
	}
	for _, tt := range []struct {
		events []string
		want   string // "" is an orderly end
	}{
		{[]string{"failed", "gone"}, "test"},
		{[]string{"stop", "gone"}, ""},
		{[]string{"connected", "stop", "launched", "gone"}, ""},
		{[]string{"connected", "launched", "failed", "gone"}, "test"},
		{[]string{"connected", "launched", "stop", "failed", "gone"}, ""},
		{[]string{"connected", "launched", "stop", "ready", "stopped", "died", "gone"}, ""},
		{[]string{"connected", "launched", "ready", "stopped", "died", "died", "gone"}, ""},
		{[]string{"connected", "launched", "ready", "lost", "died", "gone"}, "test"},
		{[]string{"connected", "launched", "ready", "died", "gone", "expired", "gone"}, "nobody has asked for a new child (respawn) within 5s: the last child: test"},
		{[]string{"connected", "launched", "ready", "died", "gone", "gone link", "gone"}, "test"},
		{[]string{"connected", "launched", "ready", "died", "gone", "stop", "gone"}, ""},
		{[]string{"connected", "launched", "ready", "died", "stop", "gone", "gone"}, ""},
		{[]string{"connected", "launched", "ready", "died", "gone", "respawn", "launched", "released", "ready", "stop", "stopped", "gone"}, ""},
		{[]string{"connected", "launched", "ready", "died", "gone", "respawn", "failed", "expired", "gone"}, "nobody has asked for a new child (respawn) within 5s: the last child: test"},
		{[]string{"connected", "launched", "ready", "died", "gone", "respawn", "launched", "released", "stop", "failed", "gone", "gone"}, ""},
		{[]string{"connected", "launched", "ready", "stop", "stopped", "died", "gone"}, ""},
		{[]string{"connected", "launched", "ready", "stop", "lost", "died", "gone"}, ""},
		{[]string{"connected", "launched", "ready", "stop", "died", "gone"}, "before it had stopped: test"},
		{[]string{"connected", "launched", "ready", "stop", "expired", "died", "gone"}, "the child did not stop within 7s and was killed"},
		{[]string{"connected", "launched", "ready", "lost", "stop", "gone"}, ""},
		{[]string{"connected", "launched", "ready", "lost", "expired", "gone"}, "test"},
	} {
		m := machine{stopBound: 7 * time.Second, dieTimeout: 5 * time.Second, final: link.IsFinal}
		m.begin()
		for _, name := range tt.events {
			byName[name](&m)
		}
		got := ""
		if m.err != nil {
			got = m.err.Error()
		}
		if m.state != ended || got != tt.want {
			t.Errorf("%v: %v, %q; want %q", tt.events, m.state, got, tt.want)
		}
	}
}

func TestBackoff(t *testing.T) {
	m := machine{state: stopping, served: true, retry: true, final: link.IsFinal, err: errTest}
	m.jitter = func(d time.Duration) time.Duration { return d }
	now := t0
	lose := func(up time.Duration) time.Duration {
		m.state, m.since = stopping, time.Time{}
		if up > 0 {
			m.since = now
		}
		now = now.Add(up)
		m.gone(now)
		return m.delay
	}
	want := 100 * time.Millisecond
	for range 12 {
		if got := lose(0); got != want {
			t.Errorf("delay %v, want %v", got, want)
		}
		want = min(2*want, 30*time.Second)
	}
	if got := lose(time.Second); got != 30*time.Second {
		t.Errorf("after a second up: %v", got)
	}
	if got := lose(steady); got != 100*time.Millisecond {
		t.Errorf("after %v up: %v", steady, got)
	}
	if got := lose(0); got != 200*time.Millisecond {
		t.Errorf("then: %v", got)
	}
	for attempt := range 2000 { // no overflow
		if d := backoff(attempt); d < backoffFrom || d > backoffTo {
			t.Fatalf("attempt %d: %v", attempt, d)
		}
	}
}

// TestRespawns: the first comes at once, the next are delayed, the delays double,
// until a child has been viable.
func TestRespawns(t *testing.T) {
	m := machine{state: serving, served: true, risen: t0, final: link.IsFinal}
	now := t0
	crash := func(up time.Duration) time.Duration {
		now = now.Add(up)
		m.died(errTest)
		m.gone(now)
		if m.state != down {
			t.Fatalf("after a crash: %v", m.state)
		}
		m.delay = 0
		m.respawn()
		delay := m.delay
		if m.state == resting {
			m.expired()
		}
		m.launched()
		m.released()
		m.ready(now)
		if m.state != serving {
			t.Fatalf("after a respawn: %v", m.state)
		}
		return delay
	}
	want := time.Duration(0)
	for range 12 {
		if got := crash(viable - 1); got != want {
			t.Errorf("delay %v, want %v", got, want)
		}
		want = min(max(2*want, backoffFrom), backoffTo)
	}
	if got := crash(viable); got != 0 {
		t.Errorf("after %v: %v", viable, got)
	}
	// One that cannot even be started is no better than one that dies.
	m.died(errTest)
	m.gone(now.Add(time.Millisecond))
	for want := backoffFrom; want <= 4*backoffFrom; want *= 2 {
		m.respawn()
		if m.state != resting || m.delay != want {
			t.Errorf("%v, delay %v, want %v", m.state, m.delay, want)
		}
		m.expired()
		m.failed(errTest)
	}
}
