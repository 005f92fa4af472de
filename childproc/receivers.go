package childproc

import (
	"fmt"

	"erluv/etf"
	"erluv/workers"
)

// maxReceivers is how many processes may be sent the output of one stream. Each
// is sent a copy of its own.
const maxReceivers = 16

// receivers are those who are sent the output of a stream: the first, and more.
type receivers struct {
	to      etf.Pid // the zero pid: nobody
	toOwner bool    // it follows the owner
	also    []etf.Pid
}

// nobody says whether there is none.
func (r *receivers) nobody() bool { return r.to == (etf.Pid{}) && len(r.also) == 0 }

// all are the receivers.
func (r *receivers) all(yield func(etf.Pid) bool) {
	if r.to != (etf.Pid{}) && !yield(r.to) {
		return
	}
	for _, pid := range r.also {
		if !yield(pid) {
			return
		}
	}
}

// follow has what is the owner's go to this one.
func (r *receivers) follow(owner etf.Pid) {
	if r.toOwner {
		r.to = owner
	}
}

// receiversOf reads owner, {pid, Pid}, or a list of these; ok is false when it
// is something else.
func (m *manager) receiversOf(v etf.Term) (r receivers, ok bool, err error) {
	list, isList := v.(etf.List)
	if !isList {
		list = etf.List{v}
	}
	if len(list) == 0 || len(list) > maxReceivers {
		return r, isList, fmt.Errorf("must have 1 to %d receivers", maxReceivers)
	}
	for _, t := range list {
		if t == etf.Atom("owner") {
			if r.toOwner {
				return r, true, fmt.Errorf("has the owner twice")
			}
			if r.to != (etf.Pid{}) {
				r.also = append(r.also, r.to)
			}
			r.toOwner, r.to = true, etf.Pid{}
			continue
		}
		tu, isTuple := t.(etf.Tuple)
		if !isTuple || len(tu) != 2 || tu[0] != etf.Atom("pid") {
			return r, false, nil
		}
		pid, isPid := tu[1].(etf.Pid)
		if !isPid {
			return r, false, nil
		}
		if err := m.reachable(pid); err != nil {
			return r, true, err
		}
		if r.to == (etf.Pid{}) && !r.toOwner {
			r.to = pid
		} else {
			r.also = append(r.also, pid)
		}
	}
	return r, true, nil
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
		r.follow(p.owner)
		p.stream(s).leaveFlows()
		p.stream(s).receivers = r
		m.letFlow(p)
	}, nil
}

// tellStream sends what is no output itself to those who are sent the output.
func (m *manager) tellStream(p *proc, st *stream, what etf.Term) {
	for to := range st.all {
		m.tell(to, p, what)
	}
}

// copyOutput sends the n bytes of output that end the outbox, the first receiver's,
// to the others too.
func (m *manager) copyOutput(p *proc, st *stream, n int) {
	end := len(m.out.buf)
	for _, to := range st.also {
		start := m.beginOutput(to, p.pid, st.no)
		m.out.buf = append(m.out.buf, m.out.buf[end-n:end]...)
		m.endOutput(start, n)
	}
}
