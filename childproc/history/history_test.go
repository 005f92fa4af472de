package history

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"erluv/childproc/ring"
	"erluv/ipc"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// memfd makes the memory of a history of most ends, as main does.
func memfd(t *testing.T, most uint32) int {
	t.Helper()
	fd, err := unix.MemfdCreate("history", unix.MFD_CLOEXEC)
	if err == nil {
		err = unix.Ftruncate(fd, ipc.HistorySize(most))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func entry(id uint32, cause Cause) *Entry {
	return &Entry{
		ID: id, Serial: 2, Creation: 3, Name: "web", Command: "sleep\x00" + fmt.Sprint(id), User: "nobody", OSPID: 100 + int(id),
		Started: time.UnixMilli(1000 + int64(id)), Ended: time.UnixMilli(2000), Restarts: 4, Kept: true, Cause: cause,
		Exit: workers.Exit{Signal: unix.SIGSEGV, Core: true}, CPU: time.Second, MemoryPeak: 5000,
	}
}

func running(id uint32) *Entry {
	return &Entry{ID: id, Command: "run", Started: time.UnixMilli(1000 + int64(id)), CPU: -1, MemoryPeak: -1}
}

// ids returns the workers of the ends, the last first.
func ids(h *History) (list []uint32) {
	for e := range h.All {
		list = append(list, e.ID)
	}
	return list
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// TestTheNextChild checks that the next child knows the ends of a child and the programs that ran,
// and that the one after it does too.
func TestTheNextChild(t *testing.T) {
	fd := memfd(t, 4)
	h := New(4, fd)
	for id := range uint32(6) {
		h.Runs(uint64(id), entry(id, ""))
	}
	for _, id := range []uint32{1, 0} {
		h.Ends(uint64(id), entry(id, Timeout))
	}
	h.Runs(9, running(9))
	h.Forget(9) // a run that has succeeded
	equal(t, "ends", ids(h), []uint32{0, 1})

	for range 2 {
		h = New(4, fd)
		// Four could run with room for them. The ends of 0 and 1 made no room for 4 and 5.
		equal(t, "ends in the next child", ids(h), []uint32{3, 2, 0, 1})
		e := h.Find(func(e *Entry) bool { return e.ID == 3 })
		if e.Cause != ChildCrashed || time.Since(e.Ended) > time.Minute || e.CPU != -1 || e.Log != nil || !e.Kept {
			t.Errorf("%+v", e)
		}
		e, want := h.Find(func(e *Entry) bool { return e.ID == 1 }), entry(1, Timeout)
		want.slot, want.seq = e.slot, e.seq
		if *e != *want {
			t.Errorf("%+v, want %+v", e, want)
		}
	}
	h.Ends(7, entry(7, Exited))
	h.Amend(7, 2, Intensity)
	h = New(4, fd)
	equal(t, "ends after another", ids(h), []uint32{7, 3, 2, 0})
	equal(t, "the cause", h.Find(func(e *Entry) bool { return e.ID == 7 }).Cause, Intensity)
	for id := range uint32(100) {
		h.Runs(uint64(id), running(id))
		h.Ends(uint64(id), entry(id, Exited))
	}
	equal(t, "the last", ids(New(4, fd)), []uint32{99, 98, 97, 96})
	equal(t, "of a smaller history", ids(New(0, fd)), []uint32{})
}

func TestNone(t *testing.T) {
	h := New(0, -1)
	h.Runs(1, running(1))
	room := ring.NewRoom(1 << 20)
	r := room.New(ring.MinSize)
	r.Put(1, 0, []byte("x"))
	e := entry(1, Exited)
	e.Log = r
	h.Ends(1, e)
	h.Close(r)
	if h.Len() != 0 || h.On() || r.State().Held != 0 {
		t.Errorf("%d ends, %+v", h.Len(), r.State())
	}
}

// TestLogs checks that a log exists as long as an end of its worker is known.
func TestLogs(t *testing.T) {
	h, room := New(2, -1), ring.NewRoom(1<<20)
	a := room.New(ring.MinSize)
	a.Put(1, 0, []byte("a"))
	first, second := entry(1, Exited), entry(1, Exited)
	first.Log, second.Log = a, a
	h.Ends(1, first)
	h.Ends(1, second)
	h.Ends(2, entry(2, Exited))
	if a.State().Held != 1 {
		t.Error("the log of a worker that runs is gone")
	}
	h.Close(a)
	if a.State().Held != 1 {
		t.Error("the log of an end that is known is gone")
	}
	h.Ends(3, entry(3, Exited))
	if a.State().Held != 0 {
		t.Error("the log of a forgotten end is there")
	}
}

// TestLongest checks that the longest texts fit into a slot.
func TestLongest(t *testing.T) {
	e := entry(1<<32-1, ChildCrashed)
	e.Serial, e.Creation, e.Restarts, e.OSPID = 1<<32-1, 1<<32-1, -1<<63, -1<<63
	e.Started, e.Ended = time.UnixMilli(-1<<63), time.UnixMilli(-1<<63)
	e.Exit.Status, e.Exit.Signal, e.CPU, e.MemoryPeak, e.seq = -1<<63, -1<<63, -1<<63, -1<<63, 1<<63-1
	long := strings.Repeat("x", 5000)
	e.Command, e.User, e.Cause, e.Name = long, long, Cause(long), long[:100]
	b := e.encode()
	got, err := decode(append(b, make([]byte, ipc.HistorySlot-len(b))...))
	if len(b) > ipc.HistorySlot || err != nil || got.Command != long[:CutCommand]+"..." || got.Name != e.Name {
		t.Errorf("%d bytes: %+v, %v", len(b), got, err)
	}
}

// TestGarbage checks that a child begins with any content that another has left.
func TestGarbage(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		fd := memfd(t, 3)
		h := New(3, fd)
		for id := range uint32(5) {
			h.Runs(uint64(id), running(id))
			if rnd.IntN(2) > 0 {
				h.Ends(uint64(id), entry(id, Exited))
			}
		}
		for range 1 + rnd.IntN(20) {
			b := make([]byte, 1+rnd.IntN(40))
			for i := range b {
				b[i] = byte(rnd.Uint32())
			}
			if _, err := unix.Pwrite(fd, b, rnd.Int64N(ipc.HistorySize(3)-40)); err != nil {
				t.Fatal(err)
			}
		}
		h = New(3, fd)
		h.Ends(7, entry(7, Exited))
		if list := ids(h); len(list) > 3 || list[0] != 7 || !slices.Equal(ids(New(3, fd)), list) {
			t.Fatalf("seed %d: %v, then %v", seed, list, ids(New(3, fd)))
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(entry(1, Exited).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := decode(b); err == nil && len(e.encode()) > ipc.HistorySlot {
			t.Errorf("%+v", e)
		}
	})
}
