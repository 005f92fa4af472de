package childproc

import (
	"reflect"
	"strings"
	"testing"

	"erluv/ipc"
	"erluv/stat"
	"erluv/wire/etf"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

func TestOptLimits(t *testing.T) {
	for _, tt := range []struct {
		in   etf.Term
		want ipc.Limits
	}{
		{pairs("memory", int64(1<<20), "pids", int64(1), "cpu", int64(1)), ipc.Limits{Memory: 1 << 20, PIDs: 1, CPU: 1}},
		{pairs("memory", int64(1<<62), "pids", int64(1<<22), "cpu", int64(819200)), ipc.Limits{Memory: 1 << 62, PIDs: 1 << 22, CPU: 819200}},
		{pairs("cpu", int64(150)), ipc.Limits{CPU: 150}},
		{etf.List{etf.Tuple{etf.Atom("pids"), int64(3)}}, ipc.Limits{PIDs: 3}},
		{pairs(), ipc.Limits{}},
		{etf.List{}, ipc.Limits{}},
		{pairs("memory", etf.Atom("infinity"), "pids", etf.Atom("infinity"), "cpu", etf.Atom("infinity")), ipc.Limits{}},
		{etf.List{etf.Tuple{etf.Atom("cpu"), etf.Atom("infinity")}, etf.Tuple{etf.Atom("pids"), int64(7)}}, ipc.Limits{PIDs: 7}},
	} {
		got := ipc.Limits{Memory: 9, PIDs: 9, CPU: 9} // what was there before goes
		if err := optLimits(&got, tt.in); err != nil || got != tt.want {
			t.Errorf("%v: %+v, %v; want %+v", tt.in, got, err, tt.want)
		}
	}
	for _, tt := range []struct {
		in   etf.Term
		want string
	}{
		{etf.Atom("none"), "must be a map or list"},
		{etf.List{int64(1)}, "must be a map or list"},
		{pairs("swap", int64(1)), "swap is none of"},
		{pairs(strings.Repeat("x", 200), int64(1)), "x is none of"},
		{pairs("memory", int64(1<<20-1)), "memory must be a number of bytes from 1048576 to"},
		{pairs("memory", int64(1<<62+1)), "memory must be"},
		{pairs("memory", etf.Atom("max")), "to 4611686018427387904, or infinity"},
		{pairs("memory", int64(0)), "memory must be"},
		{pairs("memory", int64(-1)), "memory must be"},
		{pairs("memory", 1e9), "memory must be"},
		{pairs("pids", int64(-1)), "pids must be"},
		{pairs("cpu", int64(0)), "cpu must be"},
		{pairs("pids", int64(0)), "from 1 to 4194304"},
		{pairs("pids", int64(1<<22+1)), "pids must be"},
		{pairs("cpu", int64(-1)), "from 1 to 819200"},
		{pairs("cpu", int64(819201)), "cpu must be"},
		{pairs("cpu", 20.0), "cpu must be"},
	} {
		var got ipc.Limits
		if err := optLimits(&got, tt.in); err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 120 {
			t.Errorf("%v: %v, want %q", tt.in, err, tt.want)
		}
	}
}

// TestLimitsTerms: what is said of limits.
func TestLimitsTerms(t *testing.T) {
	for _, tt := range []struct {
		got  etf.Term
		want string
	}{
		{failureTerm(workers.Failure{Stage: ipc.StageLimits, FD: workers.Stream(ipc.LimitPIDs), Errno: unix.ENOTSUP}), "{limits,{pids,not_supported}}"},
		{failureTerm(workers.Failure{Stage: ipc.StageLimits, FD: workers.Stream(ipc.LimitCPU), Errno: unix.EINVAL}), "{limits,{cpu,einval}}"},
		{failureTerm(workers.Failure{Stage: ipc.StageLimits, FD: workers.Stream(ipc.NumLimits), Errno: unix.ENODEV}), "{limits,enodev}"},
		{exitTerm(workers.Exit{Signal: unix.SIGKILL, OOM: true}), "{signal,sigkill,oom}"},
	} {
		if got := asErlang(tt.got); got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
	}
	var m manager
	m.start.Limits = ipc.LimitDirs{"/a", "", "/b"}
	want := []stat.Limit{{Name: "memory", Has: true}, {Name: "pids"}, {Name: "cpu", Has: true}}
	if got := m.node().Limits; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// asErlang is a term of atoms and tuples as Erlang writes it.
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
