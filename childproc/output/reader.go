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
	Outlet *Outlet // where its answer waits for room
	Busy   bool    // it waits for something else

	call Call // of a read of whatever comes; zero: it is another
}

// Taker is given what has been read and not delivered, and says how much of it it has taken
// and whether it is done; with ended there is no more to come, and it is done at the latest
// with nothing left.
type Taker interface {
	Take(k *Kept, ended bool) (n int, done bool)
}

// Takes is a Taker that is a function.
type Takes func(k *Kept, ended bool) (n int, done bool)

// Take: see Taker.
func (f Takes) Take(k *Kept, ended bool) (int, bool) { return f(k, ended) }

const (
	// MaxReaders is how many calls may wait for output of one stream.
	MaxReaders = 1024

	// MaxGot bounds what one request of the I/O protocol gets, in bytes; a longer line comes
	// in pieces.
	MaxGot = 1 << 20
)

// Call is a call {read, Stream, Max}.
type Call struct {
	Ask    dist.Ask
	By     Asker
	Limit  int  // bytes
	Direct bool // it can be given what comes without a copy: see Room
}

// Asker is who makes a call.
type Asker interface {
	Reply(etf.Term)
	Give() // the answer has been said
}

// readCall is a Call that waits.
type readCall struct {
	Reader
	o *Output
	h Host
}

// Read has a call wait for output.
func (o *Output) Read(h Host, s workers.Stream, to *Outlet, c Call) {
	r := &readCall{o: o, h: h}
	r.Reader = Reader{Taker: r, Outlet: to, call: c}
	o.Await(s, &r.Reader)
}

// Take: see Taker.
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
	case n == 0 && ended: // the last line has no end, or the last packet is cut off
		data, n = b, len(b)
	case n == 0:
		return 0, false
	}
	r.call.By.Reply(gen.OK(r.o.Packet.term(data)))
	return n, true
}

// Await has a reader wait for output.
func (o *Output) Await(s workers.Stream, r *Reader) {
	st := o.stream(s)
	st.asked = true
	st.traffic().readers = append(st.busy.readers, r)
}

// Readers is how many wait for a stream.
func (o *Output) Readers(s workers.Stream) int {
	if st := o.stream(s); st.busy != nil {
		return len(st.busy.readers)
	}
	return 0
}

// Open says whether a stream is a pipe, or was one.
func (o *Output) Open(h Host, s workers.Stream) bool {
	return !o.stream(s).kept && (o.stream(s).ended || h.Worker().Open(s) || h.Worker().State() == workers.Starting)
}

// PutBack gives back what the first reader of a stream, which is busy, has taken too much.
func (o *Output) PutBack(s workers.Stream, rest []byte) { o.stream(s).busy.remainder.PutBack(rest) }

// Done: the first reader of a stream, which was busy, has been answered.
func (o *Output) Done(s workers.Stream) { o.stream(s).busy.served() }

// serveReaders gives the calls that wait what is there. False: there is no room for
// more answers.
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

// EndReaders answers those who still wait for output of a worker that is over.
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
