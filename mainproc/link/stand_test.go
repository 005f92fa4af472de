package link

import (
	"encoding/binary"
	"io"
	"math"
	"net"
	"strings"
	"testing"

	"erluv/ipc/journal"

	"golang.org/x/sys/unix"
)

// frameOf returns a frame of n bytes, its length included.
func frameOf(n int) []byte {
	b := make([]byte, n)
	binary.BigEndian.PutUint32(b, uint32(n-4))
	b[4] = 112
	for i := 5; i < n; i++ {
		b[i] = byte(i)
	}
	return b
}

func journalOf(t testing.TB, r journal.Record, out, in []byte) *journal.Journal {
	t.Helper()
	j, err := journal.New(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	p, err := journal.Map(j.FD())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	copy(p.Out[min(r.OutOff, len(p.Out)):], out)
	copy(p.In[min(r.InOff, len(p.In)):], in)
	p.Commit(&r)
	return j
}

func journalEmpty(t *testing.T) *journal.Journal {
	t.Helper()
	j, err := journal.New(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestRecall(t *testing.T) {
	out := string(frameOf(10)) + "\x00\x00\x00\x00" + string(frameOf(20)) // 34 bytes
	in := string(frameOf(30)) + string(frameOf(12)[:7])                   // 37 bytes
	r := journal.Record{OutPos: 1000, OutOff: 64, OutLen: 34, InPos: 5000, InOff: 7, InLen: 30}
	skipping := r
	skipping.InLen, skipping.InSkip = 0, 30
	far := r
	far.InOff, far.InLen = journal.InSize-10, 10
	over := r
	over.Over = true
	for name, tt := range map[string]struct {
		r             journal.Record
		out, in       string
		written, read uint64
		want          stand
		err           string
	}{
		"nothing was written":     {r: r, out: out, in: in, written: 1000, read: 5037, want: stand{Out: []byte(out), In: []byte(in)}},
		"within a frame":          {r: r, out: out, in: in, written: 1017, read: 5037, want: stand{Out: []byte(out[17:]), In: []byte(in)}},
		"all was written":         {r: r, out: out, in: in, written: 1034, read: 5037, want: stand{In: []byte(in)}},
		"nothing more was read":   {r: r, out: out, in: in, written: 1034, read: 5030, want: stand{In: []byte(in[:30])}},
		"less than a length":      {r: skipping, out: out, in: in, written: 1034, read: 5033, want: stand{In: []byte(in[30:33])}},
		"all is skipped":          {r: skipping, out: out, in: in, written: 1034, read: 5030},
		"the first of it":         {r: skipping, out: out, in: in, written: 1034, read: 5000, want: stand{Skip: 30}},
		"more than that":          {r: skipping, out: out, in: in, written: 1034, read: 5010, want: stand{Skip: 20}},
		"what follows is a frame": {r: skipping, out: out, in: in, written: 1034, read: 5037, want: stand{In: []byte(in[30:])}},

		"written before":      {r: r, out: out, in: in, written: 999, read: 5037, err: "999 bytes were written"},
		"written beyond":      {r: r, out: out, in: in, written: 1035, read: 5037, err: "1035 bytes were written"},
		"written far beyond":  {r: r, out: out, in: in, written: math.MaxUint64, read: 5037, err: "bytes were written"},
		"read before":         {r: r, out: out, in: in, written: 1034, read: 4999, err: "4999 bytes were read"},
		"read less":           {r: r, out: out, in: in, written: 1034, read: 5029, err: "5029 bytes were read"},
		"read beyond":         {r: far, out: out, in: in[:10], written: 1034, read: 5011, err: "the room ends"},
		"read far beyond":     {r: r, out: out, in: in, written: 1034, read: math.MaxUint64, err: "the room ends"},
		"skipped far beyond":  {r: skipping, out: out, in: in, written: 1034, read: math.MaxUint64, err: "the room ends"},
		"what a frame holds":  {r: r, out: out[:33] + "\x00", in: in, written: 1017, read: 5037, want: stand{Out: []byte(out[17:33] + "\x00"), In: []byte(in)}},
		"a frame too long":    {r: r, out: out[:13] + "\x01" + out[14:], in: in, written: 1034, read: 5037, err: "begins with"},
		"a frame beyond":      {r: r, out: "\x00\x00\x00\x7f\x70" + out[5:], in: in, written: 1034, read: 5037, err: "no whole frame"},
		"a frame too short":   {r: r, out: "\x00\x00\x00\x01\x70" + out[5:], in: in, written: 1034, read: 5037, err: "begins with"},
		"junk to be written":  {r: r, out: strings.Repeat("\xff", 34), in: in, written: 1034, read: 5037, err: "begins with"},
		"junk was read":       {r: r, out: out, in: strings.Repeat("\x01", 37), written: 1034, read: 5037, err: "begins with"},
		"given up":            {r: over, out: out, in: in, written: 1034, read: 5037, err: "given the connection up"},
		"a record that wraps": {r: journal.Record{OutPos: math.MaxUint64, OutLen: 1}, written: 0, read: 0, err: "0 bytes were written"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := recall(journalOf(t, tt.r, []byte(tt.out), []byte(tt.in)), tt.written, tt.read)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("%+v, %v; want %q", got, err, tt.err)
				}
				return
			}
			if err != nil || string(got.Out) != string(tt.want.Out) || string(got.In) != string(tt.want.In) || got.Skip != tt.want.Skip {
				t.Errorf("%+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

// FuzzRecall: for any journal, recall returns exactly the bytes between the connection's position
// and the journal's.
func FuzzRecall(f *testing.F) {
	out, in := append(frameOf(10), frameOf(20)...), append(frameOf(30), frameOf(12)[:7]...)
	f.Add(uint64(0), uint64(0), uint64(30), uint64(0), uint64(0), uint64(30), uint64(0), uint64(17), uint64(37), out, in)
	f.Add(uint64(9), uint64(5), uint64(30), uint64(9), uint64(8), uint64(0), uint64(30), uint64(9), uint64(30), out, in)
	f.Add(uint64(0), uint64(journal.OutSize), uint64(0), uint64(1), uint64(journal.InSize), uint64(0), uint64(1<<32), uint64(0), uint64(1<<40), out, in)
	f.Add(uint64(math.MaxUint64), uint64(1), uint64(1), uint64(math.MaxUint64), uint64(1), uint64(1), uint64(0), uint64(0), uint64(0), out, in)
	j, err := journal.New(nil, 0)
	if err != nil {
		f.Fatal(err)
	}
	defer j.Close()
	p, err := journal.Map(j.FD())
	if err != nil {
		f.Fatal(err)
	}
	defer p.Close()
	f.Fuzz(func(t *testing.T, outPos, outOff, outLen, inPos, inOff, inLen, skip, written, read uint64, out, in []byte) {
		if max(outOff, outLen, inOff, inLen, skip) > math.MaxInt64 {
			return // journal.FuzzJournal tests these
		}
		r := journal.Record{OutPos: outPos, OutOff: int(outOff), OutLen: int(outLen), InPos: inPos, InOff: int(inOff), InLen: int(inLen), InSkip: int(skip)}
		copy(p.Out[min(r.OutOff, len(p.Out)):], out)
		copy(p.In[min(r.InOff, len(p.In)):], in)
		p.Commit(&r)
		s, err := recall(j, written, read)
		if err != nil {
			return
		}
		if written+uint64(len(s.Out)) != outPos+outLen {
			t.Errorf("%d bytes written of %+v: %d are left", written, r, len(s.Out))
		}
		if s.Skip > 0 && len(s.In) > 0 || s.Skip < 0 || s.Skip > r.InSkip {
			t.Errorf("%d bytes read of %+v: %d kept, %d skipped", read, r, len(s.In), s.Skip)
		}
		if s.Skip == 0 && inPos+skip+uint64(len(s.In)) != read {
			t.Errorf("%d bytes read of %+v: %d kept", read, r, len(s.In))
		}
	})
}

// pair returns a TCP connection: our descriptor, raw as in main, and the node's end.
func pair(t *testing.T) (fd int, node *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ours, err := newPlain(c)
	if err != nil {
		t.Fatal(err)
	}
	fd = ours.fd
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Close(fd)
		_ = other.Close()
	})
	return fd, other.(*net.TCPConn)
}

func positioned(t *testing.T, fd int) position {
	t.Helper()
	p, err := plain{fd}.position()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPosition: the position is exact in all states of the queues, and during all acts of the peer.
func TestPosition(t *testing.T) {
	fd, node := pair(t)
	base := positioned(t, fd)
	moved := func(written, read uint64) {
		t.Helper()
		now := positioned(t, fd)
		if now.written-base.written != written || now.read-base.read != read {
			t.Errorf("%d bytes written, %d read; want %d, %d", now.written-base.written, now.read-base.read, written, read)
		}
	}
	moved(0, 0)
	if _, err := unix.Write(fd, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	moved(1000, 0)
	if _, err := io.ReadFull(node, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	moved(1000, 0)
	if _, err := node.Write(make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	moved(1000, 0) // arrived, and not read
	buf := make([]byte, 3000)
	n, err := unix.Read(fd, buf)
	if err != nil {
		t.Fatal(err)
	}
	moved(1000, uint64(n))
	total := uint64(1000)
	for err == nil { // until the socket is full: the peer's is too
		var k int
		if k, err = unix.Write(fd, make([]byte, 100_000)); k > 0 {
			total += uint64(k)
		}
	}
	if err != unix.EAGAIN {
		t.Fatal(err)
	}
	moved(total, uint64(n))

	// The peer reads and writes at the same time.
	done := make(chan error, 1)
	go func() {
		_, err := io.CopyN(node, node, int64(total-1000))
		done <- err
	}()
	for read := uint64(n); ; {
		moved(total, read)
		k, err := unix.Read(fd, buf)
		if k > 0 {
			read += uint64(k)
		}
		if err == unix.EAGAIN {
			select {
			case err := <-done:
				if err != nil {
					t.Fatal(err)
				}
				done = nil
			default:
				continue
			}
		}
		if done == nil && read == 5000+total-1000 {
			break
		}
	}
}

func TestNoPosition(t *testing.T) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[1])
	defer unix.Close(p[0])
	if got, err := (plain{p[0]}).position(); err == nil || !strings.Contains(err.Error(), "TCP_INFO") {
		t.Errorf("no TCP: %v, %v", got, err)
	}
	closed := func(name string, f func(fd int, node *net.TCPConn)) {
		t.Helper()
		fd, node := pair(t)
		f(fd, node)
		// POLLRDHUP comes when the peer's end has arrived.
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}, int(waitBound.Milliseconds()))
		if got, err := (plain{fd}).position(); err == nil || !strings.Contains(err.Error(), "being closed") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	closed("closed by the peer", func(_ int, node *net.TCPConn) { _ = node.CloseWrite() })
	closed("reset by the peer", func(_ int, node *net.TCPConn) {
		_ = node.SetLinger(0)
		_ = node.Close()
	})
	closed("closed by us", func(fd int, node *net.TCPConn) {
		_ = unix.Shutdown(fd, unix.SHUT_WR)
		_ = node.CloseWrite()
	})
}

// TestStanding: a child gets a connection in the middle, twice.
func TestStanding(t *testing.T) {
	fd, node := pair(t)
	var in []byte // of the child before
	for round := range 3 {
		base := positioned(t, fd)
		base.read -= uint64(len(in))
		out, frame := frameOf(100), frameOf(50)
		if _, err := node.Write(frame[len(in):]); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(fd, out[:40]); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(waitBound.Milliseconds())); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 20)
		if _, err := unix.Read(fd, got); err != nil {
			t.Fatal(err)
		}
		have := append(append([]byte(nil), in...), got...)
		j := journalOf(t, journal.Record{OutOff: 9, OutLen: 100, InOff: 5, InLen: len(in)}, out, have)
		s, err := standing(plain{fd}, base, j)
		if err != nil || string(s.Out) != string(out[40:]) || string(s.In) != string(frame[:len(have)]) || s.Skip != 0 {
			t.Fatalf("round %d: %d bytes to be written, %d read, %v", round, len(s.Out), len(s.In), err)
		}
		if _, err := standing(plain{fd}, position{base.written + 1<<20, base.read}, j); err == nil {
			t.Error("a connection that stands before its base")
		}
		if _, err := unix.Write(fd, s.Out); err != nil {
			t.Fatal(err)
		}
		whole := make([]byte, 100)
		if _, err := io.ReadFull(node, whole); err != nil || string(whole) != string(out) {
			t.Fatalf("the node has read %x, %v", whole, err)
		}
		// The rest of the frame, as main writes it, up to the next child's beginning.
		rest := make([]byte, 50-len(have))
		if n, err := unix.Read(fd, rest); err != nil || n != len(rest) || string(rest) != string(frame[len(have):]) {
			t.Fatalf("%d bytes of the rest, %v", n, err)
		}
		in = nil
		if round == 0 { // the next child gets half of a frame
			if _, err := node.Write(frame[:10]); err != nil {
				t.Fatal(err)
			}
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(waitBound.Milliseconds())); err != nil {
				t.Fatal(err)
			}
			in = make([]byte, 10)
			if _, err := unix.Read(fd, in); err != nil {
				t.Fatal(err)
			}
		}
	}
}
