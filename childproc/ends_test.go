package childproc

import (
	"strings"
	"testing"

	"erluv/childproc/history"
	"erluv/childproc/ring"
	"erluv/loop"
	"erluv/stat"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// TestCause checks that the cause of an end counts more than the exit status.
func TestCause(t *testing.T) {
	oom := workers.Exit{Signal: unix.SIGKILL, OOM: true}
	failing := func(name etf.Atom) *ending { return &ending{failing: gen.Encode(name)} }
	for name, tt := range map[string]struct {
		ending *ending
		run    *collector
		exit   workers.Exit
		want   history.Cause
	}{
		"of itself":                {want: history.Exited},
		"by a signal":              {exit: workers.Exit{Signal: unix.SIGSEGV}, want: history.Exited},
		"without memory":           {exit: oom, want: history.OOM},
		"stopped":                  {ending: &ending{by: history.Drain}, want: history.Drain},
		"stopped without memory":   {ending: &ending{by: history.Owner}, exit: oom, want: history.Owner},
		"stopped after a timeout":  {ending: &ending{by: history.Stop, failing: gen.Timeout}, want: history.Stop},
		"too long":                 {ending: &ending{failing: gen.Timeout}, want: history.Timeout},
		"silent":                   {ending: failing("watchdog"), want: history.Watchdog},
		"not ready":                {ending: failing("not_ready"), want: history.NotReady},
		"not ready without memory": {ending: failing("not_ready"), exit: oom, want: history.NotReady},
		"a run":                    {run: &collector{}, want: history.Exited},
		"a run of too much output": {run: &collector{full: true}, exit: workers.Exit{Signal: unix.SIGKILL}, want: history.Output},
		"a run without room":       {run: &collector{crowded: true}, want: history.Output},
		"a run that was stopped":   {ending: &ending{by: history.Operator}, run: &collector{full: true}, want: history.Operator},
	} {
		p := &program{entry: entry{ending: tt.ending}, run: tt.run}
		if got := p.cause(tt.exit); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func TestStatExit(t *testing.T) {
	for _, tt := range []struct {
		exit workers.Exit
		want stat.Exit
	}{
		{workers.Exit{}, stat.Exit{}},
		{workers.Exit{Status: 3}, stat.Exit{Status: 3}},
		{workers.Exit{Signal: unix.SIGTERM}, stat.Exit{Signalled: stat.Signalled{Signal: stat.Word("sigterm")}}},
		{workers.Exit{Signal: unix.SIGSEGV, Core: true}, stat.Exit{Signalled: stat.Signalled{Signal: stat.Word("sigsegv"), How: "core"}}},
		{workers.Exit{Signal: unix.SIGKILL, OOM: true}, stat.Exit{Signalled: stat.Signalled{Signal: stat.Word("sigkill"), How: "oom"}}},
		{workers.Exit{Signal: 40}, stat.Exit{Signalled: stat.Signalled{Signal: int64(40)}}},
	} {
		if got := statExit(tt.exit); *got != tt.want {
			t.Errorf("%+v: %+v, want %+v", tt.exit, *got, tt.want)
		}
	}
}

// TestLastWords checks that an end has the last lines of its program until then, within a bound of
// bytes.
func TestLastWords(t *testing.T) {
	l, err := loop.New()
	must(t, err)
	defer l.Close()
	m, _ := playedManager(t, l)
	long := strings.Repeat("x", lastBytes-1) + "\n"
	for _, tt := range []struct{ before, after, want string }{
		{},
		{before: "a\nb", want: "a\nb"},
		{before: "of this run\n", after: "of the next\n", want: "of this run\n"},
		{before: strings.Repeat("line\n", 3*lastLines), want: strings.Repeat("line\n", lastLines)},
		{before: "lost\n" + long, want: long},
		{before: "lost" + long, want: long},
	} {
		r := ring.NewRoom(1 << 20).New(8 << 10)
		r.Put(1, 0, []byte(tt.before))
		e := &history.Entry{Cause: history.Exited, Log: r, LogEnd: r.End()}
		r.Put(1, 1, []byte(tt.after))
		if got := m.ended(e); got.Last != tt.want || got.Exit == nil {
			t.Errorf("%q, then %q: %q", tt.before, tt.after, got.Last)
		}
	}
	if got := m.ended(&history.Entry{Cause: history.ChildCrashed}); got.Exit != nil || got.Last != "" {
		t.Errorf("nothing saw how it has ended: %+v", got)
	}
}
