package order

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// given is a value of an option, and the result in an order.
type given struct {
	v    etf.Term
	want any
}

// bad is a value of an option, and the beginning of its error.
type bad struct {
	v   etf.Term
	why string
}

const whenMillis = "must be a number of milliseconds up to 4294967295"

var (
	elsewhere = etf.Pid{Node: "b@host", ID: 1}
	friend    = etf.Pid{Node: "a@host", ID: 2}

	yesOrNo   = []bad{{int64(1), "must be true or false"}, {atom("yes"), "must be true or false"}}
	noTimeout = []bad{
		{int64(0), "must be infinity or a number of milliseconds from 1 to 4294967295"},
		{int64(1 << 32), "must be infinity"},
		{1.5, "must be infinity"},
		{atom("never"), "must be infinity"},
	}
	anAccount = []bad{{int64(-1), "must be a name, as a binary, string or atom, or a number"}, {bin(""), "must be a name"}, {etf.Map{}, "must be a name"}}
)

func spec(of func(*workers.Spec) any) func(any) any {
	return func(o any) any { return of(&o.(*Order).Spec) }
}

func order(of func(*Order) any) func(any) any {
	return func(o any) any {
		if p, ok := o.(*Put); ok {
			return of(&p.Order)
		}
		return of(o.(*Order))
	}
}

func process(of func(*Process) any) func(any) any {
	return func(o any) any {
		if w, ok := o.(*Watch); ok {
			return of(&w.Process)
		}
		return of(&o.(*Order).Process)
	}
}

func file(path string) workers.StreamSpec {
	return workers.StreamSpec{Kind: workers.File, Path: path, Mode: 0o666}
}

// tested has for each row where its value is stored, values that are accepted, and values that are
// refused. TestTogether tests options that depend on others. Long lists of values have their own
// tests.
var tested = map[string]struct {
	of   func(any) any
	good []given
	bad  []bad
}{
	"owner": {
		process(func(p *Process) any { return p.Owner }),
		[]given{{friend, friend}, {atom("none"), etf.Pid{}}},
		[]bad{{atom("self"), "must be a pid or none"}, {elsewhere, "is elsewhere"}},
	},
	"link":     {process(func(p *Process) any { return p.Link }), []given{{atom("true"), true}, {atom("false"), false}}, yesOrNo},
	"detached": {process(func(p *Process) any { return p.Detached }), []given{{atom("true"), true}, {atom("false"), false}}, yesOrNo},
	"tree": {
		spec(func(s *workers.Spec) any { return s.Tree }),
		[]given{{atom("kill"), workers.TreeKill}, {atom("wait"), workers.TreeWait}, {atom("leave"), workers.TreeLeave}},
		[]bad{{atom("keep"), "must be kill, wait or leave"}, {etf.List{}, "must be kill"}},
	},
	"env": {
		order(func(o *Order) any { return o.env.list() }),
		[]given{
			{pairs("A", bin("1"), "B", atom("false")), []string{"A=1"}},
			{list(tuple(bin("A"), etf.String("1")), tuple(etf.String("A"), bin("2"))), []string{"A=2"}},
		},
		[]bad{
			{atom("clear"), "must be a map or list of names and values, binaries or strings, or false for a value"},
			{pairs("A", atom("true")), "must be a map or list of names"},
			{pairs("A", bin("\x00")), "a name must not be empty or contain '=', and a name or value must not contain a NUL byte"},
			{pairs("A=", bin("1")), "a name must not be empty"},
			{pairs("", bin("1")), "a name must not be empty"},
		},
	},
	"path": {
		spec(func(s *workers.Spec) any { return s.Path }),
		[]given{{bin("/bin:lib:"), "/bin:lib:"}},
		[]bad{{bin(""), "must be directories separated by colons, as a binary or string"}, {atom("bin"), "must be directories"}, {bin("/a\x00"), "must be directories"}},
	},
	"inherit": {
		order(func(o *Order) any { return o.env.list() }),
		[]given{{list(bin("LANG"), atom("HOME"), etf.String("NONE")), []string{"LANG=C", "HOME=/root"}}},
		[]bad{
			{atom("LANG"), "must be a list of names"},
			{list(int64(1)), "must be a list of names"},
			{list(bin("A=B")), "a name must not be empty, or contain '=' or a NUL byte"},
			{list(bin("")), "a name must not be empty"},
		},
	},
	"login": {order(func(o *Order) any { return o.login }), []given{{atom("true"), true}, {atom("false"), false}}, yesOrNo},
	"user":  {order(func(o *Order) any { return o.whom.user }), []given{{atom("games"), "games"}, {int64(5), "5"}}, anAccount},
	"group": {order(func(o *Order) any { return o.whom.group }), []given{{bin("games"), "games"}, {int64(60), "60"}}, anAccount},
	"groups": {
		order(func(o *Order) any { return o.whom }),
		[]given{{list(atom("audio"), int64(300)), whom{groups: []string{"audio", "300"}, listed: true}}, {etf.String{29}, whom{groups: []string{"29"}, listed: true}}, {list(), whom{listed: true}}},
		[]bad{{atom("audio"), "must be a list of names, as binaries, strings or atoms, or numbers"}, {list(int64(-1)), "must be a list of names"}, {etf.String(make([]byte, maxGroups+1)), "must be a list of names"}},
	},
	"cd": {
		spec(func(s *workers.Spec) any { return s.Dir }),
		[]given{{bin("/tmp"), "/tmp"}, {etf.String("/caf\xe9"), "/café"}},
		[]bad{{bin("tmp"), "must be an absolute path"}, {bin(""), "must be a path, as a binary or string"}, {atom("tmp"), "must be a path"}, {bin("/a\x00"), "must be a path"}},
	},
	"stdin": {
		spec(func(s *workers.Spec) any { return s.Streams[workers.Stdin] }),
		[]given{
			{atom("pipe"), workers.StreamSpec{}},
			{atom("null"), workers.StreamSpec{Kind: workers.Null}},
			{tuple(atom("file"), bin("in")), workers.StreamSpec{Kind: workers.File, Path: "in"}},
		},
		[]bad{{atom("owner"), "must be pipe, null or {file, Path}"}, {tuple(atom("file"), bin("")), "must be a path"}, {tuple(atom("file"), bin("a"), list()), "must be pipe"}},
	},
	"pty": {
		spec(func(s *workers.Spec) any {
			if s.Terminal == nil {
				return nil
			}
			return [3]any{s.Terminal.Rows, s.Terminal.Cols, s.Terminal.Reopen}
		}),
		[]given{
			{atom("false"), nil},
			{atom("true"), [3]any{uint16(24), uint16(80), false}},
			{pairs("rows", int64(1), "cols", int64(65535), "echo", atom("false"), "reopen", atom("true")), [3]any{uint16(1), uint16(65535), true}},
			{list(tuple(atom("rows"), int64(50)), atom("echo")), [3]any{uint16(50), uint16(80), false}},
		},
		[]bad{
			{int64(1), "must be true, false or a map of rows, cols, reopen and terminal modes"},
			{list(int64(1)), "must be true, false or a map"},
			{pairs("rows", int64(0)), "rows must be 1 to 65535"},
			{pairs("cols", int64(65536)), "cols must be 1 to 65535"},
			{pairs("cols", atom("true")), "cols must be 1 to 65535"},
			{pairs("reopen", int64(1)), "reopen must be true or false"},
			{pairs("vfoo", int64(1)), "vfoo is not a terminal mode of RFC 4254"},
			{pairs("echo", int64(2)), "echo must be true, false, 1 or 0"},
			{pairs("vintr", atom("true")), "vintr must be a character's number"},
		},
	},
	"packet": {
		order(func(o *Order) any { return o.Packet }),
		[]given{
			{atom("raw"), Packet{}},
			{atom("line"), Packet{Line: true, Max: 65536}},
			{tuple(atom("line"), int64(1)), Packet{Line: true, Max: 1}},
			{tuple(atom("line"), int64(MaxLine)), Packet{Line: true, Max: MaxLine}},
			{atom("lines"), Packet{Line: true, List: true, Max: 65536}},
			{tuple(atom("lines"), int64(7)), Packet{Line: true, List: true, Max: 7}},
			{int64(1), Packet{Header: 1}},
			{int64(2), Packet{Header: 2}},
			{int64(4), Packet{Header: 4}},
		},
		[]bad{
			{int64(3), "must be raw, line, lines, {line | lines, MaxBytes up to 1048576}, 1, 2 or 4"},
			{tuple(atom("line"), int64(0)), "must be raw"},
			{tuple(atom("line"), int64(MaxLine+1)), "must be raw"},
			{atom("liness"), "must be raw"},
			{tuple(atom("lines"), int64(MaxLine+1)), "must be raw"},
		},
	},
	"keep": {
		order(func(o *Order) any { return o.Keep }),
		[]given{{atom("true"), KeepDefault}, {atom("false"), 0}, {int64(4096), 4096}, {int64(1 << 20), 1 << 20}},
		[]bad{
			{int64(4095), "must be true, false or a number of bytes from 4096 to 1048576"},
			{int64(1<<20 + 1), "must be true"},
			{atom("all"), "must be true"},
		},
	},
	"flow": {
		order(func(o *Order) any { return o.Active }),
		[]given{
			{atom("auto"), Active{Mode: Auto}},
			{tuple(atom("active"), atom("true")), Active{Mode: True}},
			{tuple(atom("active"), atom("false")), Active{}},
			{tuple(atom("active"), atom("once")), Active{Mode: Once}},
			{tuple(atom("active"), int64(32767)), Active{Mode: Counted, Count: 32767}},
		},
		[]bad{
			{atom("true"), "must be auto or {active, true | once | false | N}, N up to 32767"},
			{tuple(atom("active"), int64(-1)), "must be auto"},
			{tuple(atom("active"), int64(0)), "must be auto"},
			{tuple(atom("active"), int64(32768)), "must be auto"},
		},
	},
	"nice": {
		spec(func(s *workers.Spec) any { return [2]any{s.Attributes.SetNice, s.Attributes.Nice} }),
		[]given{{int64(-20), [2]any{true, int8(-20)}}, {int64(0), [2]any{true, int8(0)}}, {int64(19), [2]any{true, int8(19)}}},
		[]bad{{int64(-21), "must be a number from -20 to 19"}, {int64(20), "must be a number"}, {atom("low"), "must be a number"}},
	},
	"umask": {
		spec(func(s *workers.Spec) any { return s.Attributes.Umask }),
		[]given{{int64(0), uint32(0)}, {int64(0o777), uint32(0o777)}},
		[]bad{{int64(-1), "must be a number up to 8#777"}, {int64(0o1000), "must be a number"}, {bin("077"), "must be a number"}},
	},
	"rlimits": {
		spec(func(s *workers.Spec) any { return s.Attributes.Rlimits }),
		[]given{
			{pairs("core", int64(0)), []ipc.Rlimit{{Resource: unix.RLIMIT_CORE}}},
			{
				list(tuple(atom("nofile"), tuple(int64(1), int64(2))), tuple(atom("as"), atom("infinity"))),
				[]ipc.Rlimit{{Resource: unix.RLIMIT_NOFILE, Soft: 1, Hard: 2}, {Resource: unix.RLIMIT_AS, Soft: 1<<64 - 1, Hard: 1<<64 - 1}},
			},
		},
		[]bad{
			{int64(1), "must be a map or list of names and limits"},
			{pairs("files", int64(1)), `has the unknown limit "files"; the limits are as, core, `},
			{pairs("nofile", int64(-1)), "nofile must be a number, infinity, or {Soft, Hard} of these, Soft not above Hard"},
			{pairs("nofile", tuple(atom("infinity"), int64(1))), "nofile must be"},
			{pairs("nofile", tuple(int64(1))), "nofile must be"},
		},
	},
	"cpus": {
		spec(func(s *workers.Spec) any { return s.Attributes.CPUs }),
		[]given{{list(int64(1023), int64(0), int64(1023)), []uint16{1023, 0}}, {etf.String{2, 3}, []uint16{2, 3}}},
		[]bad{
			{list(), "must be a list of processors, numbers from 0 to 1023"},
			{list(int64(1024)), "must be a list"},
			{list(int64(-1)), "must be a list"},
			{int64(1), "must be a list"},
		},
	},
	"oom_score_adj": {
		spec(func(s *workers.Spec) any { return [2]any{s.Attributes.SetOOM, s.Attributes.OOMScoreAdj} }),
		[]given{{int64(-1000), [2]any{true, int16(-1000)}}, {int64(0), [2]any{true, int16(0)}}, {int64(1000), [2]any{true, int16(1000)}}},
		[]bad{{int64(-1001), "must be a number from -1000 to 1000"}, {int64(1001), "must be a number"}, {atom("max"), "must be a number"}},
	},
	"limits": {
		spec(func(s *workers.Spec) any { return s.Attributes.Limits }),
		[]given{{pairs("pids", int64(3)), ipc.Limits{PIDs: 3}}},
		[]bad{{pairs("pids", int64(0)), "pids must be a number of processes and threads from 1 to 4194304, or infinity"}, {atom("none"), "must be a map or list of memory, pids and cpu"}},
	},
	"sandbox": {
		spec(func(s *workers.Spec) any { return s.Attributes.Confine }),
		[]given{{pairs("read", list(bin("/etc"))), ipc.Confine{Files: true, Read: []string{"/etc"}}}},
		[]bad{{pairs("read", list(bin("etc"))), "read must hold absolute paths, as binaries or strings"}, {atom("none"), "must be a map or list of read, write, exec, net and connect"}},
	},
	"allow": {
		spec(func(s *workers.Spec) any { return s.Attributes.Confine.Allow }),
		[]given{{list(atom("io_uring")), ipc.AllowIOUring}},
		[]bad{{list(atom("x")), "must be a list of attributes, bpf, "}, {atom("userns"), "must be a list of"}},
	},
	"no_new_privs": {
		spec(func(s *workers.Spec) any { return s.Attributes }),
		[]given{{atom("true"), ipc.Attributes{Umask: 0o022}}},
		append([]bad{{atom("false"), "must be true: erluv_spawner has given up new privileges for good, and its programs inherit that"}}, yesOrNo...),
	},
	"setsid": {spec(func(s *workers.Spec) any { return !s.Attributes.NoSession }), []given{{atom("true"), true}, {atom("false"), false}}, yesOrNo},
	"kill_signal": {
		spec(func(s *workers.Spec) any { return s.KillSignal }),
		[]given{{atom("sigint"), unix.SIGINT}, {int64(64), unix.Signal(64)}, {int64(1), unix.SIGHUP}},
		[]bad{{atom("int"), "must be a signal, such as sigterm, or its number"}, {atom("SIGINT"), "must be a signal"}, {int64(0), "must be a signal"}, {int64(65), "must be a signal"}},
	},
	"kill_timeout": {
		spec(func(s *workers.Spec) any { return s.KillTimeout }),
		[]given{{int64(0), time.Duration(0)}, {int64(1<<32 - 1), (1<<32 - 1) * time.Millisecond}},
		[]bad{{int64(-1), whenMillis}, {int64(1 << 32), whenMillis}, {atom("infinity"), whenMillis}},
	},
	"stop_sequence": {
		spec(func(s *workers.Spec) any { return s.StopSteps }),
		[]given{{list(atom("close"), int64(300)), []workers.Step{{Close: true}, {Wait: 300 * time.Millisecond}}}},
		[]bad{
			{list(), "must be a list of 1 to 32 steps: close, a signal such as sigterm, {signal, Signal}, or milliseconds"},
			{list(atom("close"), atom("term")), "step 2 must be close, a signal such as sigterm, {signal, Signal}, or milliseconds"},
			{list(int64(-1)), "step 1 must be milliseconds from 0 to 4294967295"},
			{list(atom("sigkill"), int64(300)), "step 1 ends everything: sigkill must be the last one"},
			{list(int64(maxMillis), int64(1)), "must wait 4294967295 milliseconds at most in all"},
		},
	},
	"timeout":      {spec(func(s *workers.Spec) any { return s.Timeout }), []given{{atom("infinity"), time.Duration(0)}, {int64(1), time.Millisecond}}, noTimeout},
	"idle_timeout": {spec(func(s *workers.Spec) any { return s.IdleTimeout }), []given{{atom("infinity"), time.Duration(0)}, {int64(maxMillis), maxMillis * time.Millisecond}}, noTimeout},
	"ready": {
		order(func(o *Order) any { return [3]any{o.Ready.By, o.Ready.Port, o.Ready.File} }),
		[]given{
			{atom("notify"), [3]any{ByNotify, uint16(0), ""}},
			{tuple(atom("tcp"), int64(65535)), [3]any{ByTCP, uint16(65535), ""}},
			{tuple(atom("line"), bin("up")), [3]any{ByLine, uint16(0), ""}},
			{tuple(atom("file"), bin("pid")), [3]any{ByFile, uint16(0), "//pid"}},
		},
		[]bad{
			{atom("tcp"), "must be {tcp, Port}, {line, RegExp}, {file, Path} or notify"},
			{tuple(atom("udp"), int64(1)), "must be {tcp, Port}"},
			{tuple(atom("tcp"), int64(0)), "must have a port from 1 to 65535"},
			{tuple(atom("tcp"), int64(65536)), "must have a port"},
			{tuple(atom("line"), bin("(")), "must have a valid regular expression: error parsing regexp: missing closing )"},
			{tuple(atom("line"), etf.Binary(make([]byte, maxRegExp+1))), "must have a regular expression of at most 4096 bytes, as a binary or string"},
			{tuple(atom("file"), bin("")), "must be a path"},
		},
	},
	"ready_timeout": {order(func(o *Order) any { return o.Ready.Timeout }), []given{{atom("infinity"), time.Duration(0)}, {int64(5), 5 * time.Millisecond}}, noTimeout},
	"ready_reply": {
		order(func(o *Order) any { return o.Ready.Message }),
		[]given{{atom("call"), false}, {atom("message"), true}},
		[]bad{{atom("true"), "must be call or message"}},
	},
	"watchdog": {order(func(o *Order) any { return o.Ready.Watchdog }), []given{{atom("infinity"), time.Duration(0)}, {int64(5), 5 * time.Millisecond}}, noTimeout},
	"restart": {
		order(func(o *Order) any { return o.Restart.When }),
		[]given{{atom("temporary"), Temporary}, {atom("transient"), Transient}, {atom("permanent"), Permanent}},
		[]bad{{atom("always"), "must be temporary, transient or permanent"}},
	},
	"max_restarts": {
		order(func(o *Order) any { return [2]any{o.Restart.Most, o.Restart.Window} }),
		[]given{{tuple(int64(0), int64(0)), [2]any{0, time.Duration(0)}}, {tuple(int64(1000), int64(7)), [2]any{1000, 7 * time.Millisecond}}},
		[]bad{{int64(5), "must be {N, Milliseconds}, N up to 1000"}, {tuple(int64(1001), int64(7)), "must be {N"}, {tuple(int64(-1), int64(7)), "must be {N"}, {tuple(int64(1), int64(-1)), "must be {N"}},
	},
	"backoff": {
		order(func(o *Order) any { return [2]any{o.Restart.From, o.Restart.To} }),
		[]given{{tuple(int64(0), int64(0)), [2]any{time.Duration(0), time.Duration(0)}}, {tuple(int64(1), int64(2)), [2]any{time.Millisecond, 2 * time.Millisecond}}},
		[]bad{{tuple(int64(2), int64(1)), "must be {From, To} in milliseconds, From not above To"}, {tuple(int64(-1), int64(1)), "must be {From"}, {int64(1), "must be {From"}},
	},
	"name": {
		process(func(p *Process) any { return p.Name }),
		[]given{{atom("shell"), etf.Atom("shell")}},
		[]bad{
			{atom("undefined"), "must be an atom that is not undefined, erluv, erluv_main or net_kernel"},
			{atom("erluv"), "must be an atom"},
			{atom("net_kernel"), "must be an atom"},
			{bin("shell"), "must be an atom"},
		},
	},
	"id": {
		order(func(o *Order) any { return o.ID }),
		[]given{{bin("nightly"), "nightly"}, {atom("nightly"), "nightly"}, {etf.String{0xe9}, "\u00e9"}, {bin(strings.Repeat("x", 255)), strings.Repeat("x", 255)}},
		[]bad{
			{bin(""), "must be text of 1 to 255 bytes, or an atom that is not undefined"},
			{bin(strings.Repeat("x", 256)), "must be text"},
			{bin("\xff"), "must be text"},
			{atom("undefined"), "must be text"},
			{int64(1), "must be text"},
		},
	},
	"proxy": {
		order(func(o *Order) any { return o.Proxy }),
		[]given{
			{tuple(atom("m"), atom("f"), list(atom("x"))), &Proxy{"m", "f", gen.Encode(list(atom("x")))}},
			{tuple(atom("m"), atom("f"), etf.String{1}), &Proxy{"m", "f", gen.Encode(list(int64(1)))}},
		},
		[]bad{{tuple(atom("m"), atom("f")), "must be {Module, Function, Args}"}, {tuple(atom("m"), bin("f"), list()), "must be {Module"}, {tuple(atom("m"), atom("f"), atom("x")), "must be {Module"}},
	},
	"input": {
		order(func(o *Order) any { return [2]any{string(o.Input), o.Spec.Streams[workers.Stdin].Kind} }),
		[]given{{list(bin("a"), list(int64('b'))), [2]any{"ab", workers.Pipe}}, {bin(""), [2]any{"", workers.Pipe}}},
		[]bad{{atom("a"), "must be iodata"}, {list(int64(256)), "must be iodata"}},
	},
	"max_output": {
		order(func(o *Order) any { return o.MaxOutput }),
		[]given{{int64(0), 0}, {int64(MaxOutput), MaxOutput}},
		[]bad{{int64(-1), "must be a number of bytes up to 33554432"}, {int64(MaxOutput + 1), "must be a number"}, {atom("infinity"), "must be a number"}},
	},
	"recursive": {func(w any) any { return w.(*Watch).Recursive }, []given{{atom("true"), true}, {atom("false"), false}}, yesOrNo},
	"events": {
		func(w any) any { return w.(*Watch).Events },
		[]given{{list(atom("deleted"), atom("created")), []etf.Atom{"deleted", "created"}}},
		[]bad{
			{list(), "must be a list of created, modified, closed, attrib, renamed and deleted"},
			{atom("created"), "must be a list"},
			{list(atom("created"), atom("opened")), "must be a list"},
			{list(bin("created")), "must be a list"},
		},
	},
	"mode": {
		func(p any) any { return p.(*Put).Upload.Mode },
		[]given{{int64(0), uint32(0)}, {int64(0o777), uint32(0o777)}},
		[]bad{{int64(-1), "must be a number up to 8#777"}, {int64(0o4755), "must be a number"}, {bin("644"), "must be a number"}},
	},
	"mkdir": {func(p any) any { return p.(*Put).Upload.Mkdir }, []given{{atom("true"), true}, {atom("false"), false}}, yesOrNo},
	"size": {
		func(p any) any { return p.(*Put).Upload.Size },
		[]given{{int64(0), int64(0)}, {int64(maxPut), int64(maxPut)}},
		[]bad{{int64(-1), "must be a number of bytes up to 1152921504606846976"}, {int64(maxPut + 1), "must be a number"}, {atom("infinity"), "must be a number"}},
	},
}

// TestRows checks that each row accepts and stores the right values, for all of its requests. For
// wrong values, the error says which would be right.
func TestRows(t *testing.T) {
	for i := range Table {
		row := &Table[i]
		tt, ok := tested[row.Name]
		if row.Name == "stdout" || row.Name == "stderr" || row.Name == "fds" {
			continue // they differ for spawn and run: TestOutputs, TestFDs
		}
		if !ok || len(tt.good) == 0 || len(tt.bad) == 0 {
			t.Errorf("%s is not tested", row.Name)
			continue
		}
		for _, request := range requests(row) {
			for _, g := range tt.good {
				opts := with(row.Name, g.v)
				got, bad := read(request, opts)
				if bad != nil {
					t.Errorf("%s => %v: %v", row.Name, g.v, bad.Why)
				} else if diff := cmp.Diff(g.want, tt.of(got), cmp.AllowUnexported(whom{})); diff != "" {
					t.Errorf("%s => %v:\n%s", row.Name, g.v, diff)
				}
			}
			for _, b := range tt.bad {
				refused(t, request, with(row.Name, b.v), row.Name, b.why)
			}
		}
	}
}

// with returns an option with the options that it requires.
func with(name string, v etf.Term) etf.Map {
	opts := pairs(name, v)
	switch name {
	case "ready_timeout", "ready_reply", "watchdog":
		opts = append(opts, pairs("ready", atom("notify"))...)
	}
	return opts
}

// refused checks that a request is refused because of an option, and the reason.
func refused(t *testing.T, request Request, opts etf.Term, key, why string) {
	t.Helper()
	got, bad := read(request, opts)
	if bad == nil {
		t.Errorf("%v is taken: %+v", opts, got)
		return
	}
	if bad.Key != etf.Atom(key) || !strings.HasPrefix(bad.Why, why) {
		t.Errorf("%v: %v %q, want %s %q", opts, bad.Key, bad.Why, key, why)
	}
	if want := tuple(atom("bad_option"), bad.Key, bin(bad.Why)); !reflect.DeepEqual(bad.Term(), etf.Term(want)) {
		t.Errorf("the term is %v", bad.Term())
	}
}

// TestOthers checks that an option of another request, or an unknown one, is refused.
func TestOthers(t *testing.T) {
	const notRun = "is not for run, which answers once, when its program has ended"
	for i := range Table {
		row := &Table[i]
		for _, request := range everyRequest {
			why := "there is no such option"
			switch {
			case row.For&request != 0:
				continue
			case row.Name == "stdin" && request == ForRun:
				why = "is not for run: give it input"
			case row.For&ForSpawn != 0 && request == ForRun:
				why = notRun
			case row.For == ForRun && request == ForSpawn:
				why = "is for run only"
			}
			refused(t, request, pairs(row.Name, tested[row.Name].good), row.Name, why)
		}
	}
	for _, request := range everyRequest {
		refused(t, request, pairs("color", atom("red")), "color", "there is no such option")
	}
}
