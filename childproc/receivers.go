package childproc

import (
	"fmt"
	"iter"

	"erluv/childproc/order"
	"erluv/childproc/peer"
	"erluv/wire/etf"
	"erluv/workers"
)

// first is the first receiver; the zero pid: it is the owner, and there is none.
func (p *program) first(st *stream) etf.Pid {
	if st.to == nil || st.to.Owner {
		return p.owner
	}
	return st.to.List[0]
}

// others are those behind the first.
func (st *stream) others() []etf.Pid {
	switch {
	case st.to == nil:
		return nil
	case st.to.Owner:
		return st.to.List
	}
	return st.to.List[1:]
}

// nobody says whether a stream has no receiver.
func (p *program) nobody(st *stream) bool { return p.first(st) == (etf.Pid{}) && len(st.others()) == 0 }

// receivers are all receivers of a stream.
func (p *program) receivers(st *stream) iter.Seq[etf.Pid] {
	return func(yield func(etf.Pid) bool) {
		if first := p.first(st); first != (etf.Pid{}) && !yield(first) {
			return
		}
		for _, pid := range st.others() {
			if !yield(pid) {
				return
			}
		}
	}
}

// setReceivers is the call setopts of stdout and stderr: from now on the output goes
// to others.
func (m *manager) setReceivers(p *program, s workers.Stream, v etf.Term) (func(), error) {
	if !p.w.Open(s) && !p.stream(s).ended && p.w.State() != workers.Starting {
		return nil, fmt.Errorf("is no pipe")
	}
	r, ok, err := order.ReceiversOf(v, m.reachable)
	if err == nil && !ok {
		err = fmt.Errorf("must be owner, {pid, Pid}, or a list of these")
	}
	if err != nil {
		return nil, err
	}
	return func() {
		p.stream(s).leaveFlows()
		p.stream(s).to = r
		p.goOn(m)
	}, nil
}

// tellStream sends what is no output itself to those who are sent the output.
func (m *manager) tellStream(p *program, st *stream, what etf.Term) {
	for to := range p.receivers(st) {
		m.tell(to, p, what)
	}
}

// next is the first receiver from number i on that the stream goes to now, and its
// client and number; nil: there is none. What is for nodes that are gone is dropped.
func (m *manager) next(p *program, st *stream, i int) (to etf.Pid, c *client, no int) {
	if st.to == nil {
		if i == 0 && p.owner != (etf.Pid{}) {
			return p.owner, m.clientOf(p.owner, p.client), 0
		}
		return etf.Pid{}, nil, 0
	}
	no = -1
	for to := range p.receivers(st) {
		if no++; no >= i && !p.passes(st, no) {
			if c := m.clientOf(to, p.client); c != nil {
				return to, c, no
			}
		}
	}
	return etf.Pid{}, nil, no
}

// copyOutput sends output that was composed for one receiver to those from number i on too.
func (m *manager) copyOutput(p *program, st *stream, data []byte, i int) {
	for {
		to, c, no := m.next(p, st, i)
		if c == nil {
			return
		}
		i = no + 1
		c.output(to, p, st, data)
	}
}

// output composes a message with output.
func (c *client) output(to etf.Pid, p *program, st *stream, data []byte) {
	start := c.BeginOutput(to, p.pid, peer.Stream(st.no))
	c.Fill(data)
	c.EndOutput(start, len(data))
}
