package etf

import (
	"bytes"
	"math"
	"math/big"
	"strings"
	"sync"
	"testing"
)

// genCall makes {'$gen_call', {Pid, [alias | Ref]}, {write, Bin}} in the form of OTP 27.
func genCall(data []byte) []byte {
	b := AppendTupleHeader(nil, 3)
	b = AppendAtom(b, "$gen_call")
	b = AppendTupleHeader(b, 2)
	b = AppendPid(b, Pid{Node: "node@example", ID: 77, Creation: 5})
	b = AppendListHeader(b, 1)
	b = AppendAtom(b, "alias")
	b = AppendNewRef(b, "node@example", 5, 1, 2, 3, 4, 5)
	b = AppendTupleHeader(b, 2)
	b = AppendAtom(b, "write")
	return AppendBinary(b, data)
}

// readGenCall reads it like a dispatcher.
func readGenCall(b []byte) (from Pid, tag Raw, op Atom, data []byte, err error) {
	r := NewReader(b)
	if _, err = r.Tuple(); err != nil {
		return
	}
	if _, err = r.Atom(); err != nil {
		return
	}
	if _, err = r.Tuple(); err != nil {
		return
	}
	if from, err = r.Pid(); err != nil {
		return
	}
	if tag, err = r.Raw(); err != nil {
		return
	}
	if _, err = r.Tuple(); err != nil {
		return
	}
	if op, err = r.Atom(); err != nil {
		return
	}
	if data, err = r.Binary(); err != nil {
		return
	}
	err = r.Done()
	return
}

func TestReaderReadsCall(t *testing.T) {
	from, tag, op, data, err := readGenCall(genCall([]byte("data")))
	if err != nil || from != (Pid{Node: "node@example", ID: 77, Creation: 5}) || op != "write" || string(data) != "data" {
		t.Errorf("%v, %v, %s, %v", from, op, data, err)
	}
	want := AppendNewRef(AppendAtom(AppendListHeader(nil, 1), "alias"), "node@example", 5, 1, 2, 3, 4, 5)
	if !bytes.Equal(tag, want) {
		t.Errorf("tag is %X, want %X", tag, want)
	}
	if len(tag) != cap(tag) || len(data) != cap(data) {
		t.Error("what is appended to a part would change what follows it")
	}
}

// Each method reads only its own kind of term, and otherwise does not move.
func TestReaderKinds(t *testing.T) {
	terms := map[string]Term{
		"tuple": Tuple{}, "list": List{Atom("a")}, "nil": List(nil), "map": Map{}, "atom": Atom("a"), "int": int64(-5),
		"uint": int64(5), "binary": Binary("b"), "pid": Pid{}, "float": 1.0, "string": String("s"),
		"bits": BitString{Bytes: []byte{0x80}, Bits: 1}, "big": new(big.Int).Lsh(big.NewInt(1), 70),
		"uint64": new(big.Int).SetUint64(math.MaxUint64),
		"ref":    Raw(AppendNewRef(nil, "n@h", 1, 1)),
	}
	reads := map[string]func(*Reader) error{
		"tuple":       func(r *Reader) error { _, err := r.Tuple(); return err },
		"list nil":    func(r *Reader) error { _, err := r.List(); return err },
		"nil":         func(r *Reader) error { return r.Nil() },
		"map":         func(r *Reader) error { _, err := r.Map(); return err },
		"atom":        func(r *Reader) error { _, err := r.Atom(); return err },
		"int uint":    func(r *Reader) error { _, err := r.Int(); return err },
		"uint64 uint": func(r *Reader) error { _, err := r.Uint64(); return err },
		"pid":         func(r *Reader) error { _, err := r.Pid(); return err },
		"binary":      func(r *Reader) error { _, err := r.Binary(); return err },
	}
	for kinds, read := range reads {
		for kind, term := range terms {
			b, err := AppendTerm(nil, term)
			if err != nil {
				t.Fatal(err)
			}
			r := NewReader(b)
			takes := false
			for _, k := range strings.Fields(kinds) {
				takes = takes || k == kind
			}
			if err := read(&r); (err == nil) != takes {
				t.Errorf("reading %s from %s: %v", kinds, kind, err)
			} else if !takes && len(r.Rest()) != len(b) {
				t.Errorf("reading %s from %s failed and moved", kinds, kind)
			}
		}
	}
}

func TestReaderIntegers(t *testing.T) {
	minInt := new(big.Int).SetInt64(math.MinInt64)
	for _, c := range []struct {
		z         *big.Int
		int, uint bool
	}{
		{big.NewInt(0), true, true},
		{big.NewInt(-1), true, false},
		{big.NewInt(math.MaxInt32 + 1), true, true},
		{big.NewInt(math.MaxInt64), true, true},
		{new(big.Int).SetUint64(math.MaxInt64 + 1), false, true},
		{new(big.Int).SetUint64(math.MaxUint64), false, true},
		{new(big.Int).Lsh(big.NewInt(1), 64), false, false},
		{minInt, true, false},
		{new(big.Int).Sub(minInt, big.NewInt(1)), false, false},
	} {
		b, err := AppendTerm(nil, c.z)
		if err != nil {
			t.Fatal(err)
		}
		r := NewReader(b)
		n, err := r.Int()
		if c.int && (err != nil || n != c.z.Int64()) || !c.int && err != errRange {
			t.Errorf("Int of %v: %d, %v", c.z, n, err)
		}
		r = NewReader(b)
		u, err := r.Uint64()
		if c.uint && (err != nil || u != c.z.Uint64()) || !c.uint && err != errRange {
			t.Errorf("Uint64 of %v: %d, %v", c.z, u, err)
		}
	}
}

func TestReaderLists(t *testing.T) {
	for _, c := range []struct {
		hex string
		n   int
		err error
	}{
		{"6A", 0, nil},
		{"6C 00000000 6A", 0, nil},
		{"6C 00000002 6101 6102 6A", 2, nil},
		{"6B 0001 61", 0, errNotList},
		{"6C 00000002 6101", 0, errTruncated},
		{"6C 00000000 6101", 0, errList},
		{"", 0, errTruncated},
	} {
		r := NewReader(unhex(t, c.hex))
		n, err := r.List()
		if n != c.n || err != c.err {
			t.Errorf("%s: %d, %v, want %d, %v", c.hex, n, err, c.n, c.err)
		}
		if err != nil || n == 0 {
			continue
		}
		for range n {
			if _, err := r.Int(); err != nil {
				t.Error(err)
			}
		}
		if err := r.Nil(); err != nil || r.Done() != nil {
			t.Errorf("%s: tail: %v", c.hex, err)
		}
	}
}

// Atoms are right in many goroutines at once, also when there are more than seen holds.
func TestAtomsFromManyGoroutines(t *testing.T) {
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 20_000 {
				want := Atom(strings.Repeat(string(rune('a'+i%26)), 1+(i*7+g)%300))
				if len(want) > maxAtomChars {
					want = want[:maxAtomChars]
				}
				r := NewReader(AppendAtom(nil, want))
				if got, err := r.Atom(); got != want || err != nil {
					t.Errorf("%s, %v, want %s", got, err, want)
					return
				}
			}
		})
	}
	wg.Wait()
}
