package journal

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func newJournal(t testing.TB, in []byte, skip int) *Journal {
	t.Helper()
	j, err := New(in, skip)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func mapJournal(t testing.TB, j *Journal) *Pages {
	t.Helper()
	p, err := Map(j.FD())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func TestJournal(t *testing.T) {
	j := newJournal(t, []byte("begun"), 0)
	p := mapJournal(t, j)
	if first, err := p.First(); err != nil || first != (Record{InLen: 5}) || string(p.In[:5]) != "begun" {
		t.Errorf("the child begins with %+v, %v, %q", first, err, p.In[:5])
	}
	copy(p.Out[OutSize-4:], "last")
	copy(p.In[InSize-3:], "end")
	r := Record{
		OutPos: 1 << 40, OutOff: OutSize - 4, OutLen: 4,
		InPos: 1 << 50, InOff: InSize - 3, InLen: 3,
	}
	for range 3 { // in both places
		r.OutPos++
		p.Commit(&r)
		got, err := j.Read()
		if diff := cmp.Diff(r, got); diff != "" || err != nil {
			t.Errorf("%v, committed and read: %s", err, diff)
		}
	}
	if out, err := j.Out(r.OutOff, r.OutLen); err != nil || string(out) != "last" {
		t.Errorf("%q, %v", out, err)
	}
	if in, err := j.In(r.InOff, r.InLen); err != nil || string(in) != "end" {
		t.Errorf("%q, %v", in, err)
	}
	// A commit has no effect before its last store.
	p.slot(p.gen + 1)[0] = 7
	if got, err := j.Read(); err != nil || got != r {
		t.Errorf("after half of a commit: %+v, %v", got, err)
	}
	last := Record{InSkip: maxSkip, Over: true}
	p.Commit(&last)
	if got, err := j.Read(); err != nil || got != last {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestJournalCopies: main's copies do not change afterwards.
func TestJournalCopies(t *testing.T) {
	j := newJournal(t, nil, 9)
	p := mapJournal(t, j)
	copy(p.Out, "before")
	out, err := j.Out(0, 6)
	if err != nil {
		t.Fatal(err)
	}
	copy(p.Out, "after!")
	if string(out) != "before" {
		t.Errorf("%q", out)
	}
	for _, at := range [][2]int{{-1, 1}, {0, -1}, {OutSize, 1}, {OutSize + 1, 0}, {1, OutSize}, {math.MaxInt, math.MaxInt}} {
		if b, err := j.Out(at[0], at[1]); err == nil {
			t.Errorf("%d bytes at %d: %d bytes", at[1], at[0], len(b))
		}
	}
}

// TestJournalSealed: the size of the memory cannot be changed. A change could kill a process that
// maps it.
func TestJournalSealed(t *testing.T) {
	j := newJournal(t, nil, 0)
	for _, size := range []int64{0, memSize - 1, memSize + 1} {
		if err := unix.Ftruncate(j.FD(), size); err != unix.EPERM {
			t.Errorf("made %d bytes long: %v", size, err)
		}
	}
	if _, err := unix.FcntlInt(uintptr(j.FD()), unix.F_ADD_SEALS, unix.F_SEAL_WRITE); err != unix.EPERM {
		t.Errorf("sealed again: %v", err)
	}
	if flags, err := unix.FcntlInt(uintptr(j.FD()), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("not close-on-exec: %d, %v", flags, err)
	}
}

// TestJournalMemory: only used memory is allocated, and Free gives it back.
func TestJournalMemory(t *testing.T) {
	blocks := func(j *Journal) int64 {
		var st unix.Stat_t
		if err := unix.Fstat(j.FD(), &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512
	}
	j := newJournal(t, nil, 0)
	p := mapJournal(t, j)
	empty := blocks(j)
	if empty > 4*headSize {
		t.Errorf("an empty journal costs %d bytes", empty)
	}
	const used = 8 << 20
	for i := 0; i < used; i += 4096 {
		p.Out[i] = 1
	}
	if n := blocks(j); n < used {
		t.Errorf("%d bytes for %d", n, used)
	}
	p.Free(p.Out[:used])
	p.Free(p.Out[used:used])
	if n := blocks(j); n != empty || p.Out[0] != 0 {
		t.Errorf("after it was given back %d bytes, before %d; a byte %d", n, empty, p.Out[0])
	}
}

func TestNoJournal(t *testing.T) {
	fd, err := unix.MemfdCreate("other", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := Map(fd); err == nil || !strings.Contains(err.Error(), "no journal") {
		t.Errorf("an empty memfd: %v", err)
	}
	if _, err := Map(-1); err == nil {
		t.Error("no descriptor at all was mapped")
	}
	j := newJournal(t, nil, 0)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Read(); err == nil {
		t.Error("a closed journal was read")
	}
	if err := j.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if _, err := New(make([]byte, InSize+1), 0); err == nil {
		t.Error("a journal with more than its room holds")
	}
}

// TestJournalTooLarge: a limit for the size of files is an error, not a signal that would end main.
func TestJournalTooLarge(t *testing.T) {
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	small := was
	small.Cur = memSize - 1
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	_, err := New(nil, 0)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if err == nil || !strings.Contains(err.Error(), "ulimit -f") {
		t.Errorf("%v", err)
	}
}

// hostile are records with false values.
var hostile = map[string][8]uint64{
	"frames behind the room":       {0, OutSize + 1},
	"frames beyond the room":       {0, 1, OutSize},
	"frames of all there is":       {0, 0, math.MaxUint64},
	"frames from the end of all":   {0, math.MaxUint64, 1},
	"read behind the room":         {0, 0, 0, 0, InSize + 1},
	"read beyond the room":         {0, 0, 0, 0, InSize, 1},
	"read to where it wraps":       {0, 0, 0, 0, math.MaxUint64, math.MaxUint64},
	"more than a frame to skip":    {0, 0, 0, 0, 0, 0, maxSkip + 1},
	"kept and skipped":             {0, 0, 0, 0, 0, 1, 1},
	"neither over nor not":         {0, 0, 0, 0, 0, 0, 0, 2},
	"over with something of above": {0, 0, OutSize + 1, 0, 0, 0, 0, 1},
}

// header is the header of a journal with the same record in both places.
func header(gen uint64, w [8]uint64) []byte {
	b := make([]byte, 3*recordSize)
	binary.NativeEndian.PutUint64(b, gen)
	for i, v := range w {
		binary.NativeEndian.PutUint64(b[recordSize+8*i:], v)
		binary.NativeEndian.PutUint64(b[2*recordSize+8*i:], v)
	}
	return b
}

func TestHostileJournal(t *testing.T) {
	j := newJournal(t, nil, 0)
	for name, w := range hostile {
		for gen := range uint64(2) {
			if _, err := unix.Pwrite(j.FD(), header(gen, w), 0); err != nil {
				t.Fatal(err)
			}
			if r, err := j.Read(); err == nil {
				t.Errorf("%s: %+v", name, r)
			}
		}
	}
}

// FuzzJournal: with any header, an accepted record lies within the rooms and encodes to the same
// words.
func FuzzJournal(f *testing.F) {
	for _, w := range hostile {
		f.Add(header(math.MaxUint64, w))
	}
	f.Add(header(0, [8]uint64{1, 2, 3, 4, 5, 6, 0, 0}))
	f.Add(header(1, [8]uint64{math.MaxUint64, OutSize, 0, math.MaxUint64, InSize, 0, maxSkip, 1}))
	j := newJournal(f, nil, 0)
	f.Fuzz(func(t *testing.T, b []byte) {
		head := make([]byte, 3*recordSize)
		copy(head, b)
		if _, err := unix.Pwrite(j.FD(), head, 0); err != nil {
			t.Fatal(err)
		}
		r, err := j.Read()
		if err != nil {
			return
		}
		if _, err := j.Out(r.OutOff, min(r.OutLen, 1<<10)); err != nil {
			t.Error(err)
		}
		if _, err := j.In(r.InOff, min(r.InLen, 1<<10)); err != nil {
			t.Error(err)
		}
		if r.OutLen > OutSize-r.OutOff || r.InLen > InSize-r.InOff || r.InSkip < 0 {
			t.Errorf("%+v", r)
		}
		w := r.words()
		if again, err := recordOf(w); err != nil || again != r || !bytes.Contains(head, header(0, w)[recordSize:2*recordSize]) {
			t.Errorf("%+v is written as %v, which is read as %+v, %v", r, w, again, err)
		}
	})
}
