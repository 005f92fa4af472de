package childproc

import (
	"testing"

	"erluv/wire/etf"
)

// TestProgramsInMemoryAreCounted checks the bound of programs in memory, and that an ended one
// leaves its place.
func TestProgramsInMemoryAreCounted(t *testing.T) {
	n := startChild(t, nil)
	put := func() etf.Term { return n.told(etf.Tuple{reqPut, etf.Atom("memory"), etf.Map{}}) }
	full := errorOf(etf.Atom("max_uploads"))
	var last etf.Pid
	for range maxPrograms {
		last = put().(etf.Tuple)[1].(etf.Pid)
	}
	same(t, put(), full)
	same(t, n.await(n.toWorker(last, etf.Atom("abort"))), etf.Atom("ok"))
	if _, ok := put().(etf.Tuple)[1].(etf.Pid); !ok {
		t.Error("the place of one that has ended is not free")
	}
	same(t, put(), full)
}
