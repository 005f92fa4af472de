package childproc

import (
	"slices"
	"testing"

	"erluv/wire/etf"
)

// kinds has a term of each type that a node can send, and words at the beginning of requests.
var kinds = etf.Tuple{
	etf.Atom("x"), etf.Atom("set"), etf.Atom("stdout"), int64(1), int64(-1), int64(1 << 40), 1.5, etf.Binary("ready"),
	etf.Binary{0xff},
	etf.String("ready"),
	etf.List(nil),
	etf.List{etf.Atom("x"), etf.Binary("x")},
	etf.Improper{Elems: []etf.Term{int64(1)}, Tail: int64(2)},
	etf.BitString{Bytes: []byte{0x80}, Bits: 1},
	etf.Tuple{},
	etf.Tuple{etf.Atom("update"), int64(1)},
	etf.Tuple{etf.Atom("remove"), etf.Map{}},
	etf.Tuple{etf.String("x"), etf.Map{}},
	etf.Map{},
	etf.Map{{Key: etf.String("x"), Value: etf.Map{}}},
	etf.Map{{Key: etf.Atom("user"), Value: etf.Tuple{}}},
	etf.Pid{Node: testNode, ID: 1},
	etf.Raw(etf.AppendNewRef(nil, testNode, 9, 1, 2)),
}

// TestEveryRequestTakesEveryTerm checks that each request and call is answered with any arguments,
// and that the child stays up.
func TestEveryRequestTakesEveryTerm(t *testing.T) {
	n := startChild(t, nil)
	each := func(name etf.Atom, arity int, call func(etf.Term)) {
		switch arity {
		case 1:
			for _, k := range kinds {
				call(etf.Tuple{name, k})
			}
		case 2:
			for _, k := range kinds {
				for _, l := range kinds {
					call(etf.Tuple{name, k, l})
				}
			}
		}
	}
	for _, row := range requests {
		if row.name != "stop" { // accepts any reason
			each(row.name, row.arity, func(req etf.Term) { n.told(req) })
		}
	}
	same(t, n.told(atoms("status", "set", "ready")), etf.Atom("ok")) // it was drained
	w := n.told(etf.Tuple{etf.Atom("spawn"), etf.Binary("trap '' HUP; exec sleep 1000"), etf.Map{}}).(etf.Tuple)[1].(etf.Pid)
	u := n.told(etf.Tuple{reqPut, etf.Atom("memory"), etf.Map{}}).(etf.Tuple)[1].(etf.Pid)
	for _, row := range calls {
		switch p := map[bool]etf.Pid{true: w, false: u}[row.taken.has(byProgram)]; {
		case slices.Contains([]etf.Atom{"read", "write"}, row.name): // answered when the program reads or writes
		default:
			each(row.name, row.arity, func(req etf.Term) { n.await(n.toWorker(p, req)) })
		}
	}
}
