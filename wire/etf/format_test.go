package etf

import (
	"math/big"
	"testing"
)

func TestFormat(t *testing.T) {
	huge, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	pid := Pid{Node: "a@h", ID: 91, Serial: 2, Creation: 7}
	for want, term := range map[string]Term{
		"ok":                     Atom("ok"),
		"a@h":                    Atom("a@h"),
		"'A b'":                  Atom("A b"),
		"'end'":                  Atom("end"),
		"''":                     Atom(""),
		`'it\'s'`:                Atom("it's"),
		"-7":                     int64(-7),
		huge.String():            huge,
		"1.0":                    1.0,
		"-0.25":                  -0.25,
		"1.0e+300":               1e300,
		"1.5e-10":                1.5e-10,
		"[]":                     List(nil),
		`"text"`:                 String("text"),
		`"a\n\"b\"\\\t\r"`:       String("a\n\"b\"\\\t\r"),
		"[1,2,3]":                String{1, 2, 3},
		`"grün, €"`:              List{int64('g'), int64('r'), int64('ü'), int64('n'), int64(','), int64(' '), int64('€')},
		"[a,[]]":                 List{Atom("a"), List(nil)},
		"[a,b|c]":                Improper{Elems: []Term{Atom("a"), Atom("b")}, Tail: Atom("c")},
		"{}":                     Tuple{},
		"{ok,{a}}":               Tuple{Atom("ok"), Tuple{Atom("a")}},
		"#{}":                    Map{},
		"#{a => 1,b => 2}":       Map{{Atom("a"), int64(1)}, {Atom("b"), int64(2)}},
		`<<"text">>`:             Binary("text"),
		`<<"ü"/utf8>>`:           Binary("ü"),
		"<<>>":                   Binary{},
		"<<255,0>>":              Binary{255, 0},
		"<<1,5:3>>":              BitString{Bytes: []byte{1, 0xa0}, Bits: 3},
		"<a@h.91.2>":             pid,
		`<\x{1b}[31m@h.1.0>`:     Pid{Node: "\x1b[31m@h", ID: 1},
		`'\x{1b}[31m'`:           Atom("\x1b[31m"),
		"[27,91,51,49,109]":      String("\x1b[31m"),
		"#Ref<a@h.1.2.3>":        Raw(AppendNewRef(nil, "a@h", 7, 1, 2, 3)),
		"fun erlang:'apply x'/3": Raw("q\x77\x06erlang\x77\x07apply xa\x03"),
		"#Port<a@h>":             Raw("\x59\x77\x03a@h\x00\x00\x00\x01\x00\x00\x00\x02"),
		"#Ref<>":                 Raw("\x72\x00\x01\x77\x03a@h\x01\x00\x00\x00\x01"),
		"#Unknown<>":             Raw{},
	} {
		if got := Format(term); got != want {
			t.Errorf("%#v: %s, want %s", term, got, want)
		}
	}
}
