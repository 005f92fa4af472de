package dist_test

import (
	"bytes"
	"errors"
	"testing"

	"erluv/wire/dist"
)

func TestNext(t *testing.T) {
	for name, c := range map[string]struct {
		buf   string
		frame []byte // nil: none yet
		n     int
		err   bool
	}{
		"nothing":        {"", nil, 0, false},
		"half a length":  {"\x00\x00\x00", nil, 0, false},
		"tick":           {"\x00\x00\x00\x00", []byte{}, 4, false},
		"tick and more":  {"\x00\x00\x00\x00\x00\x00\x00\x01a", []byte{}, 4, false},
		"incomplete":     {"\x00\x00\x00\x03ab", nil, 0, false},
		"length alone":   {"\x00\x00\x00\x05", nil, 0, false},
		"whole":          {"\x00\x00\x00\x03abc", []byte("abc"), 7, false},
		"whole and more": {"\x00\x00\x00\x03abcdef", []byte("abc"), 7, false},
		"as long as may": {"\x00\x00\x00\x05abcde", []byte("abcde"), 9, false},
		"too long":       {"\x00\x00\x00\x06", nil, 0, true},
		"far too long":   {"\xff\xff\xff\xff", nil, 0, true},
	} {
		frame, n, err := dist.Next([]byte(c.buf), 5)
		if (frame == nil) != (c.frame == nil) || !bytes.Equal(frame, c.frame) || n != c.n {
			t.Errorf("%s: frame %q, %d bytes; want %q, %d", name, frame, n, c.frame, c.n)
		}
		if errors.Is(err, dist.ErrTooLong) != c.err || (err != nil) != c.err {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// Bytes appended to a frame must not overwrite the next frame.
func TestNextCapacity(t *testing.T) {
	buf := []byte("\x00\x00\x00\x01a\x00\x00\x00\x01b")
	frame, _, _ := dist.Next(buf, 1)
	_ = append(frame, 'x')
	if string(buf[5:]) != "\x00\x00\x00\x01b" {
		t.Errorf("the next frame became %q", buf[5:])
	}
}

func TestFrameLen(t *testing.T) {
	for buf, want := range map[string]int{
		"": -1, "\x00\x00\x00": -1, "\x00\x00\x00\x00": 0, "\x01\x00\x00\x02zzz": 0x1000002, "\xff\xff\xff\xff": 0xffffffff,
	} {
		n, ok := dist.FrameLen([]byte(buf))
		if ok != (want >= 0) || (ok && n != want) {
			t.Errorf("%q: %d, %t; want %d", buf, n, ok, want)
		}
	}
}

func TestWhole(t *testing.T) {
	const tick, frame = "\x00\x00\x00\x00", "\x00\x00\x00\x03\x70\x83x"
	for buf, want := range map[string]int{
		"": 0, "\x00\x00\x00": 0, tick: 4, frame: 7, tick + frame + tick: 15,
		frame + "\x00": 7, frame + frame[:6]: 7, tick + "\xff\xff\xff\xff": 4, "\xff\xff\xff\xff\x70": 0,
		"\x00\x00\x00\x01\x00": -1, frame + "\x00\x00\x00\x02\x71": -1, frame + tick + "\x00\x00\x00\x01\x83": -1,
	} {
		n, err := dist.Whole([]byte(buf))
		if (err != nil) != (want < 0) || err == nil && n != want {
			t.Errorf("%q: %d, %v; want %d", buf, n, err, want)
		}
	}
}
