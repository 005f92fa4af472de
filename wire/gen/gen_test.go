package gen_test

import (
	"bytes"
	"testing"

	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"golang.org/x/sys/unix"
)

var caller = etf.Pid{Node: "node@localhost", ID: 101, Creation: 9}

func call(req etf.Term) etf.Term {
	tag := etf.Raw(etf.AppendNewRef(nil, "node@localhost", 9, 1, 2, 3))
	return etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{caller, tag}, req}
}

func TestParseAsk(t *testing.T) {
	ask, req, ok := gen.ParseAsk(gen.Encode(call(etf.Atom("respawn"))))
	if !ok || ask.Kind != dist.AskCall || ask.From != caller || !gen.IsRespawn(req) {
		t.Errorf("%v, %+v, %x", ok, ask, req)
	}
	if _, _, ok := gen.ParseAsk(gen.Encode(etf.Atom("respawn"))); ok {
		t.Error("an atom is taken for a request")
	}
	whole := gen.Encode(call(etf.Tuple{etf.Atom("is_auth"), etf.Atom("node@localhost")}))
	if _, req, ok := gen.ParseAsk(whole); !ok || !gen.IsAuth(req) || gen.IsRespawn(req) {
		t.Error("is_auth is not understood")
	}
	if _, _, ok := gen.ParseAsk(whole[:len(whole)-1]); ok {
		t.Error("a request is taken that is cut off")
	}
}

// TestAskIn: the request is found in each prefix of a frame that has everything before the request.
func TestAskIn(t *testing.T) {
	b := gen.Append(dist.BeginRegSend(nil, caller, gen.Manager), call(etf.Binary(make([]byte, 1000))))
	frame := dist.End(b, 0)[dist.HeaderSize:]
	found := len(frame)
	for n := range frame {
		control, ask, ok := gen.AskIn(frame[:n])
		if ok {
			found = min(found, n)
			r := etf.NewReader(control)
			if arity, err := r.Tuple(); err != nil || arity != 4 || ask.From != caller {
				t.Fatalf("in %d bytes: %x, %+v", n, control, ask)
			}
		} else if n > found {
			t.Fatalf("found in %d bytes, and not in %d", found, n)
		}
	}
	if want := len(frame) - 1000 - 5; found != want {
		t.Errorf("found in %d bytes instead of %d", found, want)
	}
	if _, _, ok := gen.AskIn(append([]byte{131}, frame...)); ok {
		t.Error("found in what is no frame")
	}
}

func TestPidOf(t *testing.T) {
	for number, want := range map[uint32]etf.Pid{
		1:                {ID: 1},
		1<<15 | 7:        {ID: 7, Serial: 1},
		gen.NumberOfMain: {ID: 1<<15 - 1, Serial: 1<<13 - 1},
	} {
		want.Node, want.Creation = "n@h", 3
		if got := gen.PidOf("n@h", 3, number); got != want {
			t.Errorf("%d: %+v instead of %+v", number, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[etf.Atom]bool{"erluv": true, "erluv_main": true, "net_kernel": true, "rex": false, "": false} {
		if gen.IsName(name) != want {
			t.Errorf("%q", name)
		}
	}
}

func TestFewRights(t *testing.T) {
	for name, want := range map[etf.Atom][2]bool{"look_1@control": {true, false}, "tend_1@control": {false, true}, "erluv_1@control": {}, "": {}} {
		if got := [2]bool{gen.Looks(name), gen.Tends(name)}; got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestIsAtom(t *testing.T) {
	old := etf.Raw{100, 0, 6, 'n', 'o', 'r', 'm', 'a', 'l'} // ATOM_EXT, from the time before UTF-8
	if !gen.IsAtom(old, gen.Normal) || !gen.IsAtom(gen.Normal, gen.Normal) {
		t.Error("normal is not normal")
	}
	if gen.IsAtom(gen.Kill, gen.Normal) || gen.IsAtom(gen.Encode(int64(1)), gen.Normal) {
		t.Error("something else is normal")
	}
}

func TestSecond(t *testing.T) {
	if got, ok := gen.Second("stop", gen.Encode(etf.Tuple{etf.Atom("stop"), etf.Atom("kill")})); !ok || !bytes.Equal(got, gen.Kill) {
		t.Errorf("%x, %v", got, ok)
	}
	for _, other := range []etf.Term{etf.Atom("stop"), etf.Tuple{etf.Atom("stop")}, etf.Tuple{etf.Atom("go"), etf.Atom("kill")}} {
		if _, ok := gen.Second("stop", gen.Encode(other)); ok {
			t.Errorf("%v is taken", other)
		}
	}
}

func TestExit(t *testing.T) {
	for _, c := range []struct {
		got  etf.Term
		want etf.Tuple
	}{
		{gen.Exit(7, 0, ""), etf.Tuple{etf.Atom("exit_status"), int64(7)}},
		{gen.Exit(-1, unix.SIGKILL, ""), etf.Tuple{etf.Atom("signal"), etf.Atom("sigkill")}},
		{gen.Exit(-1, unix.SIGSEGV, "core"), etf.Tuple{etf.Atom("signal"), etf.Atom("sigsegv"), etf.Atom("core")}},
		{gen.Exit(-1, 40, ""), etf.Tuple{etf.Atom("signal"), int64(40)}},
	} {
		if !bytes.Equal(gen.Encode(c.got), gen.Encode(c.want)) {
			t.Errorf("%v instead of %v", c.got, c.want)
		}
	}
}

func TestSignals(t *testing.T) {
	for n := unix.Signal(1); n <= 64; n++ {
		if got, err := gen.ReadSignal(gen.Signal(n)); err != nil || got != n {
			t.Errorf("%d comes back as %d, %v", n, got, err)
		}
	}
	for _, bad := range []etf.Term{int64(0), int64(65), etf.Atom("term"), etf.Atom("sigx"), etf.Binary("sigterm")} {
		if got, err := gen.ReadSignal(bad); err == nil {
			t.Errorf("%v is %d", bad, got)
		}
	}
	if gen.Errno(unix.ENOENT) != etf.Atom("enoent") || gen.Errno(4000) != int64(4000) {
		t.Error("errors have other names")
	}
}
