package output

import (
	"slices"

	"erluv/childproc/order"
	"erluv/childproc/peer"
	"erluv/wire/etf"
	"erluv/workers"
)

// Serve delivers output that was read, if it is wanted and there is room.
func (o *Output) Serve(h Host, s workers.Stream) {
	st := o.stream(s)
	switch {
	case h.Hidden():
	case o.serveRemainder(h, st) && o.serveEnd(h, st):
	default:
		o.serveLater(h, st)
	}
	if st.busy != nil {
		st.busy.remainder.Settle()
	}
	h.Served()
}

// ServeAll is Serve for all streams.
func (o *Output) ServeAll(h Host) {
	for i := range o.streams {
		o.Serve(h, o.streams[i].no)
	}
}

// serveRemainder delivers packets from the remainder. It returns false if there is no room for
// more.
func (o *Output) serveRemainder(h Host, st *Stream) bool {
	t := st.busy
	for t != nil {
		if !st.serveReaders() {
			return false
		}
		if o.mode == order.Passive || st.awaited() || t.remainder.Len() == 0 || o.unowned(h, st) {
			break
		}
		if !h.Home().Roomy() { // for the receivers' outlets see toEach
			return false
		}
		data, n, err := o.Packet.Cut(&t.remainder, MaxPiece)
		if err != nil {
			o.malformed(h)
			t.remainder.Clear()
			break
		}
		if n == 0 {
			break
		}
		if !o.push(h, st, data) {
			return false
		}
		t.remainder.Take(n)
	}
	return true
}

// serveEnd delivers the bytes after the last whole packet, and the end. It returns false if there
// is no room for them.
func (o *Output) serveEnd(h Host, st *Stream) bool {
	if !st.ended || o.unowned(h, st) {
		return true
	}
	name := peer.Stream(st.no).Term()
	if st.remainder() > 0 && o.mode != order.Passive {
		data := st.busy.remainder.Bytes()
		if o.Packet.Header > 0 {
			incomplete := etf.Tuple{name, etf.Tuple{etf.Atom("incomplete"), etf.Binary(data)}}
			if !o.toEach(h, st, func(to etf.Pid, c *Outlet) { c.Send(to, etf.Tuple{h.PID(), incomplete}) }) {
				return false
			}
		} else if !o.push(h, st, data) {
			return false
		}
		st.busy.remainder.Clear()
	}
	if st.remainder() > 0 {
		return true
	}
	if !st.told && o.mode != order.Passive {
		if o.crowded(h, st) != nil {
			return false
		}
		st.told = true
		for to := range o.receivers(h, st) {
			h.Tell(to, etf.Tuple{name, etf.Atom("eof")})
		}
	}
	return true
}

// push sends output as a message and counts it. It returns false if there is no room.
func (o *Output) push(h Host, st *Stream, data []byte) bool {
	lines := 0
	send := func(to etf.Pid, c *Outlet) { c.output(to, h.PID(), st, data) }
	if o.Packet.List {
		send = func(to etf.Pid, c *Outlet) {
			lines = c.Lines(to, h.PID(), peer.Stream(st.no), o.Packet.Lines(data))
		}
	}
	if !o.toEach(h, st, send) {
		return false
	}
	o.sent(h, st, len(data), lines)
	o.count(h)
	return true
}

// toEach sends a message to each receiver of a stream. A packet may be large. If there is no room
// for the next receiver, toEach returns false, and later goes on with that receiver.
func (o *Output) toEach(h Host, st *Stream, send func(to etf.Pid, c *Outlet)) bool {
	t := st.traffic()
	for to, c, i := o.next(h, st, 0); c != nil; to, c, i = o.next(h, st, i+1) {
		if slices.Contains(t.had, to) {
			continue
		}
		if !c.Roomy() {
			return false
		}
		send(to, c)
		if len(st.others()) == 0 {
			break
		}
		t.had = append(t.had, to)
	}
	t.had = nil
	return true
}
