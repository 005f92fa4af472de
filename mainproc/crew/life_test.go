package crew

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// names of the actions, in the order of the constants.
var doNames = []string{"launch", "serve", "ask", "leave", "drop", "refuse", "end", "kill", "fall", "tell", "arm"}

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

var errTest = errors.New("test")

// inputs are the machine's events.
var inputs = []struct {
	name string
	do   func(*Life) Do
}{
	{"wanted", (*Life).Wanted},
	{"launched", (*Life).Launched},
	{"handed", func(l *Life) Do { l.Handed(); return 0 }},
	{"ready", func(l *Life) Do { return l.Ready(t0) }},
	{"failed", func(l *Life) Do { return l.Failed(errTest) }},
	{"stopped", func(l *Life) Do { return l.Stopped(nil) }},
	{"lost", func(l *Life) Do { return l.Stopped(errTest) }},
	{"died", func(l *Life) Do { return l.Died(errTest) }},
	{"respawn", (*Life).Respawn},
	{"unwanted", (*Life).Unwanted},
	{"stop", (*Life).Stop},
	{"expired", (*Life).Expired},
	{"gone", func(l *Life) Do { return l.Gone(t0) }},
	{"idle", (*Life).Idle},
}

// The rows are states, as far as they differ. The columns are the events in the order of inputs. A
// cell is the next state and the actions; "." is neither.
var rows = []struct {
	name  string
	start Life
	cells [14]string
}{
	{"none", Life{State: None}, [14]string{
		"starting: launch", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".",
	}},
	{"none, to stop", Life{State: None, quit: true}, [14]string{
		".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".",
	}},
	{"starting", Life{State: Starting}, [14]string{
		".", "standby: nothing", ".", ".", "ending: refuse end kill", ".", ".", ".", ".", "ending: end kill", "ending: end kill", ".", ".", ".",
	}},
	{"starting again", Life{State: Starting, again: true}, [14]string{
		".", "standby: nothing", ".", ".", "down: tell arm", ".", ".", ".", ".", "ending: end kill", "ending: end kill", ".", ".", ".",
	}},
	{"standby", Life{State: Standby}, [14]string{
		".", ".", "handing: nothing", ".", ".", ".", ".", ".", ".", "ending: end kill", "ending: end kill", ".", ".", ".",
	}},
	{"standby again", Life{State: Standby, again: true}, [14]string{
		".", ".", "handing: nothing", ".", ".", ".", ".", ".", ".", "ending: end kill", "ending: end kill", ".", ".", ".",
	}},
	{"handing", Life{State: Handing}, [14]string{
		".", ".", ".", "serving: serve", "ending: refuse end kill", ".", ".", ".", ".", ".", ".", ".", ".", ".",
	}},
	{"handing, to stop", Life{State: Handing, quit: true}, [14]string{
		".", ".", ".", "asked: serve ask arm", "ending: refuse end kill", ".", ".", ".", ".", ".", ".", ".", ".", ".",
	}},
	{"handing again", Life{State: Handing, again: true}, [14]string{
		".", ".", ".", "serving: serve", "falling: fall arm", ".", ".", ".", ".", ".", ".", ".", ".", ".",
	}},
	{"handing again, to stop", Life{State: Handing, again: true, quit: true}, [14]string{
		".", ".", ".", "asked: serve ask arm", "falling: fall arm", ".", ".", ".", ".", ".", ".", ".", ".", ".",
	}},
	{"serving", Life{State: Serving}, [14]string{
		".", ".", ".", ".", "falling: fall arm", "ending: leave drop end arm", "ending: drop end arm", "falling: fall arm", ".", "asked: ask arm", "asked: ask arm", ".", ".", ".",
	}},
	{"asked", Life{State: Asked}, [14]string{
		".", ".", ".", ".", ".", "ending: drop end arm", "ending: drop end arm", "ending: drop end arm", ".", ".", ".", "ending: drop end kill arm", ".", ".",
	}},
	{"falling", Life{State: Falling}, [14]string{
		".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "falling: kill", "down: arm", ".",
	}},
	{"falling, to stop", Life{State: Falling, quit: true, Err: errTest}, [14]string{
		".", ".", ".", ".", ".", ".", ".", ".", ".", ".", ".", "falling: kill", "none: nothing", ".",
	}},
	{"down", Life{State: Down}, [14]string{
		".", ".", ".", ".", ".", ".", ".", ".", "starting: launch", "none: nothing", "none: nothing", "none: leave", ".", "none: nothing",
	}},
	{"down again", Life{State: Down, crashes: 1, Err: errTest}, [14]string{
		".", ".", ".", ".", ".", ".", ".", ".", "resting: arm", "none: nothing", "none: nothing", "none: leave", ".", "none: nothing",
	}},
	{"resting", Life{State: Resting}, [14]string{
		".", ".", ".", ".", ".", ".", ".", ".", ".", "none: nothing", "none: nothing", "starting: launch", ".", "none: nothing",
	}},
	{"ending", Life{State: Ending}, [14]string{
		".", "ending: end kill", ".", ".", ".", ".", ".", ".", ".", ".", ".", "ending: kill", "none: nothing", ".",
	}},
}

func TestLife(t *testing.T) {
	seen := map[State]bool{}
	for _, row := range rows {
		seen[row.start.State] = true
		for i, in := range inputs {
			l := row.start
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
	if len(seen) != int(Ending)+1 {
		t.Errorf("states in the table: %v", seen)
	}
}

// TestErrors: the error of the last crew, for ways through the machine.
func TestErrors(t *testing.T) {
	byName := map[string]func(*Life) Do{}
	for _, in := range inputs {
		byName[in.name] = in.do
	}
	for _, tt := range []struct {
		events []string
		want   string // "" is an orderly end
	}{
		{[]string{"wanted", "failed", "gone"}, "test"},
		{[]string{"wanted", "stop", "launched", "gone"}, ""},
		{[]string{"wanted", "launched", "unwanted", "gone"}, ""},
		{[]string{"wanted", "launched", "handed", "failed", "gone"}, "test"},
		{[]string{"wanted", "launched", "handed", "stop", "ready", "stopped", "died", "gone"}, ""},
		{[]string{"wanted", "launched", "handed", "ready", "stopped", "died", "died", "gone"}, ""},
		{[]string{"wanted", "launched", "handed", "ready", "lost", "died", "gone"}, "test"},
		{[]string{"wanted", "launched", "handed", "ready", "lost", "expired", "gone"}, "test"},
		{[]string{"wanted", "launched", "handed", "ready", "unwanted", "lost", "gone"}, ""},
		{[]string{"wanted", "launched", "handed", "ready", "died", "gone", "expired"}, "no node has asked for a new child (respawn) within 5s: the last child: test"},
		{[]string{"wanted", "launched", "handed", "ready", "died", "gone", "respawn", "failed", "expired"}, "no node has asked for a new child (respawn) within 5s: the last child: test"},
		{[]string{"wanted", "launched", "handed", "ready", "died", "gone", "respawn", "launched", "handed", "ready", "stop", "stopped", "gone"}, ""},
		{[]string{"wanted", "launched", "handed", "ready", "stop", "stopped", "died", "gone"}, ""},
		{[]string{"wanted", "launched", "handed", "ready", "stop", "lost", "died", "gone"}, ""},
		{[]string{"wanted", "launched", "handed", "ready", "stop", "died", "gone"}, "before it had stopped: test"},
		{[]string{"wanted", "launched", "handed", "ready", "stop", "expired", "died", "gone"}, "the child did not stop within 7s and was killed"},
	} {
		l := Life{StopBound: 7 * time.Second, DieTimeout: 5 * time.Second}
		for _, name := range tt.events {
			byName[name](&l)
		}
		got := ""
		if l.Err != nil {
			got = l.Err.Error()
		}
		if l.State != None || got != tt.want {
			t.Errorf("%v: %v, %q; want %q", tt.events, l.State, got, tt.want)
		}
	}
}

// TestRespawns: the first respawn comes at once. The next ones are delayed, and the delays double
// until a child has been viable.
func TestRespawns(t *testing.T) {
	l := Life{State: Serving, risen: t0}
	now := t0
	crash := func(up time.Duration) time.Duration {
		now = now.Add(up)
		l.Died(errTest)
		l.Gone(now)
		if l.State != Down {
			t.Fatalf("after a crash: %v", l.State)
		}
		l.Delay = 0
		l.Respawn()
		delay := l.Delay
		if l.State == Resting {
			l.Expired()
		}
		l.Launched()
		l.Handed()
		l.Ready(now)
		if l.State != Serving {
			t.Fatalf("after a respawn: %v", l.State)
		}
		return delay
	}
	want := time.Duration(0)
	for range 12 {
		if got := crash(viable - 1); got != want {
			t.Errorf("delay %v, want %v", got, want)
		}
		want = min(max(2*want, restFrom), restTo)
	}
	if got := crash(viable); got != 0 {
		t.Errorf("after %v: %v", viable, got)
	}
	// A child that cannot even be started counts like one that dies.
	l.Died(errTest)
	l.Gone(now.Add(time.Millisecond))
	for want := restFrom; want <= 4*restFrom; want *= 2 {
		l.Respawn()
		if l.State != Resting || l.Delay != want {
			t.Errorf("%v, delay %v, want %v", l.State, l.Delay, want)
		}
		l.Expired()
		l.Failed(errTest)
	}
}
