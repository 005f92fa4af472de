package etf

import (
	"bytes"
	"testing"
)

var iodata = []struct {
	name, hex string
	want      string
	err       error
}{
	{"binary", "6D 00000002 6162", "ab", nil},
	{"empty binary", "6D 00000000", "", nil},
	{"empty list", "6A", "", nil},
	{"string", "6B 0003 6162FF", "ab\xff", nil},
	{"list", "6C 00000003 6161 6D000000026263 6B00026465 6A", "abcde", nil},
	{"binary as tail", "6C 00000001 6161 6D000000026263", "abc", nil},
	{"string as tail", "6C 00000001 6161 6B00026263", "abc", nil},
	{"list as tail", "6C 00000001 6161 6C00000001 6162 6D0000000163", "abc", nil},
	{"nested", "6C 00000002 6C00000001 6C00000001 6161 6A 6A 6C00000001 6162 6A 6A", "ab", nil},
	{"after a list with a tail", "6C 00000002 6C00000001 6161 6D0000000162 6163 6A", "abc", nil},
	{"integer in five bytes", "6C 00000001 62000000FF 6A", "\xff", nil},
	{"binary as bit string", "4D 00000001 08 61", "a", nil},

	{"integer", "6161", "", errNotIOData},
	{"integer as tail", "6C 00000001 6161 6162", "", errNotIOData},
	{"integer as tail of the second", "6C 00000002 6A 6C00000001 6161 6162 6A", "", errNotIOData},
	{"256", "6C 00000001 62 00000100 6A", "", errNotIOData},
	{"-1", "6C 00000001 62 FFFFFFFF 6A", "", errNotIOData},
	{"atom", "770161", "", errNotIOData},
	{"atom in list", "6C 00000002 6161 770161 6A", "", errNotIOData},
	{"bit string", "6C 00000001 4D0000000101 80 6A", "", errNotIOData},
	{"tuple", "6801 6161", "", errNotIOData},
	{"truncated", "6C 00000002 6161", "", errTruncated},
	{"no tail", "6C 00000001 6161", "", errTruncated},
	{"bytes behind", "6D 00000001 61 61", "", errTrailing},
	{"nothing", "", "", errTruncated},
}

func TestAppendIOData(t *testing.T) {
	for _, c := range iodata {
		raw := Raw(unhex(t, c.hex))
		got, err := AppendIOData([]byte("> "), raw, 100)
		if string(got) != "> "+c.want || err != c.err {
			t.Errorf("%s: %q, %v, want %q, %v", c.name, got, err, "> "+c.want, c.err)
		}
		n, err := IODataSize(raw, 100)
		if n != len(c.want) || err != c.err {
			t.Errorf("%s: size %d, %v, want %d, %v", c.name, n, err, len(c.want), c.err)
		}
	}
}

func TestIODataBound(t *testing.T) {
	for _, s := range []string{"6D 00000003 616263", "6B 0003 616263", "6C 00000003 6161 6162 6163 6A"} {
		raw := Raw(unhex(t, s))
		if got, err := AppendIOData(nil, raw, 3); string(got) != "abc" || err != nil {
			t.Errorf("%s: %q, %v", s, got, err)
		}
		if got, err := AppendIOData([]byte("x"), raw, 2); string(got) != "x" || err != ErrTooLarge {
			t.Errorf("%s: %q, %v, want %v", s, got, err, ErrTooLarge)
		}
		if _, err := IODataSize(raw, 2); err != ErrTooLarge {
			t.Errorf("%s: size: %v, want %v", s, err, ErrTooLarge)
		}
	}
}

// Code that repeats [Acc, "x"] makes iodata that is as deep as it is long. Any program that writes
// to a port may do so.
func TestIODataOfAnyDepth(t *testing.T) {
	const n = 200_000
	b := bytes.Repeat([]byte("\x6C\x00\x00\x00\x02"), n)
	b = append(b, tagNil)
	b = append(b, bytes.Repeat([]byte("\x61x\x6A"), n)...)
	r := NewReader(b)
	raw, err := r.Raw()
	if err != nil || r.Done() != nil {
		t.Fatalf("Raw: %v", err)
	}
	if got, err := AppendIOData(nil, raw, n); len(got) != n || err != nil {
		t.Errorf("%d bytes, %v, want %d", len(got), err, n)
	}
	if got := allocated(func() { IODataSize(raw, n) }); got > uint64(8*len(b)) {
		t.Errorf("%d lists in lists, %d bytes: allocated %d", n, len(b), got)
	}
}
