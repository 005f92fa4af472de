package output

import (
	"erluv/childproc/order"
	"erluv/childproc/peer"
	"erluv/wire/etf"
	"erluv/workers"
)

// Stream is stdout, stderr or another output of a worker as the node sees it: to
// whom it goes, and who waits to read.
type Stream struct {
	to    *order.Receivers // nil: the owner
	busy  *traffic         // nil: nothing has come yet, and nobody waits
	no    workers.Stream
	asked bool // somebody has read, so somebody may wait for the end
	ended bool // the pipe has ended
	told  bool // and it was told
	kept  bool // it goes to nobody: it is read for the log alone
}

// traffic is what is going on in a stream. Most have been silent from the beginning.
type traffic struct {
	remainder Kept // read from the pipe, and no whole packet, or not asked for
	readers   []*Reader
	debts     []*peer.Debt // see debtsOf
	later     *Outlet      // it is among its unserved; nil: it is not

	// The receivers that were sent the first packet of the remainder, while there is no room
	// for the others.
	had []etf.Pid
}

// traffic is the stream's, from now on.
func (st *Stream) traffic() *traffic {
	if st.busy == nil {
		st.busy = &traffic{}
	}
	return st.busy
}

// served: the first who waits has been answered.
func (t *traffic) served() {
	t.readers[0] = nil
	t.readers = t.readers[1:]
}

// had are the receivers that have been sent what others still wait for.
func (st *Stream) had() []etf.Pid {
	if st.busy == nil {
		return nil
	}
	return st.busy.had
}

// remainder is how many bytes are there and not delivered.
func (st *Stream) remainder() int {
	if st.busy == nil {
		return 0
	}
	return st.busy.remainder.Len()
}

// awaited says whether somebody waits for output.
func (st *Stream) awaited() bool { return st.busy != nil && len(st.busy.readers) > 0 }

// wanted says whether somebody waits for more than there is. A reader that waits for
// something else is not read for without end.
func (st *Stream) wanted() bool {
	return st.awaited() && (!st.busy.readers[0].Busy || st.remainder() < MaxGot)
}

// unserved says whether more can be delivered when there is room.
func (st *Stream) unserved() bool { return st.busy != nil && st.busy.later != nil }

// delivered says whether nothing is left for somebody who reads on demand.
func (st *Stream) delivered() bool {
	return st.remainder() == 0 && (st.told || !st.asked) && !(st.ended && st.awaited())
}

func (o *Output) stream(s workers.Stream) *Stream {
	i := int(s - workers.Stdout)
	for i >= len(o.streams) || o.streams[i].no != s { // one of the others, of which there are few
		i--
	}
	return &o.streams[i]
}

// Streams gives the numbers of the streams, in their order.
func (o *Output) Streams(yield func(workers.Stream) bool) {
	for i := range o.streams {
		if !yield(o.streams[i].no) {
			return
		}
	}
}

// Has says whether a stream is one of these.
func (o *Output) Has(s workers.Stream) bool {
	for no := range o.Streams {
		if no == s {
			return true
		}
	}
	return false
}

// Remainder is what has been read of a stream and was not delivered.
func (o *Output) Remainder(s workers.Stream) Kept {
	if st := o.stream(s); st.busy != nil {
		return st.busy.remainder
	}
	return Kept{}
}

// Remains says whether anything is there and not delivered.
func (o *Output) Remains() bool {
	for i := range o.streams {
		if o.streams[i].remainder() > 0 {
			return true
		}
	}
	return false
}
