package childproc

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"golang.org/x/sys/unix"
)

// asks is call, but skips monitors and their ends.
func (n *node) asks(req etf.Term) etf.Term {
	n.t.Helper()
	tag := n.ask(func(m etf.Term) { n.toName("erluv", m) }, req)
	for {
		m := n.recv()
		if m.Op == dist.MonitorP || m.Op == dist.DemonitorP {
			continue
		}
		v, err := etf.Decode(m.Payload)
		must(n.t, err)
		if tu, ok := v.(etf.Tuple); ok && len(tu) == 2 && bytes.Equal(gen.Encode(tu[0]), tag) {
			return tu[1]
		}
		n.t.Fatalf("instead of an answer: %s", show(m))
	}
}

// runs runs a shell command with options and returns its stdout.
func (n *node) runs(script string, opts ...etf.Pair) string {
	n.t.Helper()
	answer := n.asks(etf.Tuple{etf.Atom("run"), etf.Binary(script), etf.Map(opts)})
	if tu, ok := answer.(etf.Tuple); ok && len(tu) == 2 && tu[0] == etf.Atom("ok") {
		for _, p := range tu[1].(etf.Map) {
			if p.Key == etf.Atom("stdout") {
				return string(p.Value.(etf.Binary))
			}
		}
	}
	n.t.Fatalf("%s: %#v", script, answer)
	return ""
}

// refused returns why an option is bad.
func (n *node) refused(request string, o etf.Pair) string {
	n.t.Helper()
	answer := n.call(etf.Tuple{etf.Atom(request), etf.Binary("/"), etf.Map{o}})
	if tu, ok := answer.(etf.Tuple); ok && len(tu) == 2 && tu[0] == etf.Atom("error") {
		if why, ok := tu[1].(etf.Tuple); ok && len(why) == 3 && why[0] == etf.Atom("bad_option") && why[1] == o.Key {
			return string(why[2].(etf.Binary))
		}
	}
	n.t.Fatalf("%s with %v: %v", request, o, answer)
	return ""
}

// TestBadOptions checks that the errors of package order are answered, and no program is started.
func TestBadOptions(t *testing.T) {
	n := startChild(t, nil)
	for _, request := range []string{"spawn", "run", "watch"} {
		if why := n.refused(request, opt("no", int64(1))); why != "there is no such option" {
			t.Errorf("%s: %s", request, why)
		}
	}
	// The surroundings of a request count too: the connected nodes, names, times.
	other := n.self
	other.Node = "other@host"
	for _, o := range []etf.Pair{opt("owner", other), opt("name", etf.Atom("erluv_main"))} {
		n.refused("spawn", o)
		n.refused("watch", o)
	}
	same(t, n.call(etf.Atom("workers")), etf.List(nil))
}

// limitLine returns a line of /proc/self/limits.
func limitLine(name string, soft, hard any) string { return fmt.Sprintf("%s %v %v", name, soft, hard) }

func TestAttributes(t *testing.T) {
	own, err := os.ReadFile("/proc/self/oom_score_adj")
	must(t, err)
	// Go raises the soft limit of descriptors for itself, but not for programs.
	var files unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &files))
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 777, Max: files.Max}))
	t.Cleanup(func() { must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &files)) })
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			n := startChild(t, mode)
			const limits = "sed 's/  */ /g; s/ [a-z]* *$//' /proc/self/limits"
			plain := n.runs(limits)
			if want := limitLine("Max open files", 777, files.Max); !strings.Contains(plain, want) {
				t.Fatalf("no %q in\n%s", want, plain)
			}
			for what, c := range map[string]struct {
				script, want string
				opts         []etf.Pair
			}{
				"nice":          {"nice", "7\n", []etf.Pair{opt("nice", int64(7))}},
				"umask":         {"umask", "0077\n", []etf.Pair{opt("umask", int64(0o77))}},
				"no umask":      {"umask", "0022\n", nil},
				"one processor": {"grep Cpus_allowed_list /proc/self/status", "Cpus_allowed_list:\t0\n", []etf.Pair{opt("cpus", etf.String{0})}},
				"oom_score_adj": {"cat /proc/self/oom_score_adj", "333\n", []etf.Pair{opt("oom_score_adj", int64(333))}},
				"the same oom":  {"cat /proc/self/oom_score_adj", string(own), []etf.Pair{opt("nice", int64(1))}},
				"the same limits": {
					limits, plain, []etf.Pair{opt("nice", int64(1))},
				},
				"a session": {`ps -o sid= -p $$ | tr -d ' '; echo $$`, "same", nil},
			} {
				got := n.runs(c.script, c.opts...)
				if c.want == "same" {
					if f := strings.Fields(got); len(f) != 2 || f[0] != f[1] {
						t.Errorf("%s: %q", what, got)
					}
				} else if got != c.want {
					t.Errorf("%s: got\n%s\nwant\n%s", what, got, c.want)
				}
			}
		})
	}
}

// TestRlimits sets each limit by its name and checks that the program has it.
func TestRlimits(t *testing.T) {
	n := startChild(t, nil)
	lines := map[string]string{
		"as": "Max address space", "core": "Max core file size", "cpu": "Max cpu time", "data": "Max data size",
		"fsize": "Max file size", "locks": "Max file locks", "memlock": "Max locked memory", "msgqueue": "Max msgqueue size",
		"nice": "Max nice priority", "nofile": "Max open files", "nproc": "Max processes", "rss": "Max resident set",
		"rtprio": "Max realtime priority", "rttime": "Max realtime timeout", "sigpending": "Max pending signals", "stack": "Max stack size",
	}
	_, known, _ := strings.Cut(n.refused("spawn", opt("rlimits", etf.Map{opt("none", int64(1))})), "the limits are ")
	if known != strings.Join(slices.Sorted(maps.Keys(lines)), ", ") {
		t.Errorf("other limits are tested than there are: %s", known)
	}
	for name, line := range lines {
		soft, hard := int64(64<<20), int64(64<<20+4096)
		switch name {
		case "cpu", "locks", "memlock", "msgqueue", "nproc", "rttime", "sigpending":
			soft, hard = 1000, 2000
		case "nofile":
			soft, hard = 100, 200
		case "nice", "rtprio":
			soft, hard = 0, 0
		}
		got := n.runs("tr -s ' ' < /proc/self/limits", opt("rlimits", etf.Map{opt(name, etf.Tuple{soft, hard})}))
		if want := limitLine(line, soft, hard); !strings.Contains(got, want) {
			t.Errorf("%s: no %q in\n%s", name, want, got)
		}
	}
	got := n.runs("tr -s ' ' < /proc/self/limits", opt("rlimits", etf.List{
		etf.Tuple{etf.Atom("core"), int64(0)}, etf.Tuple{etf.Atom("rss"), etf.Atom("infinity")},
	}))
	for _, want := range []string{limitLine("Max core file size", 0, 0), limitLine("Max resident set", "unlimited", "unlimited")} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// TestRlimitsBelowOurs checks that a limit below erluv's own needs still allows a start.
func TestRlimitsBelowOurs(t *testing.T) {
	n := startChild(t, nil)
	for name, limit := range map[string]int64{"as": 8 << 20, "data": 2 << 20, "stack": 256 << 10, "nofile": 4, "nproc": 1, "fsize": 0, "cpu": 1} {
		got := n.runs("echo good", opt("rlimits", etf.Map{opt(name, limit)}), opt("nice", int64(1)))
		if got != "good\n" {
			t.Errorf("%s of %d: %q", name, limit, got)
		}
	}
}

func TestAttributesThatCannotBeHad(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			n := startChild(t, mode)
			many := make(etf.Binary, 200_000)
			for i := range many {
				many[i] = 'x'
			}
			for _, c := range []struct {
				cmd  etf.Term
				opt  etf.Pair
				want etf.Term
			}{
				{etf.List{etf.Binary("true")}, opt("cpus", etf.List{int64(0), int64(1023)}), atoms("cpus", "einval")},
				// More than fs.nr_open, which is not allowed.
				{etf.List{etf.Binary("true")}, opt("rlimits", etf.Map{opt("nofile", int64(1)<<40)}), atoms("rlimits", "eperm")},
				{etf.List{etf.Binary("/no/such")}, opt("nice", int64(1)), etf.Atom("enoent")},
				{etf.List{etf.Binary("/etc/passwd")}, opt("nice", int64(1)), etf.Atom("eacces")},
				{etf.List{etf.Binary("true"), many}, opt("nice", int64(1)), etf.Atom("e2big")},
			} {
				answer := n.call(etf.Tuple{etf.Atom("spawn"), c.cmd, etf.Map{c.opt}})
				same(t, answer, gen.Error(c.want))
			}
			// A long list of arguments goes the same way as a short one.
			got := n.runs("printf %s "+strings.Repeat("y", 100_000)+" | wc -c", opt("nice", int64(1)))
			if got != "100000\n" {
				t.Errorf("a long command: %q", got)
			}
		})
	}
}

// TestNoSession checks that a program without its own session still has its own process group. It
// can be stopped as by a terminal, and its children end with it.
func TestNoSession(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"sh", "-c", "ps -o pgid= -o sid= -p $$ | tr -s ' ' | sed 's/^ //'; sleep 1000 & wait"}, opt("setsid", etf.Atom("false")))
	out := n.message(n.self).(etf.Tuple)[1].(etf.Tuple)[1].(etf.Binary)
	var group, session int64
	_, err := fmt.Sscan(string(out), &group, &session)
	must(t, err)
	ours, err := unix.Getsid(0) // 0 if its leader is outside our pid namespace
	must(t, err)
	if group == session || session != int64(ours) {
		t.Errorf("group %d, session %d; ours is %d", group, session, ours)
	}
	same(t, n.workerCall(w, atoms("signal", "group", "sigkill")), etf.Atom("ok"))
	for {
		if m, ok := n.message(n.self).(etf.Tuple); ok && len(m) == 2 {
			if e, ok := m[1].(etf.Tuple); ok && e[0] == etf.Atom("signal") {
				return
			}
		}
	}
}
