package stat

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"erluv/label"
	"erluv/wire/etf"

	"github.com/google/go-cmp/cmp"
)

// snapshot has everything that can be shown.
type snapshot struct {
	Node     Node
	Programs []Program
	Watchers []Watcher
}

// filled is a snapshot with a value in each field.
func filled() *snapshot {
	cpu, rss, waiting := 1500*time.Millisecond, int64(4096), int64(7)
	owner := Process{Node: "a@h", ID: 5, Serial: 6, Creation: 7}
	return &snapshot{
		Node: Node{
			Name: "erluv_1@h", Target: "a@h", Version: "0.1", Status: "running", User: "nobody", UID: 65534, GID: 65534,
			MainPID: 1, ChildPID: 2, SpawnerPID: 3, Cookie: "a file", Controller: "erluv", Contained: "pidns", Reach: "cgroup",
			Groups: "owner", Uptime: 2 * time.Second, Workers: 2, MaxWorkers: 10, RefusedFrames: 1,
			Connections: []Connection{
				{Node: "a@h", Connected: true, Accepted: true, Transport: "tcp", Since: time.UnixMilli(7), Links: 1, Monitors: 2, Workers: 3, Sent: 4, Received: 5},
				{Node: "b@h", Why: "refused"},
			},
			AllowUsers: []User{{Name: "www", UID: 33, Group: "www", GID: 33, Groups: []string{"adm"}}, {Name: "x", Group: "x", SpawnerPID: 9}},
			Sandbox:    Sandbox{Mode: "auto", Seccomp: true}, Limits: []Limit{{"memory", true}, {"pids", false}},
			Host: Host{
				Meta:    label.Labels{{Name: "core", Keys: []label.Key{{Name: "group", Value: "g1", HasValue: true}, {Name: "master"}}}},
				Classes: []string{"backup"}, Caps: Caps{KillTimeout: time.Second, PIDs: 5}, Load: &Load{0.5, 1, 1.25, 2},
				Memory: &Memory{1 << 30, 1 << 20, 0}, Disks: []Disk{{"/", 100, 50, false}, {"/nfs", 0, 0, true}},
			},
		},
		Programs: []Program{
			{
				Worker: Process{Node: "erluv_1@h", ID: 1, Serial: 2, Creation: 3}, ID: "nightly", Class: "backup", Caller: owner, PID: 44, Command: []string{"/bin/a\"b\\", "x y\x1b[2J\n\xff"},
				User: "nobody", State: "running", Started: time.UnixMilli(1234), Restarts: 3,
				Detail: &Detail{
					Ready: &Ready{true, "fine"}, Name: "web", Owner: owner, Restart: "transient", Packet: Packet{Max: 100}, Active: Active{Count: 5},
					CPU: &cpu, RSS: &rss, Counted: Counted{Memory: 10, MemoryPeak: 20, OOMKills: -1, Processes: 1, CPU: -1},
					Stdin:  Stream{Open: true, Bytes: 1, Waiting: &waiting},
					Stdout: Stream{No: 1, Open: true, Bytes: 30, Output: true, Held: &Held{owner, 100, 2, time.Second, 0}},
					Stderr: Stream{No: 2, Bytes: 12, Output: true}, Further: []Stream{{No: 3, Open: true, Output: true}},
				},
			},
			{Worker: Process{Node: "erluv_1@h", ID: 2}, State: "starting"},
		},
		Watchers: []Watcher{
			{State: "watching", Started: time.UnixMilli(5), Path: "/tmp", Recursive: true, All: true, Owner: owner, Watched: 3},
			{State: "starting", Path: "/x"},
		},
	}
}

func figures() *Figures {
	cpu, rss := time.Second, int64(4096)
	s := filled()
	return &Figures{
		Uptime: time.Second, Status: "ready", Nodes: 1, Programs: 2, MaxWorkers: 10, States: []Count{{"running", 2}}, Newest: 7,
		Started: 3, Ended: []Count{{"normal", 1}}, Output: 100, Paused: time.Minute, Crashes: 1,
		Roles: []Role{{"main", 1, &cpu, &rss}, {"child", 2, nil, nil}}, Load: s.Node.Host.Load, Memory: s.Node.Host.Memory,
		New:      []New{{s.Programs[1], "", "temporary"}, {s.Programs[1], "web", "permanent"}},
		Measured: []Measured{{Worker: s.Programs[0].Worker, PID: 44, State: "running", CPU: &cpu, RSS: &rss, Output: 5, Held: true}},
	}
}

var upload = &Upload{PID: 7, User: "nobody", State: "open", Started: time.UnixMilli(5), Path: "/x", Bytes: 3, Size: 9, All: true, Owner: Process{Node: "a@h", ID: 5}}

// all returns the items of a snapshot, of each kind.
func all(s *snapshot) map[string][]Item {
	return map[string][]Item{
		"connection": s.Node.Connections[0].items(), "connection to come": s.Node.Connections[1].items(),
		"node": s.Node.Items(), "program": s.Programs[0].Items(), "brief": s.Programs[1].Items(),
		"figures": figures().Items(), "class": Class{Name: "backup", Command: []string{"/bin/x"}, User: "nobody", Max: 2}.Items(), "watcher": s.Watchers[0].Items(), "watcher in brief": s.Watchers[1].Items(),
		"upload":          upload.Items(),
		"upload in brief": (&Upload{State: "opening", Path: "memory", Size: -1}).Items(),
	}
}

func TestTerms(t *testing.T) {
	s := filled()
	got := Terms(s.Programs[0].Items())
	atom := func(a string) etf.Term { return etf.Atom(a) }
	pid := etf.Pid{Node: "a@h", ID: 5, Serial: 6, Creation: 7}
	m := func(kv ...any) (m etf.Map) {
		for i := 0; i < len(kv); i += 2 {
			m = append(m, etf.Pair{Key: etf.Atom(kv[i].(string)), Value: kv[i+1]})
		}
		return m
	}
	want := m(
		"os_pid", int64(44), "cmd", etf.List{etf.Binary("/bin/a\"b\\"), etf.Binary("x y\x1b[2J\n\xff")}, "user", etf.Binary("nobody"),
		"state", atom("running"), "started", int64(1234), "restarts", int64(3),
		"id", etf.Binary("nightly"), "class", etf.Binary("backup"), "caller", pid, "ready", atom("true"), "status", etf.Binary("fine"),
		"name", atom("web"), "owner", pid, "detached", atom("false"), "lost", atom("false"), "restart", atom("transient"), "packet", etf.Tuple{atom("line"), int64(100)}, "active", int64(5),
		"cpu", int64(1500), "rss", int64(4096), "cgroup", m("memory", int64(10), "memory_peak", int64(20), "pids", int64(1)),
		"stdin", m("open", atom("true"), "bytes", int64(1), "waiting", int64(7)),
		"stdout", m("open", atom("true"), "bytes", int64(30),
			"held", m("by", pid, "bytes", int64(100), "queue", int64(2), "ms", int64(1000), "lost", int64(0))),
		"stderr", m("open", atom("false"), "bytes", int64(12), "held", atom("false")),
		"fds", etf.Map{{Key: int64(3), Value: m("open", atom("true"), "bytes", int64(0), "held", atom("false"))}},
	)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a program (-want +got):\n%s", diff)
	}
	want = m("os_pid", int64(0), "cmd", etf.List{}, "user", etf.Binary(""), "state", atom("starting"), "started", atom("undefined"), "restarts", int64(0))
	if diff := cmp.Diff(want, Terms(s.Programs[1].Items())); diff != "" {
		t.Errorf("one that has not started (-want +got):\n%s", diff)
	}
	want = m("os_pid", int64(0), "cmd", etf.List{}, "state", atom("watching"), "started", int64(5), "restarts", int64(0), "path", etf.Binary("/tmp"),
		"recursive", atom("true"), "name", etf.List{}, "owner", pid, "detached", atom("false"), "watched", int64(3), "unwatched", int64(0))
	if diff := cmp.Diff(want, Terms(s.Watchers[0].Items())); diff != "" {
		t.Errorf("a watcher (-want +got):\n%s", diff)
	}
	want = m("path", etf.Binary("/nfs"), "total", atom("undefined"), "available", atom("undefined"))
	node := Terms(s.Node.Items())
	of := func(key string) etf.Term {
		return node[slices.IndexFunc(node, func(p etf.Pair) bool { return p.Key == etf.Atom(key) })].Value
	}
	if diff := cmp.Diff(want, of("disks").(etf.List)[1]); diff != "" {
		t.Errorf("a disk (-want +got):\n%s", diff)
	}
	labels := etf.List{etf.Tuple{etf.Binary("core"), etf.List{etf.Tuple{etf.Binary("group"), etf.Binary("g1")}, etf.Binary("master")}}}
	if diff := cmp.Diff(labels, of("meta")); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(m("avg1", 0.5, "avg5", 1.0, "avg15", 1.25, "cpus", int64(2)), of("load")); diff != "" {
		t.Errorf("load (-want +got):\n%s", diff)
	}
	for what, items := range all(s) {
		if _, err := etf.AppendTerm(nil, Terms(items)); err != nil {
			t.Errorf("%s cannot be sent: %v", what, err)
		}
	}
}

// TestRead: items look the same after sending and Read.
func TestRead(t *testing.T) {
	for what, items := range all(filled()) {
		sent, err := etf.AppendTerm(nil, Terms(items))
		if err != nil {
			t.Fatal(err)
		}
		term, err := etf.Decode(sent)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(JSON(Read(term.(etf.Map)))), string(JSON(items)); got != want {
			t.Errorf("%s: %s\nwant %s", what, got, want)
		}
	}
	later := etf.Map{
		{Key: etf.Atom("three"), Value: etf.Tuple{int64(1), int64(2), int64(3)}},
		{Key: etf.Atom("float"), Value: 1.5},
		{Key: int64(1), Value: etf.Map{{Key: int64(1), Value: etf.Atom("x")}}},
	}
	if got, want := string(JSON(Read(later))), `{"three":"[1 2 3]","float":1.5,"1":{"1":"x"}}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	labels, err := label.Parse("core;group=g1;master, meta2;a=1, x")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []label.Labels{labels, nil} {
		items := []Item{{"meta", l}}
		if got, want := Text(Read(Terms(items))), Text(items); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if Find(Read(later), "float") != 1.5 || Find(nil, "float") != nil {
		t.Error("a key is not found, or one that there is not")
	}
}

// TestManual: erluv-protocol(7) has every key, as a variable or a literal.
func TestManual(t *testing.T) {
	page, err := os.ReadFile("../man/erluv-protocol.7")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.FieldsFunc(string(page), func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz_0123456789", r) })
	for what, items := range all(filled()) {
		for _, i := range items {
			if !slices.Contains(words, i.Key) {
				t.Errorf("the manual does not have %s of a %s", i.Key, what)
			}
		}
	}
}

func TestJSON(t *testing.T) {
	for what, items := range all(filled()) {
		var got map[string]any
		if err := json.Unmarshal(JSON(items), &got); err != nil {
			t.Errorf("%s: %v\n%s", what, err, JSON(items))
		}
		if len(got) != len(items) {
			t.Errorf("%s has %d keys of %d", what, len(got), len(items))
		}
	}
	const want = `{"os_pid":0,"cmd":[],"user":"","state":"starting","started":null,"restarts":0}`
	if got := string(JSON(filled().Programs[1].Items())); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got := string(JSON([]Item{{"p", Tuple{"line", 5}}, {"c", []string{"\xff\n"}}})); got != `{"p":{"line":5},"c":["\ufffd\n"]}` {
		t.Error(got)
	}
}

func TestText(t *testing.T) {
	const want = `os_pid  44
cmd     /bin/a"b\\ x y\x1b[2J\n\xff
`
	if got := Text(filled().Programs[0].Items()[:2]); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	text := Text(filled().Node.Items())
	for _, line := range []string{"sandbox\n  mode", "\n  1\n    user", "spawner_os_pid  -", "  memory  true\n", "core;group=g1;master\n", "avg15  1.25\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("there is no %q in\n%s", line, text)
		}
	}
	for what, items := range all(filled()) {
		for _, r := range Text(items) {
			if r != '\n' && (r < ' ' || r == 0x7f) {
				t.Errorf("%s has the control character %q", what, r)
			}
		}
	}
}

// TestSafeJSON: JSON that is safe for a terminal means the same.
func TestSafeJSON(t *testing.T) {
	for in, want := range map[string]string{
		"plain, Grüße, 世界 🙂":            `"plain, Grüße, 世界 🙂"`,
		"\x1b[31m \u009b31m \x7f\n":     `"\u001b[31m \u009b31m \u007f\n"`,
		"turned \u202e, tag \U000e0041": `"turned \u202e, tag \udb40\udc41"`,
		`\"`:                            `"\\\""`,
	} {
		text, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		safe, back := SafeJSON(text), ""
		if err := json.Unmarshal(safe, &back); err != nil || string(safe) != want || back != in {
			t.Errorf("%q: %s, want %s; it means %q, %v", in, safe, want, back, err)
		}
	}
	if got := string(SafeJSON([]byte("{\n  \"a\": 1\n}"))); got != "{\n  \"a\": 1\n}" {
		t.Errorf("%q", got)
	}
}

// TestIsNumber: a word is a number or a name, for all commands.
func TestIsNumber(t *testing.T) {
	for word, number := range map[string]string{"17.0": "17.0", "<0.17.0>": "17.0", "#PID<9112.17.0>": "17.0", "17": "", "-3": ""} {
		if !IsNumber(word) || WorkerNumber(word) != number {
			t.Errorf("%q: %v, %q", word, IsNumber(word), WorkerNumber(word))
		}
	}
	for _, word := range []string{"", "web", "17.0.1", "v17.0", "1e3"} {
		if IsNumber(word) || WorkerNumber(word) != "" {
			t.Errorf("%q is a number", word)
		}
	}
}
