package output

import (
	"fmt"
	"iter"
	"slices"

	"erluv/childproc/order"
	"erluv/childproc/peer"
	"erluv/wire/etf"
	"erluv/workers"
)

// first is the first receiver. It is the zero pid if that is the owner and there is none.
func (st *Stream) first(h Host) etf.Pid {
	if st.to == nil || st.to.Owner {
		return h.Owner()
	}
	return st.to.List[0]
}

// others are the receivers after the first.
func (st *Stream) others() []etf.Pid {
	switch {
	case st.to == nil:
		return nil
	case st.to.Owner:
		return st.to.List
	}
	return st.to.List[1:]
}

// nobody reports whether a stream has no receiver.
func (o *Output) nobody(h Host, st *Stream) bool {
	return st.first(h) == (etf.Pid{}) && len(st.others()) == 0
}

// receivers yields all receivers of a stream.
func (o *Output) receivers(h Host, st *Stream) iter.Seq[etf.Pid] {
	return func(yield func(etf.Pid) bool) {
		if first := st.first(h); first != (etf.Pid{}) && !yield(first) {
			return
		}
		for _, pid := range st.others() {
			if !yield(pid) {
				return
			}
		}
	}
}

// Receivers yields the receivers of stream s.
func (o *Output) Receivers(h Host, s workers.Stream) iter.Seq[etf.Pid] {
	return o.receivers(h, o.stream(s))
}

// Redirect is the call setopts of stdout and stderr. It checks v, and returns a function that gives
// the output to the new receivers.
func (o *Output) Redirect(h Host, s workers.Stream, v etf.Term, reachable func(etf.Pid) error) (func(), error) {
	if !o.Open(h, s) {
		return nil, fmt.Errorf("is not a pipe")
	}
	r, ok, err := order.ReceiversOf(v, reachable)
	if err == nil && !ok {
		err = fmt.Errorf("must be owner, {pid, Pid}, or a list of these")
	}
	if err != nil {
		return nil, err
	}
	return func() {
		st := o.stream(s)
		st.leaveFlows()
		st.to = r
	}, nil
}

// next returns the next receiver, from number i on, to which the stream currently goes, with its
// outlet and number. The outlet is nil if there is none. Receivers on nodes that are gone are
// skipped.
func (o *Output) next(h Host, st *Stream, i int) (to etf.Pid, c *Outlet, no int) {
	if st.to == nil {
		if owner := h.Owner(); i == 0 && owner != (etf.Pid{}) {
			return owner, h.To(owner), 0
		}
		return etf.Pid{}, nil, 0
	}
	no = -1
	for to := range o.receivers(h, st) {
		if no++; no >= i && !o.passes(st, no) {
			if c := h.To(to); c != nil {
				return to, c, no
			}
		}
	}
	return etf.Pid{}, nil, no
}

// unowned reports whether a stream waits for another owner, because it has no other receiver.
func (o *Output) unowned(h Host, st *Stream) bool {
	if !h.AwaitsOwner() || st.to != nil && !st.to.Owner || o.mode == order.Passive {
		return false
	}
	_, c, _ := o.next(h, st, 0)
	return c == nil
}

// copyOutput sends output that was composed for one receiver to those from number i on.
func (o *Output) copyOutput(h Host, st *Stream, data []byte, i int) {
	for {
		to, c, no := o.next(h, st, i)
		if c == nil {
			return
		}
		i = no + 1
		c.output(to, h.PID(), st, data)
	}
}

// output composes a message with output.
func (c *Outlet) output(to, from etf.Pid, st *Stream, data []byte) {
	start := c.BeginOutput(to, from, peer.Stream(st.no))
	c.Fill(data)
	c.EndOutput(start, len(data))
}

// crowded returns an outlet that has no room for the next bytes of the stream, nil if all have
// room. The outlets are those of the worker's own node, of the waiting call, and of the receivers.
func (o *Output) crowded(h Host, st *Stream) *Outlet {
	home := h.Home()
	switch {
	case !home.Roomy():
		return home
	case st.to == nil && !st.awaited():
		if c := h.To(h.Owner()); c != nil && !c.Roomy() {
			return c
		}
		return nil
	case st.awaited():
		if c := st.busy.readers[0].Outlet; !c.Roomy() {
			return c
		}
	}
	for to, c, i := o.next(h, st, 0); c != nil; to, c, i = o.next(h, st, i+1) {
		if !c.Roomy() && !slices.Contains(st.had(), to) {
			return c
		}
	}
	return nil
}
