package childproc

import (
	"fmt"
	"iter"

	"erluv/childproc/order"
	"erluv/wire/etf"
	"erluv/workers"
)

// first is the first receiver; the zero pid: it is the owner, and there is none.
func (p *proc) first(st *stream) etf.Pid {
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
func (p *proc) nobody(st *stream) bool { return p.first(st) == (etf.Pid{}) && len(st.others()) == 0 }

// receivers are all receivers of a stream.
func (p *proc) receivers(st *stream) iter.Seq[etf.Pid] {
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

// reachable refuses pids of other nodes than the one that is served: there is no
// connection to them.
func (m *manager) reachable(pid etf.Pid) error {
	if string(pid.Node) != m.start.Target {
		return fmt.Errorf("must be a process of %s, the node that is served", m.start.Target)
	}
	return nil
}

// setReceivers is the call setopts of stdout and stderr: from now on the output goes
// to others.
func (m *manager) setReceivers(p *proc, s workers.Stream, v etf.Term) (func(), error) {
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
		m.letFlow(p)
	}, nil
}

// tellStream sends what is no output itself to those who are sent the output.
func (m *manager) tellStream(p *proc, st *stream, what etf.Term) {
	for to := range p.receivers(st) {
		m.tell(to, p, what)
	}
}

// next is the first receiver from number i on that the stream goes to now, and its
// number; the zero pid: there is none.
func (p *proc) next(st *stream, i int) (to etf.Pid, no int) {
	if st.to == nil {
		if i == 0 {
			return p.owner, 0
		}
		return etf.Pid{}, 0
	}
	no = -1
	for to := range p.receivers(st) {
		if no++; no >= i && !p.passes(st, no) {
			return to, no
		}
	}
	return etf.Pid{}, no
}

// copyOutput sends the n bytes of output that end the outbox to the receivers from
// number i on too.
func (m *manager) copyOutput(p *proc, st *stream, n, i int) {
	end := len(m.out.buf)
	for {
		to, no := p.next(st, i)
		if to == (etf.Pid{}) {
			return
		}
		i = no + 1
		start := m.beginOutput(to, p.pid, st.no)
		m.out.buf = append(m.out.buf, m.out.buf[end-n:end]...)
		m.endOutput(start, n)
	}
}
