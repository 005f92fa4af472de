package childproc

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/stat"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// TestShortage checks that a shortage of the system does not blame an option, and that a wrong path
// or value does.
func TestShortage(t *testing.T) {
	stages := map[ipc.Stage]etf.Term{
		ipc.StageProgram: nil, ipc.StageDir: etf.Atom("cd"),
		ipc.StageStdin: etf.Atom("stdin"), ipc.StageStdout: etf.Atom("stdout"), ipc.StageStderr: etf.Atom("stderr"),
		ipc.StageFD:       int64(7),
		ipc.StageTerminal: etf.Atom("pty"), ipc.StageNotify: etf.Atom("notify"), ipc.StageConfine: etf.Atom("sandbox"),
	}
	of := func(stage ipc.Stage, e unix.Errno) etf.Term {
		return failureTerm(ipc.Refusal{Stage: stage, Errno: e, FD: 7})
	}
	places := []ipc.Stage{ipc.StageStdin, ipc.StageStdout, ipc.StageStderr, ipc.StageFD, ipc.StageTerminal}
	for stage, key := range stages {
		for _, e := range []unix.Errno{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EAGAIN, unix.ETOOMANYREFS, unix.ENOSPC, unix.EDQUOT} {
			full := e == unix.ENOSPC || e == unix.EDQUOT
			if key == nil || !full || !slices.Contains(places, stage) {
				same(t, of(stage, e), gen.Errno(e))
			} else {
				same(t, of(stage, e), etf.Tuple{key, gen.Errno(e)})
			}
		}
		if key != nil {
			same(t, of(stage, unix.EACCES), etf.Tuple{key, etf.Atom("eacces")})
		}
	}
	for a, key := range map[ipc.Attribute]string{
		ipc.AttributeNice: "nice", ipc.AttributeRlimits: "rlimits", ipc.AttributeCPUs: "cpus", ipc.AttributeOOM: "oom_score_adj",
	} {
		f := ipc.Refusal{Stage: ipc.StageAttribute, Errno: unix.EACCES, Attribute: a}
		same(t, failureTerm(f), atoms(key, "eacces"))
	}
}

// TestNamedNeverStarted checks that processes which knew a worker by its name are answered if it
// could not be started.
func TestNamedNeverStarted(t *testing.T) {
	n := startChild(t, nil)
	// All frames come in one piece, before the request to the spawner.
	var frames []byte
	ask := func(to etf.Atom, req etf.Term) string {
		n.next++
		tag := etf.Raw(etf.AppendNewRef(nil, testTarget, 9, n.next, 2, 3, 4, 5))
		start := len(frames)
		b, err := etf.AppendTerm(dist.BeginRegSend(frames, n.self, to), etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{n.self, tag}, req})
		must(t, err)
		frames = dist.End(b, start)
		return string(tag)
	}
	for _, stopped := range []bool{false, true} {
		frames = nil
		want := map[string]etf.Term{}
		spawned := ask("erluv", etf.Tuple{
			etf.Atom("spawn"),
			etf.List{etf.Binary("/no/such")},
			etf.Map{opt("name", etf.Atom("never")), opt("flow", etf.Tuple{etf.Atom("active"), etf.Atom("false")})},
		})
		n.next++
		ref := etf.Raw(etf.AppendNewRef(nil, testTarget, 9, n.next, 2, 3))
		frames = append(frames, monitorName(n.self, "never", ref)...)
		want[ask("never", etf.Tuple{etf.Atom("read"), etf.Atom("stdout"), int64(10)})] = etf.Atom("eof")
		want[ask("never", etf.Tuple{etf.Atom("write"), etf.Binary("x")})] = atoms("error", "epipe")
		want[spawned] = atoms("error", "enoent")
		if stopped {
			want[ask("never", etf.Atom("stop"))] = atoms("error", "noproc")
			want[spawned] = atoms("error", "stopping")
		}
		n.write(frames)
		for down := false; len(want) > 0 || !down; {
			m := n.recv()
			if m.Op == dist.PayloadMonitorPExit {
				down = true
				continue
			}
			v, err := etf.Decode(m.Payload)
			must(t, err)
			tag := string(v.(etf.Tuple)[0].(etf.Raw))
			if want[tag] == nil {
				t.Fatalf("an answer that nobody waits for: %#v", v)
			}
			same(t, v.(etf.Tuple)[1], want[tag])
			delete(want, tag)
		}
		never := func(w ipc.Observer) bool { return w.Name == "never" }
		for end := time.Now().Add(patience); slices.ContainsFunc(n.known(), never); n.push() {
			if time.Now().After(end) {
				t.Fatal("main still knows of the monitor")
			}
		}
	}
}

// TestLimitsTerms checks the terms of failures about limits.
func TestLimitsTerms(t *testing.T) {
	for _, tt := range []struct {
		got  etf.Term
		want string
	}{
		{failureTerm(ipc.Refusal{Stage: ipc.StageLimits, Limit: ipc.LimitPIDs, Errno: unix.ENOTSUP}), "{limits,{pids,not_supported}}"},
		{failureTerm(ipc.Refusal{Stage: ipc.StageLimits, Limit: ipc.LimitCPU, Errno: unix.EINVAL}), "{limits,{cpu,einval}}"},
		{failureTerm(ipc.Refusal{Stage: ipc.StageLimits, Limit: ipc.NumLimits, Errno: unix.ENODEV}), "{limits,enodev}"},
		{exitTerm(workers.Exit{Signal: unix.SIGKILL, OOM: true}), "{signal,sigkill,oom}"},
	} {
		if got := asErlang(tt.got); got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
	}
	var m manager
	m.start.Limits = ipc.LimitDirs{"/a", "", "/b"}
	want := []stat.Limit{{Name: "memory", Has: true}, {Name: "pids"}, {Name: "cpu", Has: true}}
	if got := m.node(testTarget, false).Limits; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// asErlang returns a term of atoms and tuples in Erlang's syntax.
func asErlang(t etf.Term) string {
	tuple, ok := t.(etf.Tuple)
	if !ok {
		return string(t.(etf.Atom))
	}
	var parts []string
	for _, e := range tuple {
		parts = append(parts, asErlang(e))
	}
	return "{" + strings.Join(parts, ",") + "}"
}
