package etf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/big"
	"os/exec"
	"strings"
	"testing"

	ergo "github.com/ergo-services/ergo/etf"
	"github.com/ergo-services/ergo/lib"
)

// The oracle is the codec of ergo v1.999.224, which shares no line with ours. The tests ask it only
// about terms that a node or this package made. They never ask it about other bytes, because it
// makes slices of any claimed size. They also ask it only about terms that it handles correctly.
// These are its faults:
//
//   - [] on its own: decoding it panics, encoding it does not end
//   - improper lists: they become proper ones, some without their tail
//   - bit strings: the number of bits is lost
//   - integers of 254 and 255 bytes: the length overflows a byte
//   - negative integers between 64 bits with and 64 bits without a sign: the sign is lost
//   - atoms in Latin-1 beyond ASCII: it reads them as UTF-8
//   - maps with keys that Go cannot hash: tuples are lost; lists, binaries and maps panic
//   - external funs: their parts are not counted; 64-bit ports
//   - references: their number of words is lost, and it writes 3; it reads 18 bits of the first word
//
// oracleTakes reports whether a term has none of these. For atoms it can only check whether they
// fit into Latin-1.
func oracleTakes(t Term, latin1 bool) bool {
	switch t := t.(type) {
	case int64, float64, Binary, String:
		return true
	case *big.Int:
		n := (t.BitLen() + 7) / 8
		return n != 254 && n != 255 && (n > 8 || t.Sign() > 0)
	case Atom:
		return oracleTakesAtom(t, latin1)
	case Pid:
		return oracleTakesAtom(t.Node, latin1)
	case List:
		return oracleTakesAll(t, latin1)
	case Tuple:
		return oracleTakesAll(t, latin1)
	case Map:
		for _, p := range t {
			switch p.Key.(type) {
			case int64, float64, Atom, String, Pid:
			default:
				return false
			}
			if !oracleTakes(p.Key, latin1) || !oracleTakes(p.Value, latin1) {
				return false
			}
		}
		return true
	case Raw:
		switch t[0] {
		case tagNewPort:
			return true
		case tagNewerRef:
			words := int(binary.BigEndian.Uint16(t[1:]))
			return words == 3 && binary.BigEndian.Uint32(t[len(t)-4*words:]) <= maxOldRef
		case tagNewFun:
			r := NewReader(t[30:])
			for r.Done() != nil {
				if part, err := r.Term(); err != nil || !oracleTakes(part, latin1) {
					return false
				}
			}
			return true
		}
	}
	return false
}

func oracleTakesAll(ts []Term, latin1 bool) bool {
	for _, t := range ts {
		if !oracleTakes(t, latin1) {
			return false
		}
	}
	return true
}

func oracleTakesAtom(a Atom, latin1 bool) bool {
	wide := strings.ContainsFunc(string(a), func(r rune) bool { return r > 0xFF })
	return !latin1 || wide || ascii([]byte(a))
}

// fromOracle turns a term of ergo's into ours.
func fromOracle(t ergo.Term) Term {
	switch t := t.(type) {
	case bool:
		return Atom(fmt.Sprint(t))
	case int:
		return int64(t)
	case uint64:
		return new(big.Int).SetUint64(t)
	case int64, float64, *big.Int:
		return t
	case ergo.Atom:
		return Atom(t)
	case string:
		return String(t)
	case []byte:
		return Binary(t)
	case ergo.List:
		return List(fromOracleAll(t))
	case ergo.Tuple:
		return Tuple(fromOracleAll(t))
	case ergo.Map:
		m := Map{}
		for k, v := range t {
			m = append(m, Pair{fromOracle(k), fromOracle(v)})
		}
		return m
	case ergo.Pid:
		return Pid{Node: Atom(t.Node), ID: uint32(t.ID), Serial: uint32(t.ID >> 32), Creation: t.Creation}
	case ergo.Ref:
		return Raw(AppendNewRef(nil, Atom(t.Node), t.Creation, t.ID[:3]...))
	case ergo.Port:
		return Raw(appendPort(nil, Atom(t.Node), t.ID, t.Creation))
	case ergo.Function:
		b := append([]byte{tagNewFun, 0, 0, 0, 0, t.Arity}, t.Unique[:]...)
		b = binary.BigEndian.AppendUint32(b, t.Index)
		b = binary.BigEndian.AppendUint32(b, uint32(len(t.FreeVars)))
		b = AppendInt(AppendInt(AppendAtom(b, Atom(t.Module)), int64(t.OldIndex)), int64(int32(t.OldUnique)))
		b = AppendPid(b, fromOracle(t.Pid).(Pid))
		for _, v := range t.FreeVars {
			var err error
			if b, err = AppendTerm(b, fromOracle(v)); err != nil {
				panic(err)
			}
		}
		binary.BigEndian.PutUint32(b[1:], uint32(len(b)-1))
		return Raw(b)
	}
	panic(fmt.Sprintf("what is a %T of ergo?", t))
}

func fromOracleAll(ts []ergo.Term) []Term {
	var out []Term
	for _, t := range ts {
		out = append(out, fromOracle(t))
	}
	return out
}

// toOracle turns a term of ours into ergo's. It fails for raw terms that ergo does not write.
func toOracle(t Term) (ergo.Term, bool) {
	switch t := t.(type) {
	case Atom:
		return ergo.Atom(t), true
	case String:
		return string(t), true
	case Binary:
		return []byte(t), true
	case List:
		return toOracleAll(ergo.List{}, t)
	case Tuple:
		l, ok := toOracleAll(ergo.List{}, t)
		return ergo.Tuple(l), ok
	case Map:
		m := ergo.Map{}
		for _, p := range t {
			k, ok := toOracle(p.Key)
			v, ok2 := toOracle(p.Value)
			if !ok || !ok2 {
				return nil, false
			}
			m[k] = v
		}
		return m, true
	case Pid:
		return ergo.Pid{Node: ergo.Atom(t.Node), ID: uint64(t.ID) | uint64(t.Serial)<<32, Creation: t.Creation}, true
	case Raw:
		if t[0] != tagNewerRef {
			return nil, false
		}
		r := NewReader(t[3:])
		node, _ := r.Atom()
		ref := ergo.Ref{Node: ergo.Atom(node), Creation: binary.BigEndian.Uint32(r.Rest())}
		for i := range 3 {
			ref.ID[i] = binary.BigEndian.Uint32(r.Rest()[4+4*i:])
		}
		return ref, true
	}
	return t, true
}

func toOracleAll(dst ergo.List, ts []Term) (ergo.List, bool) {
	for _, t := range ts {
		o, ok := toOracle(t)
		if !ok {
			return nil, false
		}
		dst = append(dst, o)
	}
	return dst, true
}

// checkWithOracle has ergo decode b, which encodes term.
func checkWithOracle(t *testing.T, name string, b []byte, term Term) {
	t.Helper()
	in := bytes.Clone(b) // ergo reverses the bytes of bignums in its input
	got, rest, err := ergo.Decode(in, nil, ergo.DecodeOptions{FlagBigPidRef: true})
	if err != nil || len(rest) != 0 {
		t.Errorf("%s: ergo: %v, %d bytes left of %X", name, err, len(rest), b)
		return
	}
	if o, we := text(fromOracle(got)), text(term); o != we {
		t.Errorf("%s: %X\nergo %s\nwe   %s", name, b, o, we)
	}
}

func isNil(t Term) bool {
	l, ok := t.(List)
	return ok && l == nil
}

func TestOracleReadsVectors(t *testing.T) {
	n := 0
	for _, release := range releases {
		for _, v := range readVectors(t, release) {
			term, err := Decode(v.term)
			if err != nil {
				t.Fatal(err)
			}
			latin1 := release == "otp25" || strings.Contains(v.name, "minor_version")
			if oracleTakes(term, latin1) && !isNil(term) {
				checkWithOracle(t, release+" "+v.name, v.term, term)
				n++
			}
		}
	}
	if n < 200 {
		t.Errorf("only %d vectors were compared", n)
	}
}

func TestOracleAgrees(t *testing.T) {
	rnd := newRand(t)
	read, written := 0, 0
	for range 5000 {
		term := genTerm(rnd, 3)
		if !oracleTakes(term, false) || isNil(term) {
			continue
		}
		b, err := AppendTerm(nil, term)
		if err != nil {
			t.Fatalf("%s: %v", text(term), err)
		}
		checkWithOracle(t, "random term", b, term)
		read++

		theirs, ok := toOracle(term)
		if !ok {
			continue
		}
		buf := lib.TakeBuffer()
		err = ergo.Encode(theirs, buf, ergo.EncodeOptions{FlagBigPidRef: true, FlagBigCreation: true})
		if err != nil {
			t.Errorf("ergo cannot encode %s: %v", text(term), err)
			continue
		}
		if got, err := Decode(buf.B); err != nil || text(got) != text(term) {
			t.Errorf("ergo wrote %X\nwe read %s, %v\nit was  %s", buf.B, text(got), err, text(term))
		}
		lib.ReleaseBuffer(buf)
		written++
	}
	if read < 1000 || written < 1000 {
		t.Errorf("only %d terms were read by the oracle, %d written", read, written)
	}
}

// The oracle is for tests: the built program must not contain it.
func TestOracleIsNotInTheProgram(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "./cmd/erluv")
	cmd.Dir = "../.."
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	program := false
	for dep := range strings.Lines(string(out)) {
		program = program || dep == "erluv/cmd/erluv\n"
		if strings.Contains(dep, "ergo") {
			t.Errorf("cmd/erluv is built from %s", dep)
		}
	}
	if !program {
		t.Errorf("%v does not name erluv/cmd/erluv:\n%s", cmd.Args, out)
	}
}
