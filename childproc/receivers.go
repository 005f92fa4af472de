package childproc

import (
	"fmt"
	"iter"

	"erluv/wire/etf"
	"erluv/workers"
)

// maxReceivers is how many processes may be sent the output of one stream. Each
// is sent a copy of its own.
const maxReceivers = 16

// receivers are those who are sent the output of a stream, when it is not the owner
// alone.
type receivers struct {
	owner bool // the owner too, as the first
	list  []etf.Pid
}

// first is the first receiver; the zero pid: it is the owner, and there is none.
func (p *proc) first(st *stream) etf.Pid {
	if st.to == nil || st.to.owner {
		return p.owner
	}
	return st.to.list[0]
}

// others are those behind the first.
func (st *stream) others() []etf.Pid {
	switch {
	case st.to == nil:
		return nil
	case st.to.owner:
		return st.to.list
	}
	return st.to.list[1:]
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

// receiversOf reads owner, {pid, Pid}, or a list of these; ok is false when it
// is something else.
func (m *manager) receiversOf(v etf.Term) (to *receivers, ok bool, err error) {
	var r receivers
	list, isList := v.(etf.List)
	if !isList {
		list = etf.List{v}
	}
	if len(list) == 0 || len(list) > maxReceivers {
		return nil, isList, fmt.Errorf("must have 1 to %d receivers", maxReceivers)
	}
	for _, t := range list {
		if t == etf.Atom("owner") {
			if r.owner {
				return nil, true, fmt.Errorf("has the owner twice")
			}
			r.owner = true
			continue
		}
		tu, isTuple := t.(etf.Tuple)
		if !isTuple || len(tu) != 2 || tu[0] != etf.Atom("pid") {
			return nil, false, nil
		}
		pid, isPid := tu[1].(etf.Pid)
		if !isPid {
			return nil, false, nil
		}
		if err := m.reachable(pid); err != nil {
			return nil, true, err
		}
		r.list = append(r.list, pid)
	}
	if r.owner && r.list == nil {
		return nil, true, nil
	}
	return &r, true, nil
}

// setReceivers is the call setopts of stdout and stderr: from now on the output goes
// to others.
func (m *manager) setReceivers(p *proc, s workers.Stream, v etf.Term) (func(), error) {
	if !p.w.Open(s) && !p.stream(s).ended && p.w.State() != workers.Starting {
		return nil, fmt.Errorf("is no pipe")
	}
	r, ok, err := m.receiversOf(v)
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
