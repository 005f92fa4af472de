package order

import (
	"testing"

	"erluv/wire/etf"
	"erluv/workers"

	"github.com/google/go-cmp/cmp"
)

// where is the destination of an output.
type where struct {
	Spec workers.StreamSpec
	To   *Receivers
}

func rotate(kv ...any) etf.Tuple { return tuple(atom("rotate"), pairs(kv...)) }

// TestOutputs checks that stdout and stderr go to processes or files, and for a run to files only.
func TestOutputs(t *testing.T) {
	pid := func(p etf.Pid) etf.Term { return tuple(atom("pid"), p) }
	logged := workers.StreamSpec{
		Kind: workers.File, Path: "log", Mode: 0o640, Append: true,
		Rotate: &workers.Rotation{Size: workers.MinLog, Keep: 100},
	}
	for name, i := range map[string]int{"stdout": 0, "stderr": 1} {
		for _, tt := range []struct {
			v        etf.Term
			want     where
			spawnsAt bool // not for run
		}{
			{atom("owner"), where{}, true},
			{pid(friend), where{To: &Receivers{List: []etf.Pid{friend}}}, true},
			{list(pid(friend), atom("owner")), where{To: &Receivers{Owner: true, List: []etf.Pid{friend}}}, true},
			{atom("null"), where{Spec: workers.StreamSpec{Kind: workers.Null}}, false},
			{tuple(atom("file"), bin("x")), where{Spec: file("x")}, false},
			{tuple(atom("file"), bin("x"), list()), where{Spec: file("x")}, false},
			{tuple(atom("file"), bin("log"), list(atom("append"), tuple(atom("mode"), int64(0o640)), rotate("size", int64(4096), "count", int64(100)))), where{Spec: logged}, false},
		} {
			for _, request := range []Request{ForSpawn, ForRun} {
				o, bad := read(request, pairs(name, tt.v))
				if request == ForRun && tt.spawnsAt {
					if bad == nil {
						t.Errorf("%s => %v is taken for run", name, tt.v)
					}
					continue
				}
				if bad != nil {
					t.Errorf("%s => %v: %s", name, tt.v, bad.Why)
					continue
				}
				got := where{o.(*Order).Spec.Streams[i+1], o.(*Order).Outputs[i].To}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("%s => %v:\n%s", name, tt.v, diff)
				}
			}
		}
	}
	o, bad := read(ForRun, pairs("stderr", atom("stdout")))
	if bad != nil || o.(*Order).Spec.Streams[workers.Stderr].Kind != workers.ToStdout {
		t.Errorf("stderr => stdout: %v", bad)
	}
}

func TestOutputsRefused(t *testing.T) {
	many := list(atom("owner"))
	for range MaxReceivers {
		many = append(many, tuple(atom("pid"), friend))
	}
	const kinds = "must be owner, {pid, Pid}, a list of these, null, {file, Path} or {file, Path, Options}"
	for _, tt := range []bad{
		{atom("pipe"), kinds},
		{tuple(atom("pid"), atom("x")), kinds},
		{list(tuple(atom("pid"), friend), atom("null")), kinds},
		{list(), "must have 1 to 16 receivers"},
		{many, "must have 1 to 16 receivers"},
		{list(atom("owner"), atom("owner")), "has the owner twice"},
		{tuple(atom("pid"), elsewhere), "is elsewhere"},
	} {
		refused(t, ForSpawn, pairs("stdout", tt.v), "stdout", tt.why)
		refused(t, ForSpawn, pairs("stderr", tt.v), "stderr", tt.why)
	}
	refused(t, ForSpawn, pairs("stdout", atom("stdout")), "stdout", kinds)
	refused(t, ForSpawn, pairs("stderr", atom("pipe")), "stderr", kinds+", or stdout")
	refused(t, ForRun, pairs("stdout", atom("owner")), "stdout", "must be null, {file, Path} or {file, Path, Options} for run")
	refused(t, ForRun, pairs("stderr", atom("owner")), "stderr", "must be null, {file, Path} or {file, Path, Options} for run, or stdout")
}

func TestFilesRefused(t *testing.T) {
	const options = "the file's options are a list of append, {mode, Mode} and {rotate, #{size, count}}"
	const rotation = "rotate must be #{size => Bytes, count => N}, Bytes from 4096 to 1125899906842624, N from 1 to 100"
	for _, tt := range []bad{
		{atom("rotate"), options},
		{atom("write"), options},
		{int64(1), options},
		{tuple(atom("size"), int64(1)), options},
		{tuple(atom("append")), options},
		{tuple(atom("mode"), int64(0o1000)), "the file's mode must be a number up to 8#777"},
		{tuple(atom("mode"), int64(-1)), "the file's mode"},
		{tuple(atom("rotate"), int64(1)), rotation},
		{rotate(), rotation},
		{rotate("size", int64(4096)), rotation},
		{rotate("count", int64(1)), rotation},
		{rotate("size", int64(4095), "count", int64(1)), rotation},
		{rotate("size", int64(1)<<50+1, "count", int64(1)), rotation},
		{rotate("size", int64(4096), "count", int64(0)), rotation},
		{rotate("size", int64(4096), "count", int64(101)), rotation},
		{rotate("size", int64(4096), "count", int64(1), "age", int64(1)), rotation},
	} {
		v := tuple(atom("file"), bin("/x"), list(tt.v))
		for _, request := range []Request{ForSpawn, ForRun} {
			refused(t, request, pairs("stdout", v), "stdout", tt.why)
			refused(t, request, pairs("stderr", v), "stderr", tt.why)
			refused(t, request, pairs("fds", numbered(3, v)), "fds", tt.why)
		}
	}
	refused(t, ForSpawn, pairs("stdout", tuple(atom("file"), bin(""))), "stdout", "must be a path, as a binary or string")
	refused(t, ForSpawn, pairs("stdout", tuple(atom("file"), bin("x"), atom("append"))), "stdout", options)
}

func TestFDs(t *testing.T) {
	fileOf := func(opts ...etf.Term) etf.Term { return tuple(atom("file"), bin("x"), etf.List(opts)) }
	o, bad := read(ForSpawn, pairs("fds", numbered(
		9, tuple(atom("pipe"), atom("in")), 3, atom("pipe"), 255, atom("null"),
		5, tuple(atom("pid"), friend), 4, list(atom("owner"), tuple(atom("pid"), friend)), 7, fileOf(atom("read")), 8, fileOf(atom("append")),
	)))
	if bad != nil {
		t.Fatal(bad.Why)
	}
	appended := file("x")
	appended.Append = true
	want := []workers.Extra{
		{FD: 3},
		{FD: 4},
		{FD: 5},
		{FD: 7, Input: true, StreamSpec: file("x")},
		{FD: 8, StreamSpec: appended},
		{FD: 9, Input: true},
		{FD: 255, StreamSpec: workers.StreamSpec{Kind: workers.Null}},
	}
	outputs := []Output{{FD: 1}, {FD: 2}, {FD: 3}, {FD: 4, To: &Receivers{true, []etf.Pid{friend}}}, {FD: 5, To: &Receivers{false, []etf.Pid{friend}}}}
	if diff := cmp.Diff(want, o.(*Order).Spec.Extra) + cmp.Diff(outputs, o.(*Order).Outputs); diff != "" {
		t.Error(diff)
	}
	o, bad = read(ForRun, pairs("fds", list(tuple(int64(3), atom("null")), tuple(int64(4), fileOf()))))
	if bad != nil || len(o.(*Order).Spec.Extra) != 2 || len(o.(*Order).Outputs) != 2 {
		t.Errorf("run: %+v, %v", o, bad)
	}
}

func TestFDsRefused(t *testing.T) {
	many := etf.Map{}
	for i := range workers.MaxExtra + 1 {
		many = append(many, numbered(3+i, atom("null"))...)
	}
	const what = "descriptor 3 must be pipe, {pid, Pid}, a list of owner and {pid, Pid}, {pipe, in}, null, {file, Path} or {file, Path, Options}"
	for _, tt := range []bad{
		{int64(3), "must be a map or list of descriptors and their values"},
		{list(int64(3)), "must be a map or list"},
		{many, "must have at most 16 descriptors"},
		{numbered(2, atom("null")), "a descriptor is a number from 3 to 255"},
		{numbered(256, atom("null")), "a descriptor is a number"},
		{list(tuple(int64(3), atom("null")), tuple(int64(3), atom("null"))), "has descriptor 3 twice"},
		{numbered(3, atom("owner")), what},
		{numbered(3, tuple(atom("pipe"), atom("out"))), what},
		{numbered(3, tuple(atom("pid"), int64(1))), what},
		{numbered(3, list(atom("null"))), what},
		{numbered(3, tuple(atom("pid"), elsewhere)), "is elsewhere"},
		{numbered(3, list()), "must have 1 to 16 receivers"},
		{numbered(3, tuple(atom("file"), bin("x"), list(atom("read"), atom("append")))), "the file's options"},
	} {
		refused(t, ForSpawn, pairs("fds", tt.v), "fds", tt.why)
	}
	for _, v := range []etf.Term{atom("pipe"), tuple(atom("pipe"), atom("in")), tuple(atom("pid"), friend), list(atom("owner"))} {
		refused(t, ForRun, pairs("fds", numbered(3, v)), "fds", "descriptor 3 must be null, {file, Path} or {file, Path, Options} for run")
	}
}
