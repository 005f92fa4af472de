package etf

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

// nodeTexts has a real node decode terms, all in one run. It returns the text of each, or "badarg".
func nodeTexts(t *testing.T, terms [][]byte) []string {
	t.Helper()
	var in []byte
	for _, b := range terms {
		in = append(hex.AppendEncode(in, b), '\n')
	}
	out := strings.Split(strings.TrimSuffix(string(runErl(t, "ok = M:decode()", in)), "\n"), "\n")
	if len(out) != len(terms) {
		t.Fatalf("the node printed %d lines for %d terms: %.200q", len(out), len(terms), out)
	}
	return out
}

// ours are terms that use every way of writing a term.
func ours() []Term {
	ints := List{}
	for _, n := range []int64{
		0, 255, 256, -1, math.MaxInt32, math.MaxInt32 + 1, math.MinInt32, math.MinInt32 - 1,
		1 << 40, 1<<56 - 1, 1 << 56, math.MaxInt64, math.MinInt64, math.MinInt64 + 1,
	} {
		ints = append(ints, n)
	}
	for _, bits := range []uint{64, 65, 80, 2039, 2040, 2041, 5000} {
		z := new(big.Int).Lsh(big.NewInt(1), bits)
		ints = append(ints, z, new(big.Int).Neg(z), new(big.Int).Sub(z, big.NewInt(1)))
	}
	pid := Pid{Node: "erluv_é@example", ID: 1<<28 + 7, Serial: 5, Creation: math.MaxUint32}
	terms := []Term{
		ints, int64(7), big.NewInt(7),
		List{0.0, math.Copysign(0, -1), 1.5, -math.MaxFloat64, math.SmallestNonzeroFloat64},
		Atom(""), Atom("it's"), Atom("日本"), Atom(strings.Repeat("x", 255)), Atom(strings.Repeat("é", 128)),
		Atom(strings.Repeat("🐧", 255)),
		Tuple{},
		Tuple{pid},
		append(Tuple{}, make255(255)...), append(Tuple{}, make255(256)...),
		List(nil),
		List{List(nil)},
		List{Atom("a"), Binary("b")},
		String("text"), String(nil),
		String(strings.Repeat("\xff", 65535)), String(strings.Repeat("s", 65536)),
		Improper{Elems: []Term{Atom("a"), int64(1)}, Tail: Atom("b")},
		Improper{Elems: []Term{Atom("a")}, Tail: List{Atom("b")}}, // [a | [b]] is [a, b]
		Binary(nil), Binary("\x00\xff"), Binary(make([]byte, 70000)),
		BitString{Bytes: []byte{0x80}, Bits: 1},
		BitString{Bytes: []byte{1, 2, 0xFE}, Bits: 7},
		Map{},
		Map{{Atom("a"), int64(1)}, {int64(1), 1.0}, {1.0, Map{{Map{}, List(nil)}}}},
		append(Map{}, makePairs(32)...), append(Map{}, makePairs(33)...), append(Map{}, makePairs(1000)...),
		Raw(AppendNewRef(nil, "erluv@example", 9, 1)), Raw(AppendNewRef(nil, "erluv@example", 9, 1, 2, 3, 4, 5)),
	}
	deep := Term(pid)
	for range maxDepth {
		deep = Tuple{deep}
	}
	return append(terms, deep)
}

func make255(n int) []Term {
	ts := make([]Term, n)
	for i := range ts {
		ts[i] = int64(i)
	}
	return ts
}

func makePairs(n int) []Pair {
	ps := make([]Pair, n)
	for i := range ps {
		ps[i] = Pair{Key: Tuple{Atom("k"), int64(i)}, Value: Binary(fmt.Sprint(i))}
	}
	return ps
}

func TestNodeDecodesOurTerms(t *testing.T) {
	var bytes [][]byte
	var want []string
	for _, term := range ours() {
		b, err := AppendTerm(nil, term)
		if err != nil {
			t.Fatalf("%.200s: %v", text(term), err)
		}
		bytes, want = append(bytes, b), append(want, text(term))
	}
	for _, release := range releases { // funs and other terms that are kept raw
		for _, v := range readVectors(t, release) {
			term, err := Decode(v.term)
			if err != nil {
				t.Fatal(err)
			}
			b, err := AppendTerm(nil, term)
			if err != nil {
				t.Fatal(err)
			}
			bytes, want = append(bytes, b), append(want, v.text)
		}
	}
	rnd := newRand(t)
	for range 200 {
		term := genTerm(rnd, 3)
		b, err := AppendTerm(nil, term)
		if err != nil {
			t.Fatalf("%s: %v", text(term), err)
		}
		bytes, want = append(bytes, b), append(want, text(term))
	}
	// Improper with a list as its tail: a node has one form of list.
	for i := range want {
		want[i] = strings.ReplaceAll(want[i], "['a'|['b']]", "['a','b']")
	}
	// Functions that AppendTerm does not call append these.
	b := AppendListHeader(nil, 4)
	b = AppendUint64(b, math.MaxUint64)
	b = AppendUint64(b, math.MaxInt64+1)
	b = AppendUint64(b, 1)
	b = append(AppendBinaryHeader(b, 2), "ab"...)
	bytes, want = append(bytes, AppendNil(b)), append(want, "[18446744073709551615,9223372036854775808,1,<<16#6162>>]")

	for i, got := range nodeTexts(t, bytes) {
		if got != want[i] {
			t.Errorf("the node decodes another term\nsent %.400X\ngot  %.400s\nwant %.400s", bytes[i], got, want[i])
		}
	}
}

// Terms that Raw accepts may go back to the node unchanged. So the node must accept them, or it
// would end the connection. The terms are vectors with changed bytes.
func TestNodeTakesWhatWeTake(t *testing.T) {
	rnd := newRand(t)
	var terms [][]byte
	var want []string
	for _, release := range releases {
		for _, v := range readVectors(t, release) {
			if len(v.term) > 1000 {
				continue
			}
			for range 40 {
				b := mutate(rnd, v.term)
				r := NewReader(b)
				raw, err := r.Raw()
				if err != nil || r.Done() != nil {
					continue
				}
				term, err := Decode(raw)
				if err != nil {
					t.Fatalf("Raw took what Decode did not: %v: %X", err, b)
				}
				terms, want = append(terms, b), append(want, text(term))
			}
		}
	}
	if len(terms) < 1000 {
		t.Errorf("only %d terms were taken: the test shows little", len(terms))
	}
	for i, got := range nodeTexts(t, terms) {
		if got != want[i] {
			t.Errorf("the node differs\nsent %.400X\nnode %.400s\nwe   %.400s", terms[i], got, want[i])
		}
	}
}

// mutate changes one to three bytes of a term, mostly slightly.
func mutate(rnd *rand.Rand, term []byte) []byte {
	b := append([]byte(nil), term...)
	for range 1 + rnd.IntN(3) {
		i := rnd.IntN(len(b))
		switch rnd.IntN(4) {
		case 0:
			b[i] = byte(rnd.Uint32())
		case 1:
			b[i]++
		case 2:
			b[i]--
		case 3:
			b[i] ^= 1 << rnd.IntN(8)
		}
	}
	return b
}
