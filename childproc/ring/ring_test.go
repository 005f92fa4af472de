package ring

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// text returns all output that a query selects, with its streams.
func text(r *Ring, q Query) string {
	var b strings.Builder
	found, _, _ := r.Read(q)
	for _, p := range found {
		fmt.Fprintf(&b, "%d@%d:%s ", p.Stream, p.At, p.Data)
	}
	return strings.TrimSuffix(b.String(), " ")
}

func TestRead(t *testing.T) {
	r := NewRoom(1 << 20).New(MinSize)
	r.Put(1, 10, []byte("a\n"))
	r.Put(1, 10, []byte("b")) // the same piece
	r.Put(2, 10, []byte("c\n"))
	r.Put(1, 20, []byte("d\ne"))
	for _, c := range []struct {
		want string
		Query
	}{
		{"1@10:a\nb 2@10:c\n 1@20:d\ne", Query{Lines: AllLines}},
		{"1@20:d\ne", Query{Lines: AllLines, Since: 11}},
		{"2@10:c\n", Query{Lines: AllLines, Stream: 2}},
		{"1@20:e", Query{Lines: 1}},
		{"1@20:d\ne", Query{Lines: 2}},
		{"1@10:b 2@10:c\n 1@20:d\ne", Query{Lines: 3}},
		{"1@10:b 2@10:c\n", Query{Lines: 1, Before: 5}},
		{"2@10:\n 1@20:d\ne", Query{Lines: AllLines, From: 4}},
		{"1@20:d", Query{Lines: AllLines, From: 5, Before: 6}},
		{"", Query{Lines: 0}},
	} {
		if got := text(r, c.Query); got != c.want {
			t.Errorf("%+v: %q, want %q", c.Query, got, c.want)
		}
	}
	if _, next, lost := r.Read(Query{From: 3, Lines: AllLines}); next != 8 || lost != 0 {
		t.Errorf("next %d, lost %d", next, lost)
	}
}

// TestAsWritten writes output in random pieces. A ring must have the last of it, within its memory.
// A reader must get every kept byte, and learn how many are gone.
func TestAsWritten(t *testing.T) {
	for seed := range uint64(12) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		room := NewRoom(1 << 20)
		r := room.New(MinSize << rnd.IntN(4))
		var all, read []byte
		from, missed := uint64(0), uint64(0)
		for i := range 300 {
			data := make([]byte, 1+rnd.IntN(1<<rnd.IntN(16)))
			for j := range data {
				data[j] = byte(rnd.Uint32())
			}
			r.Put(1, int64(i/3), data)
			all = append(all, data...)
			s := r.State()
			if r.memory > r.size || room.used != r.memory || s.Held+int(s.Lost) != len(all) {
				t.Fatalf("seed %d: %d of %d bytes of memory, %+v", seed, r.memory, r.size, s)
			}
			if rnd.IntN(4) > 0 {
				continue
			}
			found, next, lost := r.Read(Query{From: from, Lines: AllLines})
			read = append(read, make([]byte, lost)...)
			for _, p := range found {
				read = append(read, p.Data...)
			}
			from, missed = next, missed+lost
			if !bytes.Equal(read[len(read)-s.Held:], all[len(all)-s.Held:]) || len(read) != len(all) {
				t.Fatalf("seed %d: read %d bytes, %d missed, of %d", seed, len(read), missed, len(all))
			}
		}
		// Large pieces need little memory for their heads, and the ring is full except for a chunk.
		r.Put(1, 1000, make([]byte, 2*r.size))
		if s := r.State(); s.Held < s.Size*3/4 {
			t.Errorf("seed %d: it holds %d of %d bytes", seed, s.Held, s.Size)
		}
	}
}

// TestLittleOutput checks that little output takes little memory.
func TestLittleOutput(t *testing.T) {
	room := NewRoom(1 << 20)
	r := room.New(MaxSize)
	if room.used != 0 {
		t.Errorf("a ring takes %d bytes before there is output", room.used)
	}
	r.Put(1, 0, []byte("hello\n"))
	if room.used != firstChunk {
		t.Errorf("a line takes %d bytes", room.used)
	}
}

// TestNoRoom checks that the rings of ended programs go first, in their order. After that, rings do
// not grow, and a ring without memory keeps nothing.
func TestNoRoom(t *testing.T) {
	room := NewRoom(3 * MinSize)
	fill := func(r *Ring) { r.Put(1, 0, bytes.Repeat([]byte("x"), MinSize)) }
	a, b, c := room.New(MinSize), room.New(MinSize), room.New(MinSize)
	for _, r := range []*Ring{a, b, c} {
		fill(r)
	}
	b.Close()
	a.Close()
	d := room.New(MinSize)
	d.Put(1, 0, []byte("first"))
	if b.State().Held != 0 || b.State().Lost != MinSize || a.State().Held == 0 || c.State().Held == 0 {
		t.Errorf("a %+v, b %+v, c %+v", a.State(), b.State(), c.State())
	}
	fill(d)
	e := room.New(MinSize)
	fill(e)
	if a.State().Held != 0 || e.State().Held == 0 {
		t.Errorf("a %+v, e %+v", a.State(), e.State())
	}
	f := room.New(MinSize)
	fill(f)
	f.Put(1, 0, []byte("last"))
	if s := f.State(); s.Held != 0 || s.Lost != MinSize+4 || room.used > room.total {
		t.Errorf("without room there is %+v, and %d of %d bytes are in use", s, room.used, room.total)
	}
	fill(c)
	if got := text(c, Query{Lines: AllLines}); !strings.HasSuffix(got, "xxxx") {
		t.Errorf("a full ring has %q", got)
	}
	e.Drop()
	f.Put(1, 1, []byte("room"))
	if got := text(f, Query{Lines: AllLines}); got != "1@1:room" {
		t.Errorf("with room again there is %q", got)
	}
	for _, r := range []*Ring{a, b, c, d, e, f} {
		r.Drop()
	}
	if room.used != 0 || len(room.over) != 0 {
		t.Errorf("%d bytes are in use, %d have ended", room.used, len(room.over))
	}
}

// TestPutCostsNothing checks that a full ring allocates no memory for output. Only its list of
// chunks grows now and then.
func TestPutCostsNothing(t *testing.T) {
	r := NewRoom(1 << 20).New(64 << 10)
	data := bytes.Repeat([]byte("x"), 64<<10)
	r.Put(1, 0, data)
	at := int64(0)
	if n := testing.AllocsPerRun(1000, func() { at++; r.Put(1, at, data[:100]) }); n > 0.1 {
		t.Errorf("%v allocations for a line", n)
	}
}

func BenchmarkPut(b *testing.B) {
	for _, n := range []int{100, 4 << 10, 64 << 10, 256 << 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r, data := NewRoom(1<<20).New(64<<10), make([]byte, n)
			b.SetBytes(int64(n))
			for b.Loop() {
				r.Put(1, 0, data)
			}
		})
	}
}
