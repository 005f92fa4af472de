package etf

import (
	"bytes"
	"reflect"
	"strconv"
	"testing"
)

// seed adds all vectors, and the terms of the tests that are refused or accepted on purpose.
func seed(f *testing.F) {
	for _, release := range releases {
		for _, v := range readVectors(f, release) {
			f.Add(v.term)
		}
	}
	for _, c := range refused {
		f.Add(unhex(f, c.hex))
	}
	for _, c := range accepted {
		f.Add(unhex(f, c.hex))
	}
}

// FuzzDecode checks the laws of the decoder. It accepts the terms that Raw accepts, unless they are
// too deep. It allocates memory in proportion. Its result is written and read again as the same
// term.
func FuzzDecode(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		r := NewReader(b)
		raw, rawErr := r.Raw()
		if rawErr == nil {
			rawErr = r.Done()
		}
		var term Term
		var err error
		if got := allocated(func() { term, err = Decode(b) }); got > uint64(perByte*len(b)+slack) {
			t.Errorf("%d bytes made Decode allocate %d", len(b), got)
		}
		if err != rawErr && err != ErrDepth {
			t.Fatalf("Decode: %v, Raw: %v", err, rawErr)
		}
		if !bytes.Equal(b, before) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			return
		}
		if !bytes.Equal(raw, b) {
			t.Errorf("Raw gave %X of %X", raw, b)
		}
		out, err := AppendTerm(nil, term)
		if err != nil {
			t.Fatalf("cannot encode %s: %v", text(term), err)
		}
		again, err := Decode(out)
		if err != nil {
			t.Fatalf("cannot decode %X, which was encoded: %v", out, err)
		}
		if !reflect.DeepEqual(again, term) || text(again) != text(term) {
			t.Errorf("decoded, encoded, decoded:\n%s\n%s", text(term), text(again))
		}
		if more, _ := AppendTerm(nil, again); !bytes.Equal(more, out) {
			t.Errorf("encoded otherwise the second time:\n%X\n%X", out, more)
		}
	})
}

// FuzzRaw: the length of a term does not depend on the bytes behind it.
func FuzzRaw(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(b)
		var whole []byte
		for {
			rest := len(r.Rest())
			raw, err := r.Raw()
			if err != nil {
				if len(r.Rest()) != rest {
					t.Fatal("Raw failed and moved")
				}
				break
			}
			alone := NewReader(raw)
			if again, err := alone.Raw(); err != nil || !bytes.Equal(again, raw) {
				t.Fatalf("alone, %X is %X, %v", raw, again, err)
			}
			whole = append(whole, raw...)
		}
		if !bytes.Equal(append(whole, r.Rest()...), b) {
			t.Errorf("the pieces of %X are %X", b, whole)
		}
	})
}

// FuzzReader calls the methods in any order. None panics, none moves on failure, and each agrees
// with Term about what it read.
func FuzzReader(f *testing.F) {
	for _, release := range releases {
		for _, v := range readVectors(f, release) {
			f.Add(v.term, []byte("\x00\x03\x05\x08\x01\x09"))
		}
	}
	f.Fuzz(func(t *testing.T, b, calls []byte) {
		r := NewReader(b)
		for _, c := range calls {
			ahead, rest := r, len(r.Rest())
			read, err := call(&r, c)
			if err != nil {
				if len(r.Rest()) != rest {
					t.Fatalf("call %d failed and moved", c%10)
				}
				continue
			}
			if len(r.Rest()) >= rest {
				t.Fatalf("call %d read nothing", c%10)
			}
			if want, err := ahead.Term(); err == nil && !read(want) {
				t.Errorf("call %d: is %s", c%10, text(want))
			}
		}
	})
}

// call calls a method of the Reader. It returns a function that tells whether a term is the one
// that was read.
func call(r *Reader, c byte) (func(Term) bool, error) {
	switch c % 10 {
	case 0:
		n, err := r.Tuple()
		return func(t Term) bool { v, ok := t.(Tuple); return ok && len(v) == n }, err
	case 1:
		n, err := r.List()
		return func(t Term) bool {
			if v, ok := t.(Improper); ok {
				return len(v.Elems) >= n
			}
			v, ok := t.(List)
			return ok && len(v) >= n // more if the tail is a list
		}, err
	case 2:
		n, err := r.Map()
		return func(t Term) bool { v, ok := t.(Map); return ok && len(v) == n }, err
	case 3:
		a, err := r.Atom()
		return func(t Term) bool { return t == a }, err
	case 4:
		n, err := r.Int()
		return func(t Term) bool { return t == n }, err
	case 5:
		n, err := r.Uint64()
		return func(t Term) bool { return text(t) == strconv.FormatUint(n, 10) }, err
	case 6:
		p, err := r.Pid()
		return func(t Term) bool { return t == p }, err
	case 7:
		b, err := r.Binary()
		return func(t Term) bool { v, ok := t.(Binary); return ok && bytes.Equal(v, b) }, err
	case 8:
		raw, err := r.Raw()
		return func(t Term) bool { v, err := Decode(raw); return err == nil && text(v) == text(t) }, err
	}
	err := r.Nil()
	return func(t Term) bool { v, ok := t.(List); return ok && v == nil }, err
}

// FuzzIOData compares with a textbook way of flattening.
func FuzzIOData(f *testing.F) {
	seed(f)
	for _, c := range iodata {
		f.Add(unhex(f, c.hex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		term, err := Decode(b)
		if err != nil {
			return // AppendIOData accepts only raw terms
		}
		want, ok := flatten(nil, term, false)
		got, err := AppendIOData([]byte("before"), Raw(b), len(want))
		if ok != (err == nil) {
			t.Fatalf("%s: iodata: %v, %v", text(term), ok, err)
		}
		n, sizeErr := IODataSize(Raw(b), len(want))
		if sizeErr != err {
			t.Errorf("size: %v, bytes: %v", sizeErr, err)
		}
		if !ok {
			want = nil
		}
		if string(got) != "before"+string(want) || n != len(want) {
			t.Errorf("%s: %q of %d bytes, want %q", text(term), got, n, want)
		}
		if len(want) > 0 {
			if _, err := AppendIOData(nil, Raw(b), len(want)-1); err != ErrTooLarge {
				t.Errorf("%s: limited to a byte less: %v", text(term), err)
			}
		}
	})
}

// flatten appends the bytes of iodata. Integers count only in a list.
func flatten(dst []byte, t Term, inList bool) ([]byte, bool) {
	switch t := t.(type) {
	case int64:
		return append(dst, byte(t)), inList && t >= 0 && t <= 255
	case Binary:
		return append(dst, t...), true
	case String:
		return append(dst, t...), true
	case List:
		return flattenAll(dst, t)
	case Improper:
		dst, ok := flattenAll(dst, t.Elems)
		if !ok {
			return dst, false
		}
		return flatten(dst, t.Tail, false)
	}
	return dst, false
}

func flattenAll(dst []byte, ts []Term) ([]byte, bool) {
	ok := true
	for _, t := range ts {
		if dst, ok = flatten(dst, t, true); !ok {
			return dst, false
		}
	}
	return dst, true
}
