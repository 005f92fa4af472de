package ipc

import (
	"bytes"
	"log/slog"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// every has one message of each kind, with no field at zero.
var every = []Message{
	Hello{Version: Version, Role: RoleSpawner, PID: 4711},
	Start{
		Controller: "erluv", ErluvVersion: "0.1.0", CookieSource: "~/.erlang.cookie",
		User: "nobody", UID: 3, GID: 4, MainPID: 5, MaxWorkers: 6, KillTimeoutMS: 7,
		Contain: "group", Leaves: "/a", Limits: LimitDirs{"", "/b", ""}, Kept: "owner", Sandbox: "strict seccomp", SpawnerPID: 8, LostAfterMS: 9, Stays: true, Reports: true, RemoteExec: true, Path: []string{"/bin"}, History: 10, LogRing: 11, LogRingTotal: 12, Environ: []string{"LANG=C"},
		Allowed: []Allowed{
			{User: "nobody", UID: 3, Groups: []Group{{"nogroup", 4}}, Home: "/nonexistent", Shell: "/usr/sbin/nologin"},
			{User: "games", UID: 5, Groups: []Group{{"games", 60}, {"audio", 29}}, Home: "/usr/games", Shell: "/bin/sh"},
		},
	},
	Link{ID: 11, Node: "erluv_1@host", Creation: 1, Target: "foo@host", TargetCreation: 2, Serial: 9, Respawned: true, Accepted: true, Transport: "tls", Since: 12, Operator: "uid 0", Carried: 10},
	Ledger{Serial: 1, Ticktime: 60, Added: []string{"a", "bc"}, Removed: []string{"d"}},
	Drain{},
	Beat{},
	Counted{Programs: 7},
	Spawner{User: 2, PID: 4712, Leaves: "/sys/fs/cgroup/a", Limits: LimitDirs{"/m", "", "/c"}},
	WantSpawner{User: 3},
	StartSpawner{Path: []string{"/usr/bin", "", "/bin"}, Reports: true, Scope: true, Deny: true, Leaves: "/sys", Limits: LimitDirs{"/a", "", "/b"}, Few: true, Spare: true},
	Logs{Level: slog.LevelWarn},
	Log{Level: slog.LevelError, Text: "a stream waits", Attributes: []LogAttribute{{"os_pid", "7", true}, {"why", "x", true}}, Dropped: 3},
	Lost{ID: 3, Text: "the node has closed the connection"},
	Standing{Wish: WishStopped, Meta: "a;b=c"},
	Host{
		Standing: Standing{Wish: WishStandby, Meta: "d"}, Crashes: 6, OnlyClasses: true, MaxKillTimeoutMS: 5000, Limits: Limits{PIDs: 1},
		Disks: []string{"/", "/srv"},
		Classes: []Class{
			{Name: "a", Command: []string{"/bin/true"}},
			{
				Name: "b", Command: []string{"/bin/cat", "-"}, Args: []string{"x+"}, User: 3, Dir: "/tmp", Env: []string{"A=1"},
				Limits: Limits{Memory: 1 << 40, CPU: 50}, Confine: Confine{Files: true, Read: []string{"/usr"}}, Max: 7,
			},
		},
	},
	Awaited{Nodes: []Waits{{"a@h", "refused"}, {"b@h", "x"}}},
	Ready{},
	Failed{Text: "why\x00\xff"},
	Stop{Reason: "sigterm"},
	Stopped{Cause: CauseDisconnected, Text: "the connection has ended"},
	&Spawn{
		Seq: 1, Program: "cat", Path: "/bin:", Args: []string{"cat", "-"}, Env: []string{"A=1"}, Dir: "/",
		Streams: []Stream{
			{Source: SourceFD, Log: true},
			{Source: SourceFile, Path: "out", Write: true, Append: true, Mode: 0o600},
			{Source: SourceDup, Dup: 1, FD: 7},
		},
		Attributes: Attributes{
			Umask: 0o22, NoSession: true,
			SetNice: true, Nice: -20, SetOOM: true, OOMScoreAdj: -1000, CPUs: []uint16{0, 1023},
			Rlimits: []Rlimit{{Resource: 7, Soft: 1, Hard: 1<<64 - 1}},
			Limits:  Limits{Memory: 1 << 40, PIDs: 5, CPU: 150},
			Confine: Confine{
				Files: true, Read: []string{"/usr"}, Write: []string{"/tmp"}, Exec: []string{"/bin", "/lib"},
				Ports: true, Connect: []uint16{443, 1}, Scope: true, Allow: AllowIOUring, Deny: true,
			},
		},
		Terminal: &Terminal{
			Rows: 50, Cols: 132, Reopen: true,
			Clear: Modes{Iflag: 1, Oflag: 2, Cflag: 3, Lflag: 1 << 31, Cc: [19]byte{255, 18: 255}},
			Set:   Modes{Iflag: 4, Lflag: 5, Cc: [19]byte{1, 18: 2}},
		},
		Notify: true, Refused: "daemon",
	},
	Spawned{Seq: 1, PID: 2, OSPID: 5, Refusal: Refusal{Stage: StageDir, Errno: 3, FD: 4, Limit: 1, Attribute: 2}, Leaf: 6, Limited: 7},
	Changed{PID: 1, Status: 0x8b},
	SignalGroup{PID: 1, Signal: 15, Leaf: 2, Only: true},
	GroupSignalled{PID: 1, Errno: 3},
	SpawnInMemfd{Seq: 7, Size: 100_000},
	Rotate{Seq: 1, Dir: "/", Umask: 0o22, Path: "log", Mode: 0o640, Keep: 300},
	Rotated{Seq: 1, Errno: 2},
	Forget{Seq: 1},
	Release{Empty: []uint32{1, 2}, Left: []uint32{3}, Limited: []uint32{4}},
	StartRelay{
		Server: true, ServerName: "host", Verify: true, CertOptional: true, MinVersion: 0x303, MaxVersion: 0x304, Depth: 2, TimeoutMS: 7000,
		CA: 1, Cert: 2, Key: 3,
	},
}

// kinds counts the kinds, so that a new message without a row above is noticed.
func kinds() (n int) {
	for k := range 256 {
		if read(Kind(k), &reader{}) != nil {
			n++
		}
	}
	return n
}

func TestRoundTrip(t *testing.T) {
	if len(every) != kinds() {
		t.Errorf("%d messages are tested, there are %d kinds", len(every), kinds())
	}
	for _, m := range every {
		p := Append(nil, m)
		got, err := Decode(p)
		if err != nil {
			t.Errorf("%T: %v", m, err)
			continue
		}
		if diff := cmp.Diff(m, got); diff != "" {
			t.Errorf("%T (-sent +read):\n%s", m, diff)
		}
		if before := []byte("before"); !bytes.Equal(Append(before, m), append(before, p...)) {
			t.Errorf("%T: Append does not append", m)
		}
	}
}

// TestFieldsMatter: each field changes the packet.
func TestFieldsMatter(t *testing.T) {
	for _, m := range every {
		v := reflect.Indirect(reflect.ValueOf(m))
		for i := range v.NumField() {
			other := reflect.New(v.Type())
			other.Elem().Set(v)
			other.Elem().Field(i).SetZero()
			msg, ok := other.Elem().Interface().(Message)
			if !ok {
				msg = other.Interface().(Message)
			}
			if bytes.Equal(Append(nil, m), Append(nil, msg)) {
				t.Errorf("%T does not carry its %s", m, v.Type().Field(i).Name)
			}
		}
	}
}

// TestAttributesMatter: each attribute changes the packet, and so does each part of a program's
// confinement.
func TestAttributesMatter(t *testing.T) {
	i := slices.IndexFunc(every, func(m Message) bool { return m.kind() == KindSpawn })
	for _, field := range []string{"", "Confine", "Limits"} {
		of := func(m *Spawn) reflect.Value {
			v := reflect.ValueOf(m).Elem().FieldByName("Attributes")
			if field != "" {
				v = v.FieldByName(field)
			}
			return v
		}
		for f := range of(every[i].(*Spawn)).NumField() {
			m := *every[i].(*Spawn)
			if of(&m).Field(f).IsZero() {
				t.Errorf("%s is not tested", of(&m).Type().Field(f).Name)
			}
			of(&m).Field(f).SetZero()
			if bytes.Equal(Append(nil, every[i]), Append(nil, &m)) {
				t.Errorf("a Spawn does not carry %s", of(&m).Type().Field(f).Name)
			}
		}
	}
}

func TestAttributeNames(t *testing.T) {
	for a := AttributeNice; int(a) < len(attributes); a++ {
		if a.String() == "" {
			t.Errorf("attribute %d has no name", a)
		}
	}
	if got := Attribute(200).String(); got != "attribute 200" {
		t.Error(got)
	}
}

// firstStream is the offset of the first stream in a Spawn without texts.
const firstStream = 1 + 4 + 4 + 4 + 4 + 4 + 4 + 1

func TestDecodeRefuses(t *testing.T) {
	for name, p := range map[string]string{
		"nothing":                 "",
		"kind 0":                  "\x00",
		"an unknown kind":         "\xff\x01",
		"a trailing byte":         "\x04\x00",
		"a cut number":            "\x01\x01",
		"a string beyond the end": "\x05\xff\xff\xff\xff",
		"a list beyond the end":   "\x03\xff\xff\xff\xffaaaa",
		"no truth value":          string(Append(nil, &Spawn{Streams: []Stream{{}}})[:40]),
	} {
		if m, err := Decode([]byte(p)); err == nil {
			t.Errorf("%s: %#v", name, m)
		}
	}
	for _, m := range every {
		p := Append(nil, m)
		for n := range p {
			if got, err := Decode(p[:n]); err == nil {
				t.Errorf("%T cut to %d bytes: %#v", m, n, got)
			}
		}
		if _, err := Decode(append(p, 0)); err == nil || !strings.Contains(err.Error(), "1 bytes after") {
			t.Errorf("%T with a trailing byte: %v", m, err)
		}
	}
	p := Append(nil, &Spawn{Streams: []Stream{{}}})
	p[firstStream+7] = 2 // behind source, duplicate, path and the other truth value
	if m, err := Decode(p); err == nil {
		t.Errorf("2 for a truth value: %#v", m)
	}
}

// FuzzDecode: with any packet, decoding neither panics nor allocates more than a few times its
// size. An accepted packet has only one encoding.
func FuzzDecode(f *testing.F) {
	for _, m := range every {
		f.Add(Append(nil, m))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		m, err := Decode(p)
		if err != nil {
			return
		}
		if again := Append(nil, m); !bytes.Equal(again, p) {
			t.Errorf("%x decodes to %#v, which encodes to %x", p, m, again)
		}
	})
}

// TestDecodeAllocates: packets with great lengths are refused before memory is allocated for them.
func TestDecodeAllocates(t *testing.T) {
	lists := append([]byte{byte(KindStartSpawner), 0xff, 0x3f, 0, 0}, make([]byte, 4*0x3fff)...)
	streams := Append(nil, &Spawn{})
	streams[firstStream-1] = 255
	attributes := Append(nil, &Spawn{})
	copy(attributes[len(attributes)-4:], "\xff\xff\xff") // before Terminal
	for name, p := range map[string][]byte{
		"a list of empty strings": lists,
		"a list of 2^32 strings":  {byte(KindStartSpawner), 0xff, 0xff, 0xff, 0xff, 0, 0},
		"a string of 4 GiB":       {byte(KindFailed), 0xff, 0xff, 0xff, 0xff, 0},
		"255 streams":             streams,
		"65,535 processors":       attributes,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 10 {
			_, _ = Decode(p)
		}
		runtime.ReadMemStats(&after)
		if each := (after.TotalAlloc - before.TotalAlloc) / 10; each > uint64(8*len(p)+4096) {
			t.Errorf("%s: %d bytes allocated for %d", name, each, len(p))
		}
	}
}
