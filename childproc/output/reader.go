package output

import (
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"
)

// Reader is a call that waits for output.
type Reader struct {
	Taker
	Outlet *Outlet // its answer waits for room there
	Busy   bool    // it waits for another event

	call Call // of a read of any bytes; zero for other readers
}

// Taker gets the bytes that were read and not delivered. It returns how many it took, and whether
// it is done. If ended is set, no more bytes will come, and it must be done once none are left.
type Taker interface {
	Take(k *Kept, ended bool) (n int, done bool)
}

// Takes is a function as a Taker.
type Takes func(k *Kept, ended bool) (n int, done bool)

// Take is the method of Taker.
func (f Takes) Take(k *Kept, ended bool) (int, bool) { return f(k, ended) }

const (
	// MaxReaders is the maximum number of calls that may wait for output of one stream.
	MaxReaders = 1024

	// MaxGot is the maximum number of bytes that one request of the I/O protocol gets. A longer
	// line comes in pieces.
	MaxGot = 1 << 20
)

// Call is a call {read, Stream, Max}.
type Call struct {
	Ask    dist.Ask
	By     Asker
	Limit  int  // bytes
	Direct bool // it can get bytes without a copy: see Room
}

// Asker is the process that makes a call.
type Asker interface {
	Reply(etf.Term)
	Give() // the answer was sent
}

// readCall is a Call that waits.
type readCall struct {
	Reader
	o *Output
	h Host
}

// Read makes a call wait for output.
func (o *Output) Read(h Host, s workers.Stream, to *Outlet, c Call) {
	r := &readCall{o: o, h: h}
	r.Reader = Reader{Taker: r, Outlet: to, call: c}
	o.Await(s, &r.Reader)
}

// Take is the method of Taker.
func (r *readCall) Take(k *Kept, ended bool) (int, bool) {
	b := k.Bytes()
	data, n, err := r.o.Packet.Cut(k, r.call.Limit)
	switch {
	case err != nil:
		r.o.malformed(r.h)
		return k.Len(), false
	case len(b) == 0:
		r.call.By.Reply(etf.Atom("eof"))
		return 0, true
	case r.o.Packet.Raw() && n > r.call.Limit:
		data, n = b[:r.call.Limit], r.call.Limit
	case n == 0 && ended: // the last line has no end, or the last packet is incomplete
		data, n = b, len(b)
	case n == 0:
		return 0, false
	}
	r.call.By.Reply(gen.OK(r.o.Packet.term(data)))
	return n, true
}

// Await makes a reader wait for output.
func (o *Output) Await(s workers.Stream, r *Reader) {
	st := o.stream(s)
	st.asked = true
	st.traffic().readers = append(st.busy.readers, r)
}

// Readers returns how many readers wait for a stream.
func (o *Output) Readers(s workers.Stream) int {
	if st := o.stream(s); st.busy != nil {
		return len(st.busy.readers)
	}
	return 0
}

// Open reports whether a stream is a pipe, or was one.
func (o *Output) Open(h Host, s workers.Stream) bool {
	return !o.stream(s).kept && (o.stream(s).ended || h.Worker().Open(s) || h.Worker().State() == workers.Starting)
}

// PutBack gives back bytes that the first reader of a stream, which is busy, took in excess.
func (o *Output) PutBack(s workers.Stream, rest []byte) { o.stream(s).busy.remainder.PutBack(rest) }

// Done removes the first reader of a stream, which was busy and has been answered.
func (o *Output) Done(s workers.Stream) { o.stream(s).busy.served() }

// serveReaders gives waiting calls the bytes that are there. It returns false if there is no room
// for more answers.
func (st *Stream) serveReaders() bool {
	t := st.busy
	for st.awaited() && !t.readers[0].Busy && (t.remainder.Len() > 0 || st.ended) {
		if !t.readers[0].Outlet.Roomy() {
			return false
		}
		st.told = st.told || st.ended && t.remainder.Len() == 0
		n, done := t.readers[0].Take(&t.remainder, st.ended)
		t.remainder.Take(n)
		if n > 0 {
			t.had = nil
		}
		if !done {
			break
		}
		t.served()
	}
	return true
}

// EndReaders answers readers that still wait for output of an ended worker.
func (o *Output) EndReaders(h Host) {
	for i := range o.streams {
		if st := &o.streams[i]; st.awaited() {
			st.ended = true
			if !st.serveReaders() {
				o.serveLater(h, st)
			}
		}
	}
}
