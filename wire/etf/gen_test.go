package etf

import (
	"encoding/binary"
	"flag"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

var seedFlag = flag.Uint64("seed", 0, "have tests take the random course of this seed again")

// newRand returns the source of a random test, and logs how to repeat it.
func newRand(t *testing.T) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("repeat with -seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// genTerm makes a term of any kind, in the form of Decode.
func genTerm(rnd *rand.Rand, depth int) Term {
	kinds := 16
	if depth == 0 {
		kinds = 12
	}
	switch rnd.IntN(kinds) {
	case 0:
		return int64(rnd.IntN(300))
	case 1:
		return int64(rnd.Uint64()) >> rnd.IntN(64)
	case 2:
		z := new(big.Int).Rsh(new(big.Int).SetUint64(rnd.Uint64()), uint(rnd.IntN(64)))
		z.Lsh(z, uint(rnd.IntN(2500))).Sub(z, big.NewInt(rnd.Int64N(1000)))
		if z.IsInt64() {
			return z.Int64()
		}
		if rnd.IntN(2) == 0 {
			z.Neg(z)
		}
		if z.IsInt64() {
			return z.Int64()
		}
		return z
	case 3:
		if f := math.Float64frombits(rnd.Uint64()); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
		return 0.5
	case 4:
		return []Atom{"ok", "true", "false", "undefined", "", "日本", "é"}[rnd.IntN(7)]
	case 5:
		name := make([]rune, rnd.IntN(256))
		for i := range name {
			name[i] = rune(1 + rnd.IntN(0xD000))
		}
		return Atom(name)
	case 6:
		return Binary(genBytes(rnd, 0, 100))
	case 7:
		return String(genBytes(rnd, 1, 100))
	case 8:
		used := 1 + rnd.IntN(7)
		b := genBytes(rnd, 1, 10)
		b[len(b)-1] = byte(rnd.IntN(1<<used)) << (8 - used)
		return BitString{Bytes: b, Bits: uint8(used)}
	case 9:
		return Pid{Node: genNode(rnd), ID: rnd.Uint32(), Serial: rnd.Uint32(), Creation: rnd.Uint32()}
	case 10:
		words := make([]uint32, 1+rnd.IntN(5))
		for i := range words {
			words[i] = rnd.Uint32() >> rnd.IntN(32)
		}
		return Raw(AppendNewRef(nil, genNode(rnd), rnd.Uint32(), words...))
	case 11:
		return Raw(appendPort(nil, genNode(rnd), rnd.Uint32N(1<<28), rnd.Uint32()))
	case 12:
		return Tuple(genTerms(rnd, depth-1, 0))
	case 13:
		if ts := genTerms(rnd, depth-1, 0); len(ts) > 0 {
			return List(ts)
		}
		return List(nil)
	case 14:
		tail := genTerm(rnd, 0)
		if _, ok := tail.(String); ok {
			tail = Atom("tail")
		}
		return Improper{Elems: genTerms(rnd, depth-1, 1), Tail: tail}
	}
	m := Map{}
	seen := map[string]bool{}
	for range rnd.IntN(40) {
		k := genTerm(rnd, depth-1)
		if rnd.IntN(2) == 0 {
			k = genTerm(rnd, 0)
		}
		if s := text(k); !seen[s] {
			seen[s] = true
			m = append(m, Pair{k, genTerm(rnd, depth-1)})
		}
	}
	return m
}

func genTerms(rnd *rand.Rand, depth, min int) []Term {
	ts := make([]Term, min+rnd.IntN(6))
	for i := range ts {
		ts[i] = genTerm(rnd, depth)
	}
	return ts
}

func genBytes(rnd *rand.Rand, min, max int) []byte {
	b := make([]byte, min+rnd.IntN(max))
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

func genNode(rnd *rand.Rand) Atom {
	return []Atom{"node@example", "日本@example", "n@10.0.0.1"}[rnd.IntN(3)]
}

// appendPort appends a port in the form that OTP 25 writes.
func appendPort(dst []byte, node Atom, id, creation uint32) []byte {
	dst = AppendAtom(append(dst, tagNewPort), node)
	dst = binary.BigEndian.AppendUint32(dst, id)
	return binary.BigEndian.AppendUint32(dst, creation)
}
