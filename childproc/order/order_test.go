package order

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"erluv/ipc"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"

	"github.com/google/go-cmp/cmp"
)

func TestCommand(t *testing.T) {
	for _, tt := range []struct {
		cmd     etf.Term
		program string
		args    []string
	}{
		{list(bin("ls"), etf.String("-l"), bin("")), "ls", []string{"ls", "-l", ""}},
		{bin("echo $x"), "/bin/sh", []string{"/bin/sh", "-c", "echo $x"}},
		{etf.String("a"), "/bin/sh", []string{"/bin/sh", "-c", "a"}},
		{list(int64('a'), int64(0x65E5)), "/bin/sh", []string{"/bin/sh", "-c", "a日"}},
	} {
		o, bad := Spawn(here, tt.cmd, etf.Map{})
		if bad != nil || o.Spec.Program != tt.program || !slices.Equal(o.Spec.Args, tt.args) {
			t.Errorf("%v: %+v, %v", tt.cmd, o, bad)
		}
	}
	const what = "must be [Program | Args] of binaries or strings, or one binary or string for the shell"
	for _, tt := range []bad{
		{atom("ls"), what},
		{list(), what},
		{bin(""), what},
		{list(int64(-1)), what},
		{bin("a\x00"), "holds a NUL byte"},
		{list(bin("ls"), atom("l")), "element 2 is neither a binary nor a string"},
		{list(bin("")), "the program is empty"},
		{list(bin("ls"), bin("\x00")), "element 2 holds a NUL byte"},
	} {
		for _, read := range []func(Outside, etf.Term, etf.Term) (*Order, *BadOption){Spawn, Run} {
			if _, bad := read(here, tt.v, etf.Map{}); bad == nil || bad.Key != atom("cmd") || bad.Why != tt.why {
				t.Errorf("%v: %v, want %q", tt.v, bad, tt.why)
			}
		}
	}
	for _, tt := range []bad{{bin("tmp"), "must be an absolute path"}, {atom("tmp"), "must be a path, as a binary or string"}} {
		if _, bad := WatchOf(here, tt.v, etf.Map{}); bad == nil || bad.Key != atom("path") || bad.Why != tt.why {
			t.Errorf("%v: %v, want %q", tt.v, bad, tt.why)
		}
	}
}

// TestOptionsOf reads a map and property lists.
func TestOptionsOf(t *testing.T) {
	pair := func(k string, v etf.Term) etf.Pair { return etf.Pair{Key: etf.Atom(k), Value: v} }
	for _, tt := range []struct {
		in   etf.Term
		want []etf.Pair
	}{
		{pairs("a", int64(1)), []etf.Pair{pair("a", int64(1))}},
		{list(atom("a"), tuple(atom("b"), int64(1)), tuple(atom("b"), int64(2)), tuple(atom("a"), int64(3))), []etf.Pair{pair("a", atom("true")), pair("b", int64(1))}},
		{list(), nil},
	} {
		if got, bad := Options(tt.in); bad != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%v: %v, %v", tt.in, got, bad)
		}
	}
	for _, request := range everyRequest {
		refused(t, request, atom("none"), "opts", "options must be a map or a property list")
		if _, bad := read(request, numbered(1, atom("x"))); bad == nil || bad.Key != int64(1) || bad.Why != "an option is {Atom, Value}" {
			t.Errorf("%v", bad)
		}
		if _, bad := read(request, list(tuple(atom("link"), atom("true"), atom("x")))); bad == nil {
			t.Error("a triple is an option")
		}
	}
}

// TestDefaults checks that an option with the default of its row changes nothing, for all rows
// whose default is a value.
func TestDefaults(t *testing.T) {
	tested := 0
	for i := range Table {
		row := &Table[i]
		v, ok := valueOf(row.Default)
		if !ok {
			continue
		}
		tested++
		for _, request := range requests(row) {
			if request == ForRun && v == atom("owner") {
				continue // a run cannot have this value
			}
			without := with(row.Name, v)[1:]
			want, bad1 := read(request, without)
			got, bad2 := read(request, with(row.Name, v))
			if bad1 != nil || bad2 != nil {
				t.Errorf("%s => %s: %v, %v", row.Name, row.Default, bad1, bad2)
				continue
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(Order{}, environ{}, variable{}, whom{}, workers.Terminal{})); diff != "" {
				t.Errorf("%s => %s is not the default:\n%s", row.Name, row.Default, diff)
			}
		}
	}
	if tested < 32 {
		t.Errorf("only %d rows of %d have a default that is a value", tested, len(Table))
	}
}

// valueOf reads a default that is a term: an atom, a number, a path, #{}, [], or a tuple of two
// numbers. For a description in words, ok is false.
func valueOf(text string) (etf.Term, bool) {
	base, digits, based := strings.Cut(text, "#")
	var n, m int64
	switch number, err := strconv.ParseInt(text, 10, 64); {
	case err == nil:
		return number, true
	case text == "#{}":
		return etf.Map{}, true
	case text == "[]":
		return etf.List{}, true
	case strings.HasPrefix(text, "/"):
		return bin(text), true
	case based && base == "8":
		number, err := strconv.ParseInt(digits, 8, 64)
		return number, err == nil
	case text == "none" || strings.Contains(text, " ") && !strings.HasPrefix(text, "{"):
		return nil, false
	}
	if _, err := fmt.Sscanf(text, "{%d, %d}", &n, &m); err == nil {
		return tuple(n, m), true
	}
	return etf.Atom(text), true
}

// TestTogether checks options that depend on each other, in any order.
func TestTogether(t *testing.T) {
	yes, notify := atom("true"), pairs("ready", atom("notify"))
	for _, tt := range []struct {
		opts etf.Map
		key  string
		why  string
		run  bool // for run too
	}{
		{pairs("pty", yes, "stdin", atom("null")), "stdin", "cannot be given with pty: all three are the terminal", false},
		{pairs("stdout", atom("null"), "pty", yes), "stdout", "cannot be given with pty", true},
		{pairs("stderr", atom("stdout"), "pty", yes), "stderr", "cannot be given with pty", true},
		{pairs("pty", yes, "setsid", atom("false")), "setsid", "must be true with pty: a terminal is of a session", true},
		{pairs("allow", list(atom("io_uring")), "sandbox", pairs("net", atom("none"))), "allow", "io_uring does what sandbox forbids: give one of the two", true},
		{pairs("kill_signal", atom("sigint"), "stop_sequence", list(atom("close"))), "stop_sequence", "takes the place of kill_signal: give one of them", true},
		{pairs("keep", yes, "stdout", tuple(atom("file"), bin("/x"))), "keep", "cannot be given with a file for stdout: that has the output", false},
		{pairs("stderr", tuple(atom("file"), bin("/x")), "keep", yes), "keep", "cannot be given with a file for stderr", false},
		{pairs("ready_timeout", int64(1)), "ready_timeout", "goes with the option ready", false},
		{pairs("ready_reply", atom("call")), "ready_reply", "goes with the option ready", false},
		{pairs("watchdog", int64(1)), "watchdog", "goes with the option ready", false},
		{pairs("watchdog", int64(1), "ready", tuple(atom("tcp"), int64(1))), "watchdog", "goes with ready => notify", false},
		{
			pairs("ready", tuple(atom("line"), bin("x")), "stdout", atom("null"), "stderr", atom("stdout")),
			"ready", "must be another than {line, RegExp}: neither stdout nor stderr is a pipe", false,
		},
	} {
		for range 2 {
			refused(t, ForSpawn, tt.opts, tt.key, tt.why)
			if tt.run {
				refused(t, ForRun, tt.opts, tt.key, tt.why)
			}
			slices.Reverse(tt.opts)
		}
	}
	o, bad := read(ForSpawn, append(notify, pairs("watchdog", int64(5), "env", pairs("NOTIFY_SOCKET", bin("x"), "WATCHDOG_PID", bin("1"), "A", bin("1")))...))
	if bad != nil || !o.(*Order).Spec.Notify || !slices.Equal(o.(*Order).env.list(), []string{"A=1", "WATCHDOG_USEC=5000"}) {
		t.Errorf("%+v, %v", o, bad)
	}
	o, bad = read(ForSpawn, pairs("ready", tuple(atom("file"), bin("pid")), "cd", bin("/run")))
	if bad != nil || o.(*Order).Ready.File != "/run/pid" {
		t.Errorf("%+v, %v", o, bad)
	}
	o, bad = read(ForRun, pairs("pty", yes))
	if bad != nil || o.(*Order).Input == nil || o.(*Order).Spec.Streams[workers.Stdin].Kind != workers.Pipe {
		t.Errorf("a run on a terminal: %+v, %v", o, bad)
	}
}

func TestCost(t *testing.T) {
	o, bad := Spawn(here, list(bin("ls"), bin("-l")), pairs(
		"env", pairs("A", bin("12")), "proxy", tuple(atom("m"), atom("f"), list(atom("x"))), "ready", tuple(atom("line"), bin("abc")),
	))
	if bad != nil || o.RunAs(nil) != nil {
		t.Fatal(bad)
	}
	args := len(gen.Encode(list(atom("x"))))
	if o.SpecCost() != 4+4 || o.Ready.Cost < patternCost || o.Cost() != 8+args+o.Ready.Cost {
		t.Errorf("%d, %d", o.SpecCost(), o.Cost())
	}
}

func TestRunAs(t *testing.T) {
	login := etf.Pair{Key: atom("login"), Value: atom("true")}
	for _, tt := range []struct {
		opts    etf.Map
		user    int
		refused string
		reason  etf.Term
		env     []string
	}{
		{etf.Map{login}, 0, "", nil, []string{"HOME=/nonexistent", "USER=nobody", "LOGNAME=nobody", "SHELL=/usr/sbin/nologin"}},
		{append(pairs("user", atom("games"), "inherit", list(bin("HOME"))), login), 1, "", nil, []string{"HOME=/root", "USER=games", "LOGNAME=games"}},
		{append(pairs("user", atom("root")), login), 0, "root", nil, nil},
		{pairs("user", atom("games"), "group", atom("nogroup")), 0, "", tuple(atom("group"), atom("not_allowed")), nil},
	} {
		o, bad := Spawn(here, bin("id"), tt.opts)
		if bad != nil {
			t.Fatal(bad)
		}
		reason := o.RunAs(allowedHere)
		got := []any{o.User, o.Spec.Refused, reason, o.Spec.Env}
		if want := []any{tt.user, tt.refused, tt.reason, tt.env}; !reflect.DeepEqual(got, want) {
			t.Errorf("%v: %v, want %v", tt.opts, got, want)
		}
	}
	var none []ipc.Allowed
	if o, _ := Spawn(here, bin("id"), etf.Map{}); o.RunAs(none) != nil || o.User != 0 {
		t.Error("nobody said anything of a user, and one is refused")
	}
}
