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

// first is the first receiver; the zero pid: it is the owner, and there is none.
func (st *Stream) first(h Host) etf.Pid {
	if st.to == nil || st.to.Owner {
		return h.Owner()
	}
	return st.to.List[0]
}

// others are those behind the first.
func (st *Stream) others() []etf.Pid {
	switch {
	case st.to == nil:
		return nil
	case st.to.Owner:
		return st.to.List
	}
	return st.to.List[1:]
}

// nobody says whether a stream has no receiver.
func (o *Output) nobody(h Host, st *Stream) bool {
	return st.first(h) == (etf.Pid{}) && len(st.others()) == 0
}

// receivers are all receivers of a stream.
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

// Receivers are those of the stream s.
func (o *Output) Receivers(h Host, s workers.Stream) iter.Seq[etf.Pid] {
	return o.receivers(h, o.stream(s))
}

// Redirect is the call setopts of stdout and stderr: the output goes to others once what it
// returns was called.
func (o *Output) Redirect(h Host, s workers.Stream, v etf.Term, reachable func(etf.Pid) error) (func(), error) {
	if !o.Open(h, s) {
		return nil, fmt.Errorf("is no pipe")
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

// next is the first receiver from number i on that the stream goes to now, and its
// outlet and number; nil: there is none. What is for nodes that are gone is dropped.
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

// unowned says whether a stream waits for another owner: it has no other receiver.
func (o *Output) unowned(h Host, st *Stream) bool {
	if !h.AwaitsOwner() || st.to != nil && !st.to.Owner || o.mode == order.Passive {
		return false
	}
	_, c, _ := o.next(h, st, 0)
	return c == nil
}

// copyOutput sends output that was composed for one receiver to those from number i on too.
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

// crowded is an outlet that has no room for what the stream brings next: that of the node which
// the worker belongs to, that of the call that waits, or that of a receiver. nil: there is room.
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
