package order

import (
	"slices"
	"strings"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/wire/etf"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// hostsOptions are the options that no caller can set for a program of a class.
var hostsOptions = []etf.Atom{
	"tree", "env", "path", "inherit", "login", "user", "group", "groups", "cd", "fds", "nice", "umask", "rlimits", "cpus",
	"oom_score_adj", "limits", "sandbox", "allow", "no_new_privs", "setsid",
}

// TestEveryOptionOfAClass checks that for each option it is decided whether a caller of a class may
// set it.
func TestEveryOptionOfAClass(t *testing.T) {
	for _, o := range Table {
		if o.For&forBoth == 0 {
			continue
		}
		callers, hosts := slices.Contains(classOptions, etf.Atom(o.Name)), slices.Contains(hostsOptions, etf.Atom(o.Name))
		if callers == hosts {
			t.Errorf("%s: is it the caller's (classOptions) or the host's (hostsOptions)?", o.Name)
		}
	}
	for _, name := range slices.Concat(classOptions, hostsOptions) {
		if rows[string(name)] == nil {
			t.Errorf("there is no option %s", name)
		}
	}
}

func class(t *testing.T, is ipc.Class) *Class {
	t.Helper()
	c, err := NewClass(is)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestOrderOfAClass checks that the order has everything that the host says about the class.
func TestOrderOfAClass(t *testing.T) {
	c := class(t, ipc.Class{
		Name: "x", Command: []string{"/bin/x", "-a"}, Args: []string{"b|c+"}, User: 1, Dir: "/srv", Env: []string{"A=1"},
		Limits: ipc.Limits{PIDs: 5}, Confine: ipc.Confine{Files: true, Read: []string{"/srv"}},
	})
	o, bad := Spawn(Outside{Class: c}, etf.List{etf.Binary("ccc"), etf.Binary("b")}, etf.Map{})
	if bad != nil {
		t.Fatal(bad)
	}
	allowed := []ipc.Allowed{{User: "nobody", Groups: []ipc.Group{{}}}, {User: "games", Groups: []ipc.Group{{}}}}
	if reason := o.RunAs(allowed); reason != nil || o.User != 1 {
		t.Errorf("%v, as %d", reason, o.User)
	}
	s := &o.Spec
	if s.Program != "/bin/x" || !slices.Equal(s.Args, []string{"/bin/x", "-a", "ccc", "b"}) || s.Dir != "/srv" || !slices.Equal(s.Env, []string{"A=1"}) {
		t.Errorf("%+v", s)
	}
	if s.Attributes.Limits != c.Limits || !slices.Equal(s.Attributes.Confine.Read, []string{"/srv"}) {
		t.Errorf("%+v", s.Attributes)
	}
	if len(c.Command) != 2 {
		t.Errorf("the class was changed: %q", c.Command)
	}
	for _, args := range []etf.Term{
		etf.Binary("b"), etf.List{etf.Binary("bc")}, etf.List{etf.Binary("b\n")}, etf.List{etf.Binary("b\x00")}, etf.List{int64(1)}, etf.List{etf.Binary("")},
	} {
		if _, bad := Spawn(Outside{Class: c}, args, etf.Map{}); bad == nil || bad.Key != etf.Atom("cmd") {
			t.Errorf("%v: %+v", args, bad)
		}
	}
}

func TestClassOf(t *testing.T) {
	for _, cmd := range []etf.Term{
		etf.List{etf.Binary("class")},
		etf.Binary("class"),
		etf.Tuple{etf.Atom("class"), etf.Binary("x")},
		etf.Tuple{etf.Atom("class"), int64(1), etf.List(nil)},
		etf.Tuple{etf.Atom("klass"), etf.Binary("x"), etf.List(nil)},
	} {
		if _, _, ok := ClassOf(cmd); ok {
			t.Errorf("%v is a class", cmd)
		}
	}
	for _, name := range []etf.Term{etf.Binary("x"), etf.Atom("x"), etf.List{int64('x')}} {
		if got, _, ok := ClassOf(etf.Tuple{etf.Atom("class"), name, etf.List(nil)}); !ok || got != "x" {
			t.Errorf("%v: %q, %v", name, got, ok)
		}
	}
}

// TestCaps checks that a missing limit becomes the host's, a smaller one stays, and a larger one is
// refused.
func TestCaps(t *testing.T) {
	out := Outside{Limits: ipc.Limits{Memory: 1 << 30, PIDs: 10}}
	limits := func(kv ...any) etf.Map {
		var m etf.Map
		for i := 0; i < len(kv); i += 2 {
			m = append(m, etf.Pair{Key: etf.Atom(kv[i].(string)), Value: kv[i+1]})
		}
		return etf.Map{{Key: etf.Atom("limits"), Value: m}}
	}
	for _, test := range []struct {
		opts etf.Map
		want ipc.Limits
		bad  string
	}{
		{etf.Map{}, out.Limits, ""},
		{limits("memory", etf.Atom("infinity")), out.Limits, ""},
		{limits("memory", int64(1<<20), "cpu", int64(500)), ipc.Limits{Memory: 1 << 20, PIDs: 10, CPU: 500}, ""},
		{limits("memory", int64(1<<30), "pids", int64(10)), out.Limits, ""},
		{limits("memory", int64(1<<30+1)), ipc.Limits{}, "memory must be 1073741824 at most on this host"},
		{limits("pids", int64(11)), ipc.Limits{}, "pids must be 10 at most on this host"},
	} {
		o, bad := Run(out, etf.Binary("true"), test.opts)
		switch {
		case test.bad != "" && (bad == nil || bad.Key != etf.Atom("limits") || !strings.Contains(bad.Why, test.bad)):
			t.Errorf("%v: %+v", test.opts, bad)
		case test.bad == "" && (bad != nil || o.Spec.Attributes.Limits != test.want):
			t.Errorf("%v: %+v, %+v", test.opts, o, bad)
		}
	}
}

// TestCapOfKillTimeout checks that the host's bound holds for a stop with any steps.
func TestCapOfKillTimeout(t *testing.T) {
	out := Outside{KillTimeout: 2 * time.Second, MaxKillTimeout: 3 * time.Second}
	opts := func(key string, v etf.Term) etf.Map { return etf.Map{{Key: etf.Atom(key), Value: v}} }
	for _, test := range []struct {
		opts  etf.Map
		last  time.Duration
		waits []time.Duration
	}{
		{etf.Map{}, 2 * time.Second, nil},
		{opts("kill_timeout", int64(3000)), 3 * time.Second, nil},
		{opts("kill_timeout", int64(3001)), 3 * time.Second, nil},
		{opts("kill_timeout", int64(0)), 0, nil},
		{
			opts("stop_sequence", etf.List{etf.Atom("close"), int64(2000), etf.Atom("sigterm"), int64(5000), etf.Atom("sigkill")}),
			0,
			[]time.Duration{0, 2 * time.Second, 0, time.Second, 0},
		},
		{opts("stop_sequence", etf.List{int64(2500), etf.Atom("sigterm")}), 500 * time.Millisecond, []time.Duration{2500 * time.Millisecond, 0}},
	} {
		o, bad := Spawn(out, etf.Binary("true"), test.opts)
		if bad != nil {
			t.Errorf("%v: %+v", test.opts, bad)
			continue
		}
		var waits []time.Duration
		for _, s := range o.Spec.StopSteps {
			waits = append(waits, s.Wait)
		}
		if o.Spec.KillTimeout != test.last || !slices.Equal(waits, test.waits) {
			t.Errorf("%v: %v, then %v", test.opts, waits, o.Spec.KillTimeout)
		}
	}
	steps := []workers.Step{{Wait: time.Hour}, {Signal: unix.SIGTERM}}
	last := time.Second
	if cut(steps, &last, time.Second); steps[0].Wait != time.Hour {
		t.Error("the steps that were given are changed")
	}
}
