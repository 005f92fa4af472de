package output

import (
	"erluv/childproc/order"
	"erluv/childproc/peer"
	"erluv/wire/etf"
	"erluv/workers"
)

// Stream is stdout, stderr or another output of a worker, with its receivers and the calls that
// wait for it.
type Stream struct {
	to    *order.Receivers // nil: the owner
	busy  *traffic         // nil: there was no output, and no call waits
	no    workers.Stream
	asked bool // a call has read, so a call may wait for the end
	ended bool // the pipe has ended
	told  bool // and the receivers know it
	kept  bool // it has no receivers: it is read for the log alone
}

// traffic is the active part of a stream. Most streams have always been silent.
type traffic struct {
	remainder Kept // bytes read from the pipe that are no whole packet, or were not requested
	readers   []*Reader
	debts     []*peer.Debt // see debtsOf
	later     *Outlet      // the outlet whose unserved has it; nil: none

	// had has the receivers that got the first packet of the remainder, while there is no room for
	// the others.
	had []etf.Pid
}

// traffic makes the stream's traffic, if there is none yet.
func (st *Stream) traffic() *traffic {
	if st.busy == nil {
		st.busy = &traffic{}
	}
	return st.busy
}

// served removes the first reader, which has been answered.
func (t *traffic) served() {
	t.readers[0] = nil
	t.readers = t.readers[1:]
}

// had returns the receivers that already got the bytes for which others still wait.
func (st *Stream) had() []etf.Pid {
	if st.busy == nil {
		return nil
	}
	return st.busy.had
}

// remainder is how many bytes were read and not delivered.
func (st *Stream) remainder() int {
	if st.busy == nil {
		return 0
	}
	return st.busy.remainder.Len()
}

// awaited reports whether a call waits for output.
func (st *Stream) awaited() bool { return st.busy != nil && len(st.busy.readers) > 0 }

// wanted reports whether a call waits for more bytes than there are. If the call is busy, the
// stream is read only up to MaxGot.
func (st *Stream) wanted() bool {
	return st.awaited() && (!st.busy.readers[0].Busy || st.remainder() < MaxGot)
}

// unserved reports whether the stream waits for room to deliver more.
func (st *Stream) unserved() bool { return st.busy != nil && st.busy.later != nil }

// delivered reports whether no output is left for calls that read on demand.
func (st *Stream) delivered() bool {
	return st.remainder() == 0 && (st.told || !st.asked) && !(st.ended && st.awaited())
}

func (o *Output) stream(s workers.Stream) *Stream {
	i := int(s - workers.Stdout)
	for i >= len(o.streams) || o.streams[i].no != s { // a further stream; there are few
		i--
	}
	return &o.streams[i]
}

// Streams yields the numbers of the streams, in order.
func (o *Output) Streams(yield func(workers.Stream) bool) {
	for i := range o.streams {
		if !yield(o.streams[i].no) {
			return
		}
	}
}

// Has reports whether there is a stream s.
func (o *Output) Has(s workers.Stream) bool {
	for no := range o.Streams {
		if no == s {
			return true
		}
	}
	return false
}

// Remainder is the output of a stream that was read and not delivered.
func (o *Output) Remainder(s workers.Stream) Kept {
	if st := o.stream(s); st.busy != nil {
		return st.busy.remainder
	}
	return Kept{}
}

// Remains reports whether any stream has such output.
func (o *Output) Remains() bool {
	for i := range o.streams {
		if o.streams[i].remainder() > 0 {
			return true
		}
	}
	return false
}
