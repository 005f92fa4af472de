package link

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"erluv/wire/dist"
)

// names of the actions, in the order of the constants.
var doNames = []string{"connect", "hand", "keep", "release", "leave", "end", "arm", "shut"}

func (d Do) String() string {
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
	do   func(*Life) Do
}{
	{"connected", (*Life).Connected},
	{"offered", (*Life).Offered},
	{"ready", func(l *Life) Do { l.Ready(t0); return 0 }},
	{"lost", func(l *Life) Do { return l.Lost(errTest) }},
	{"crashed", func(l *Life) Do { l.Crashed(); return 0 }},
	{"reaped", (*Life).Reaped},
	{"released", (*Life).Released},
	{"leave", func(l *Life) Do { return l.Leave(nil) }},
	{"expired", (*Life).Expired},
	{"gone", func(l *Life) Do { return l.Gone(t0) }},
	{"replaced", (*Life).Replaced},
	{"parted", (*Life).Parted},
}

// The rows are states, as far as they differ. The columns are the events in the order of inputs. A
// cell is the next state and the actions; "." is neither.
var rows = []struct {
	name  string
	start Life
	cells [12]string
}{
	{"connecting", Life{State: Connecting}, [12]string{
		"open: nothing", ".", ".", "closing: end", ".", ".", ".", "closing: end", ".", ".", "closing: end", ".",
	}},
	{"open", Life{State: Open}, [12]string{
		".", "handing: hand", ".", "closing: end", "orphaned: nothing", ".", ".", "closing: end", ".", ".", "closing: end", ".",
	}},
	{"handing", Life{State: Handing}, [12]string{
		".", ".", "served: nothing", "closing: end", "orphaned: nothing", ".", ".", ".", ".", ".", "handing: shut", ".",
	}},
	{"served", Life{State: Served}, [12]string{
		".", ".", ".", "closing: end", "orphaned: nothing", ".", ".", ".", ".", ".", "served: shut", ".",
	}},
	{"orphaned", Life{State: Orphaned}, [12]string{
		".", ".", ".", "closing: end", ".", "kept: keep", ".", ".", ".", ".", ".", ".",
	}},
	{"orphaned, to end", Life{State: Orphaned, quit: true}, [12]string{
		".", ".", ".", "closing: end", ".", "leaving: keep leave", ".", ".", ".", ".", ".", ".",
	}},
	{"orphaned, replaced", Life{State: Orphaned, replaced: true}, [12]string{
		".", ".", ".", "closing: end", ".", "closing: end", ".", ".", ".", ".", ".", ".",
	}},
	{"kept", Life{State: Kept}, [12]string{
		".", "releasing: release", ".", "closing: end", ".", ".", ".", "leaving: leave", ".", ".", "closing: end", ".",
	}},
	{"releasing", Life{State: Releasing}, [12]string{
		".", ".", ".", "closing: end", ".", ".", "open: nothing", "leaving: leave", ".", ".", "closing: end", ".",
	}},
	{"leaving", Life{State: Leaving}, [12]string{
		".", ".", ".", "closing: end", ".", ".", "closing: end", ".", ".", ".", ".", ".",
	}},
	{"closing, to end", Life{State: Closing, quit: true}, [12]string{
		"closing: end", ".", ".", ".", ".", ".", ".", ".", ".", "ended: nothing", ".", ".",
	}},
	{"closing, lost", Life{State: Closing, up: true, Retry: true, Err: errTest}, [12]string{
		"closing: end", ".", ".", ".", ".", ".", ".", ".", ".", "waiting: arm", ".", ".",
	}},
	{"closing, lost, exit", Life{State: Closing, up: true, Err: errTest}, [12]string{
		"closing: end", ".", ".", ".", ".", ".", ".", ".", ".", "ended: nothing", ".", ".",
	}},
	{"closing, never up", Life{State: Closing, Retry: true, Err: errTest}, [12]string{
		"closing: end", ".", ".", ".", ".", ".", ".", ".", ".", "ended: nothing", ".", ".",
	}},
	{"closing, never up, always", Life{State: Closing, Retry: true, Always: true, Err: errTest}, [12]string{
		"closing: end", ".", ".", ".", ".", ".", ".", ".", ".", "waiting: arm", ".", ".",
	}},
	{"closing, never up, refused", Life{State: Closing, Retry: true, Always: true, Err: dist.ErrCookie}, [12]string{
		"closing: end", ".", ".", ".", ".", ".", ".", ".", ".", "ended: nothing", ".", ".",
	}},
	{"closing, refused", Life{State: Closing, up: true, Retry: true, Err: dist.ErrCookie}, [12]string{
		"closing: end", ".", ".", ".", ".", ".", ".", ".", ".", "ended: nothing", ".", ".",
	}},
	{"closing, never up, meanwhile connected by the node", Life{State: Closing, Retry: true, Meets: true, Err: &dist.Refused{Status: dist.StatusNotOK}}, [12]string{
		"closing: end", ".", ".", ".", ".", ".", ".", ".", ".", "waiting: arm", ".", ".",
	}},
	{"closing, never up, refused for a moment", Life{State: Closing, Retry: true, Err: &dist.Refused{Status: dist.StatusNotOK}}, [12]string{
		"closing: end", ".", ".", ".", ".", ".", ".", ".", ".", "ended: nothing", ".", ".",
	}},
	{"closing, replaced", Life{State: Closing, replaced: true, Err: errTest}, [12]string{
		"closing: end", ".", ".", ".", ".", ".", ".", ".", ".", "met: nothing", ".", ".",
	}},
	{"closing, replaced, of the node's making", Life{State: Closing, replaced: true, Passive: true}, [12]string{
		"closing: end", ".", ".", ".", ".", ".", ".", ".", ".", "ended: nothing", ".", ".",
	}},
	{"closing, of the node's making", Life{State: Closing, Passive: true, Retry: true, up: true, Err: errTest}, [12]string{
		"closing: end", ".", ".", ".", ".", ".", ".", ".", ".", "ended: nothing", ".", ".",
	}},
	{"met", Life{State: Met, Retry: true}, [12]string{
		".", ".", ".", ".", ".", ".", ".", "ended: nothing", ".", ".", ".", "waiting: arm",
	}},
	{"met, exit", Life{State: Met}, [12]string{
		".", ".", ".", ".", ".", ".", ".", "ended: nothing", ".", ".", ".", "ended: nothing",
	}},
	{"waiting", Life{State: Waiting}, [12]string{
		".", ".", ".", ".", ".", ".", ".", "ended: nothing", "connecting: connect", ".", "met: nothing", ".",
	}},
	{"ended", Life{State: Ended}, [12]string{
		".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".",
	}},
}

func sameDelay(d time.Duration) time.Duration { return d }

func TestLife(t *testing.T) {
	seen := map[State]bool{}
	for _, row := range rows {
		seen[row.start.State] = true
		for i, in := range inputs {
			l := row.start
			l.Jitter = sameDelay
			d := in.do(&l)
			got := fmt.Sprintf("%v: %v", l.State, d)
			want := row.cells[i]
			if want == "." {
				want = fmt.Sprintf("%v: nothing", row.start.State)
			}
			if got != want {
				t.Errorf("%s, %s: %s; want %s", row.name, in.name, got, want)
			}
		}
	}
	if len(seen) != int(Ended)+1 {
		t.Errorf("states in the table: %v", seen)
	}
}

// TestErrors: the error of the link, for ways through the machine.
func TestErrors(t *testing.T) {
	byName := map[string]func(*Life) Do{"die": func(l *Life) Do { return l.Leave(errors.New("die")) }}
	for _, in := range inputs {
		byName[in.name] = in.do
	}
	for _, tt := range []struct {
		events []string
		want   string // "" is an orderly end
	}{
		{[]string{"lost", "gone"}, "test"},
		{[]string{"leave", "gone"}, ""},
		{[]string{"leave", "connected", "gone"}, ""},
		{[]string{"connected", "leave", "gone"}, ""},
		{[]string{"connected", "lost", "gone"}, "test"},
		{[]string{"connected", "offered", "lost", "gone"}, "test"},
		{[]string{"connected", "offered", "leave", "lost", "gone"}, ""},
		{[]string{"connected", "offered", "ready", "lost", "gone"}, "test"},
		{[]string{"connected", "offered", "ready", "lost", "leave", "gone"}, ""},
		{[]string{"connected", "offered", "ready", "leave", "lost", "gone"}, "test"}, // because the child has not stopped in order
		{[]string{"connected", "offered", "ready", "crashed", "lost", "gone"}, "test"},
		{[]string{"connected", "offered", "ready", "crashed", "reaped", "lost", "gone"}, "test"},
		{[]string{"connected", "offered", "ready", "crashed", "reaped", "die", "released", "gone"}, "die"},
		{[]string{"connected", "offered", "ready", "crashed", "reaped", "die", "lost", "gone"}, "die"},
		{[]string{"connected", "offered", "ready", "crashed", "reaped", "die", "leave", "lost", "gone"}, ""},
		{[]string{"connected", "offered", "ready", "crashed", "reaped", "leave", "released", "gone"}, ""},
		{[]string{"connected", "offered", "ready", "crashed", "leave", "reaped", "released", "gone"}, ""},
		{[]string{"connected", "offered", "ready", "crashed", "leave", "lost", "gone"}, ""},
		{[]string{"connected", "offered", "ready", "crashed", "reaped", "offered", "released", "offered", "ready", "leave", "lost", "gone"}, "test"},
	} {
		l := Life{}
		l.Begin()
		for _, name := range tt.events {
			byName[name](&l)
		}
		got := ""
		if l.Err != nil {
			got = l.Err.Error()
		}
		if l.State != Ended || got != tt.want {
			t.Errorf("%v: %v, %q; want %q", tt.events, l.State, got, tt.want)
		}
	}
}

func TestBackoff(t *testing.T) {
	l := Life{State: Closing, up: true, Retry: true, Jitter: sameDelay, Err: errTest}
	now := t0
	lose := func(up time.Duration) time.Duration {
		l.State, l.since = Closing, time.Time{}
		if up > 0 {
			l.since = now
		}
		now = now.Add(up)
		l.Gone(now)
		return l.Delay
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

// TestSteady: a connection that another child continues keeps its age.
func TestSteady(t *testing.T) {
	l := Life{Retry: true, Jitter: sameDelay, attempt: 3}
	l.Begin()
	l.Connected()
	l.Offered()
	l.Ready(t0)
	l.Crashed()
	l.Reaped()
	l.Offered()
	l.Released()
	l.Offered()
	l.Ready(t0.Add(steady))
	l.Lost(errTest)
	l.Gone(t0.Add(steady))
	if l.Delay != backoffFrom {
		t.Errorf("the next attempt is after %v", l.Delay)
	}
}

// TestAccepted: a node's own connection begins open, is served like any other, and is not made
// anew.
func TestAccepted(t *testing.T) {
	l := Life{Retry: true, Jitter: sameDelay}
	if l.Accepted(); l.State != Open || !l.Needs() {
		t.Errorf("it begins %v", l.State)
	}
	l.Offered()
	l.Ready(t0)
	l.Crashed()
	l.Reaped()
	l.Offered()
	l.Released()
	l.Offered()
	l.Ready(t0)
	l.Lost(errTest)
	if l.Gone(t0.Add(steady)); l.State != Ended || l.Err != errTest {
		t.Errorf("it ends %v, %v", l.State, l.Err)
	}
}

// TestRetire: a node that is no longer listed keeps its connection.
func TestRetire(t *testing.T) {
	for start, want := range map[State]string{
		Connecting: "closing: end", Open: "open: nothing", Handing: "handing: nothing", Served: "served: nothing",
		Orphaned: "orphaned: nothing", Kept: "kept: nothing", Releasing: "releasing: nothing",
		Leaving: "leaving: nothing", Closing: "closing: nothing", Waiting: "ended: nothing", Met: "ended: nothing", Ended: "ended: nothing",
	} {
		l := Life{State: start, Retry: true, up: true, Jitter: sameDelay}
		do := l.Retire()
		if got := fmt.Sprintf("%v: %v", l.State, do); got != want {
			t.Errorf("%v: %s, want %s", start, got, want)
		}
		if l.Over() != (l.State == Ended) {
			t.Errorf("%v, then %v: over %v", start, l.State, l.Over())
		}
	}
	lost := Life{State: Closing, Retry: true, up: true, Jitter: sameDelay}
	lost.Retire()
	recalled := lost
	recalled.Recall()
	if lost.Gone(time.Now()); lost.State != Ended {
		t.Errorf("a node that was retired: %v", lost.State)
	}
	if recalled.Gone(time.Now()); recalled.State != Waiting {
		t.Errorf("one that was recalled: %v", recalled.State)
	}
}
