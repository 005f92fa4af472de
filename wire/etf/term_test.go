package etf

import (
	"bytes"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	for _, c := range []struct {
		term Term
		want string
		ok   bool
	}{
		{Binary("caf\xc3\xa9"), "café", true},
		{Binary("\xff\x00"), "\xff\x00", true},
		{Binary(nil), "", true},
		{String("abc"), "abc", true},
		{String("caf\xe9"), "café", true},
		{List{int64('a'), int64(0x65E5), int64(0x1F427)}, "a日🐧", true},
		{List(nil), "", true},
		{List{int64(0xD800)}, "", false},
		{List{int64(0x110000)}, "", false},
		{List{int64(-1)}, "", false},
		{List{int64(1<<32 + 'a')}, "", false},
		{List{Binary("a")}, "", false},
		{List{String("a")}, "", false},
		{Improper{Elems: []Term{int64('a')}, Tail: Binary("b")}, "", false},
		{Atom("a"), "", false},
		{int64(97), "", false},
		{nil, "", false},
	} {
		if got, ok := Text(c.term); got != c.want || ok != c.ok {
			t.Errorf("%#v: %q, %v, want %q, %v", c.term, got, ok, c.want, c.ok)
		}
	}
}

func TestElements(t *testing.T) {
	for _, c := range []struct {
		term Term
		want List
		ok   bool
	}{
		{List{Atom("a"), int64(300)}, List{Atom("a"), int64(300)}, true},
		{List(nil), List(nil), true},
		{String("\x01\xff"), List{int64(1), int64(255)}, true},
		{Improper{Elems: []Term{int64('a')}, Tail: Binary("b")}, nil, false},
		{Binary("a"), nil, false},
		{nil, nil, false},
	} {
		if got, ok := Elements(c.term); !reflect.DeepEqual(got, c.want) || ok != c.ok {
			t.Errorf("%#v: %#v, %v, want %#v, %v", c.term, got, ok, c.want, c.ok)
		}
	}
}

func TestAtomValid(t *testing.T) {
	for a, want := range map[Atom]bool{
		"": true, "a": true, "日本": true, "\x00": true, "\xff": false, "\xed\xa0\x80": false,
		Atom(strings.Repeat("a", 255)): true, Atom(strings.Repeat("a", 256)): false,
		Atom(strings.Repeat("🐧", 255)): true, Atom(strings.Repeat("🐧", 256)): false,
		Atom(strings.Repeat("é", 200) + "\xff"): false,
	} {
		if got := a.Valid(); got != want {
			t.Errorf("%.20q of %d bytes: %v, want %v", a, len(a), got, want)
		}
	}
}

// A term that cannot be encoded leaves dst unchanged.
func TestEncodeRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		term Term
		why  string
	}{
		{"nil", nil, "cannot encode a <nil>"},
		{"int", 5, "cannot encode a int"},
		{"string", "text", "cannot encode a string"},
		{"nil integer", (*big.Int)(nil), "nil *big.Int"},
		{"in a tuple", Tuple{Atom("a"), uint8(1)}, "cannot encode a uint8"},
		{"in a map", Map{{Atom("a"), true}}, "cannot encode a bool"},
		{"as a key", Map{{true, Atom("a")}}, "cannot encode a bool"},
		{"as a tail", Improper{Elems: []Term{int64(1)}}, "cannot encode a <nil>"},
		{"not a number", math.NaN(), "no finite number"},
		{"infinity", math.Inf(-1), "no finite number"},
		{"long atom", Atom(strings.Repeat("a", 256)), "atom"},
		{"atom of no UTF-8", Atom("\xff"), "atom"},
		{"node of a pid", Pid{Node: "\xff"}, "atom"},
		{"no bits", BitString{Bytes: []byte{1}}, "bit string"},
		{"8 bits", BitString{Bytes: []byte{1}, Bits: 8}, "bit string"},
		{"bits of nothing", BitString{Bits: 3}, "bit string"},
		{"bits not used", BitString{Bytes: []byte{0xFF}, Bits: 3}, "bit string"},
		{"tail alone", Improper{Tail: Atom("a")}, "improper"},
		{"empty raw", Raw(nil), "no node would decode: etf: term is truncated"},
		{"half a raw", Raw{tagSmallInt}, "no node would decode: etf: term is truncated"},
		{"two in a raw", Raw{tagNil, tagNil}, "raw term"},
		{"bad raw", Raw{0}, "unknown tag"},
		{"same key", Map{{int64(1), Atom("a")}, {int64(1), Atom("b")}}, "same key"},
		{"same key in two forms", Map{{String("\x01"), Atom("a")}, {List{int64(1)}, Atom("b")}}, "same key"},
		{"large integer", new(big.Int).Lsh(big.NewInt(1), 8*maxBigBytes), "cannot encode"},
	} {
		got, err := AppendTerm([]byte("before"), c.term)
		if string(got) != "before" || err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %q, %v, want an error with %q", c.name, got, err, c.why)
		}
	}
}

func TestAppendAtomPanicsRatherThanBreakFrame(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an atom of 65536 bytes was written")
		}
	}()
	AppendAtom(nil, Atom(bytes.Repeat([]byte("a"), 1<<16)))
}
