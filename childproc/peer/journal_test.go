package peer

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"erluv/ipc"
	"erluv/ipc/journal"
	"erluv/wire/dist"
	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

// journaled is a connection without a socket. The test plays the kernel. After each step it checks
// that main would find what it needs if the child ended there.
type journaled struct {
	t       *testing.T
	c       *Peer
	journal *journal.Journal
	random  *rand.Rand

	toNode    []byte // all composed frames
	written   int    // bytes of them
	committed int    // bytes of them

	fromNode []byte // all bytes from the node
	read     int    // bytes of it
}

// silent is a host that only takes frames.
type silent struct{ frame func([]byte) }

func (h silent) Frame(f []byte)              { h.frame(f) }
func (silent) Oversized([]byte, int)         {}
func (silent) RoomAgain()                    {}
func (silent) Lost(error)                    {}
func (silent) Said(etf.Pid)                  {}
func (silent) NewPid() etf.Pid               { return etf.Pid{} }
func (silent) Ring()                         {}
func (silent) Resume(any)                    {}
func (silent) Regain(any, etf.Pid, etf.Term) {}
func (silent) Linger(any, Wait)              {}
func (silent) Stand(any, Wait, bool)         {}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newJournaled(t *testing.T, seed uint64, in []byte) *journaled {
	t.Helper()
	j, err := journal.New(in, 0)
	must(t, err)
	pages, err := journal.Map(j.FD())
	must(t, err)
	t.Cleanup(func() {
		_ = pages.Close()
		_ = j.Close()
	})
	c, err := New(nil, Given{FD: -1, Pages: pages}, etf.Pid{}, 0, silent{func([]byte) {}}, ipc.NoLogger())
	must(t, err)
	return &journaled{t: t, c: c, journal: j, random: rand.New(rand.NewPCG(seed, 0)), read: len(in)}
}

// noise fills frames, from any offset in its first part.
var noise = func() []byte {
	b := make([]byte, 4<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails, see its documentation
	return b
}()

// size returns a random size, mostly a small one.
func (s *journaled) size() int {
	switch k := s.random.IntN(100); {
	case k < 2:
		return s.random.IntN(3 << 20)
	case k < 30:
		return s.random.IntN(200 << 10)
	}
	return s.random.IntN(300)
}

func (s *journaled) frameOf(size int) []byte {
	b := make([]byte, dist.HeaderSize+size)
	binary.BigEndian.PutUint32(b, uint32(size))
	copy(b[dist.HeaderSize:], noise[s.random.IntN(1<<20):])
	if size > 0 {
		b[dist.HeaderSize] = 112
	}
	return b
}

// compose puts a frame into the outbox.
func (s *journaled) compose(size int) {
	o := s.c
	start := len(o.buf)
	o.buf = append(o.buf, s.frameOf(size)...)
	o.seal(start)
	s.toNode = append(s.toNode, o.buf[start:]...)
	s.look("composed")
}

// commit is Peer.Commit, one step at a time.
func (s *journaled) commit() {
	c := s.c
	c.publish()
	s.committed = len(s.toNode)
	s.look("committed")
	out := c.shift()
	s.look("out shifted")
	in := c.in.shift()
	s.look("in shifted")
	if out == 0 && in == 0 {
		return
	}
	c.publish()
	s.look("committed again")
	c.giveBack(c.mem, len(c.buf), out)
	c.giveBack(c.in.mem, c.in.have, in)
	s.look("given back")
}

// some is how many waiting bytes the kernel takes.
func (s *journaled) some() int {
	waiting := s.c.Waiting()
	if s.random.IntN(20) == 0 {
		return waiting
	}
	return s.random.IntN(min(waiting, 200<<10) + 1)
}

// write does what Peer.flush does.
func (s *journaled) write(n int) {
	s.commit()
	s.written += n
	s.look("written")
	s.c.Sent(n)
	s.commit()
}

// receive does what Peer.read does.
func (s *journaled) receive() {
	for len(s.fromNode) < s.read+readChunk {
		s.fromNode = append(s.fromNode, s.frameOf(s.size())...)
	}
	space := s.c.in.space()
	n := 1 + s.random.IntN(len(space))
	copy(space[:n], s.fromNode[s.read:])
	s.read += n
	s.look("read")
	s.c.in.have += n
	before := len(s.c.buf)
	s.c.frames()
	s.toNode = append(s.toNode, s.c.buf[before:]...) // answers to ticks
	s.look("handled")
}

// look checks what main would find, after written and read bytes.
func (s *journaled) look(when string) {
	s.t.Helper()
	r, err := s.journal.Read()
	if err != nil {
		s.t.Fatalf("%s: %v", when, err)
	}
	from, end := s.written-int(r.OutPos), int(r.OutPos)+r.OutLen
	if from < 0 || end != s.committed {
		s.t.Fatalf("%s: %d bytes were written, %d committed: %+v", when, s.written, s.committed, r)
	}
	frames := s.c.pages.Out[r.OutOff : r.OutOff+r.OutLen]
	if n, err := dist.Whole(frames); err != nil || n != len(frames) {
		s.t.Fatalf("%s: %d of %d bytes are whole frames, %v", when, n, len(frames), err)
	}
	if !bytes.Equal(frames[from:], s.toNode[s.written:s.committed]) {
		s.t.Fatalf("%s: the frames from %d are not those that were composed: %+v", when, s.written, r)
	}
	n := s.read - int(r.InPos)
	if n < r.InLen || !bytes.Equal(s.c.pages.In[r.InOff:r.InOff+n], s.fromNode[r.InPos:s.read]) {
		s.t.Fatalf("%s: what was read from %d to %d is not what was sent: %+v", when, r.InPos, s.read, r)
	}
}

// TestJournalSteps checks that the journal has all bytes that are not written or not handled,
// wherever the child ends.
func TestJournalSteps(t *testing.T) {
	for seed := range uint64(8) {
		s := newJournaled(t, seed, nil)
		for range 300 {
			switch s.random.IntN(4) {
			case 0, 1:
				s.compose(s.size())
			case 2:
				s.write(s.some())
			case 3:
				s.receive()
				s.commit()
			}
		}
	}
}

// TestJournalGivesBack checks that waiting bytes stay when memory is given back.
func TestJournalGivesBack(t *testing.T) {
	s := newJournaled(t, 0, nil)
	const some = bufferKept + bufferKept/2
	for range 2 {
		s.compose(some)
		s.commit()
	}
	for s.c.base > 0 || s.written == 0 {
		s.write(s.c.Waiting() / 2)
	}
	s.write(s.c.Waiting())
	if st := s.blocks(); st > 2*bufferKept {
		t.Errorf("nothing waits, and it costs %d bytes", st)
	}
}

// blocks is the memory that the journal uses, in bytes.
func (s *journaled) blocks() int64 {
	var st unix.Stat_t
	must(s.t, unix.Fstat(s.journal.FD(), &st))
	return st.Blocks * 512
}

// TestJournalHandedOver checks that a child begins with bytes that an earlier one has read.
func TestJournalHandedOver(t *testing.T) {
	s := newJournaled(t, 0, nil)
	frames := append(s.frameOf(100), s.frameOf(200)[:50]...)
	s = newJournaled(t, 0, frames)
	s.fromNode = append(s.fromNode, frames...)
	s.look("at the beginning")
	var got []int
	s.c.host = silent{func(f []byte) { got = append(got, len(f)) }}
	s.c.frames()
	s.look("handled")
	s.commit()
	if len(got) != 1 || got[0] != 100 {
		t.Errorf("frames of %v bytes", got)
	}
}
