package dist

import (
	"errors"
	"fmt"

	"erluv/wire/etf"
)

// These bytes precede a control message and each term.
const (
	passThrough = 112 // no atom cache, no fragments
	termVersion = 131
)

// Tags of references, in the external term format.
const (
	tagNewerReference = 90
	tagReference      = 101 // old
	tagNewReference   = 114 // old
)

// A Message is one control message. Op determines which of the fields are set.
//
//	Link, Unlink, GroupLeader            From To
//	UnlinkID, UnlinkIDAck                From To ID
//	Send                                 To Payload
//	SendSender                           From To Payload
//	RegSend                              From Name Payload
//	AliasSend                            From Ref Payload
//	Exit, Exit2, PayloadExit(2)          From To Reason
//	MonitorP, DemonitorP                 From To|Name Ref
//	MonitorPExit, PayloadMonitorPExit    From|Name To Ref Reason
//
// A message with a trace token becomes the same message without it. Reason holds the reason,
// wherever the message has it.
type Message struct {
	Op      Op
	HasName bool // Name is set instead of the pid, in MonitorP, DemonitorP and their exits
	From    etf.Pid
	To      etf.Pid
	Name    etf.Atom
	ID      uint64  // at least 1
	Ref     etf.Raw // a reference as the peer wrote it
	Reason  etf.Raw
	Payload etf.Raw // the message itself
}

var (
	errTick      = errors.New("dist: a tick is no message")
	errNoMessage = errors.New("dist: frame does not begin as a control message does")
	errNoPayload = errors.New("the term that belongs to it is missing")
	errArity     = errors.New("wrong number of elements")
	errNotRef    = errors.New("not a reference")
	errIDZero    = errors.New("id 0")
)

// Parse parses a frame from Next into m. The contents of m alias the frame. Reason and Payload are
// whole terms, but their nesting is not bounded. A message of an unknown kind, of the wrong form or
// with trailing bytes is an error, and m is then empty.
//
// It allocates memory only for names of nodes and processes not seen lately.
func Parse(frame []byte, m *Message) error {
	*m = Message{}
	switch {
	case len(frame) == 0:
		return errTick
	case len(frame) < 2 || frame[0] != passThrough || frame[1] != termVersion:
		return errNoMessage
	}
	r := etf.NewReader(frame[2:])
	l, err := m.control(&r)
	if err != nil {
		*m = Message{}
		return err
	}
	if err = m.term(&r, l.payload); err != nil {
		*m = Message{}
		return fmt.Errorf("dist: %v: %w", l.op, err)
	}
	return nil
}

// ParseControl parses a control message without the term that follows it. So m has no Payload, and
// a reason only from a control message that contains it. It refuses the same control messages as
// Parse.
func ParseControl(control etf.Raw, m *Message) error {
	*m = Message{}
	r := etf.NewReader(control)
	_, err := m.control(&r)
	if err == nil {
		err = r.Done()
	}
	if err != nil {
		*m = Message{}
	}
	return err
}

// control reads a control message, and returns its layout.
func (m *Message) control(r *etf.Reader) (*layout, error) {
	arity, err := r.Tuple()
	if err != nil {
		return nil, fmt.Errorf("dist: control message: %w", err)
	}
	number, err := r.Int()
	if err != nil {
		return nil, fmt.Errorf("dist: number of a control message: %w", err)
	}
	if number < 0 || number >= int64(len(layouts)) || layouts[number].op == 0 {
		return nil, fmt.Errorf("dist: control message %d is not known", number)
	}
	l := &layouts[number]
	if arity != 1+len(l.fields) {
		return nil, fmt.Errorf("dist: %v: %w", Op(number), errArity)
	}
	for _, f := range l.fields {
		if err := m.readField(r, f); err != nil {
			return nil, fmt.Errorf("dist: %v: %w", Op(number), err)
		}
	}
	m.Op = l.op
	return l, nil
}

// term reads what follows a control message.
func (m *Message) term(r *etf.Reader, kind payload) error {
	if kind == noPayload {
		return r.Done()
	}
	if rest := r.Rest(); len(rest) == 0 || rest[0] != termVersion {
		return errNoPayload
	}
	p := etf.NewReader(r.Rest()[1:])
	term, err := p.Raw()
	if err != nil {
		return err
	}
	if kind == reasonPayload {
		m.Reason = term
	} else {
		m.Payload = term
	}
	return p.Done()
}

func (m *Message) readField(r *etf.Reader, f field) (err error) {
	switch f {
	case unused:
		_, err = r.Atom()
	case from:
		m.From, err = r.Pid()
	case to:
		m.To, err = r.Pid()
	case toName:
		m.Name, err = r.Atom()
	case fromOrName:
		err = m.pidOrName(r, &m.From)
	case toOrName:
		err = m.pidOrName(r, &m.To)
	case ref:
		m.Ref, err = readRef(r)
	case id:
		if m.ID, err = r.Uint64(); err == nil && m.ID == 0 {
			err = errIDZero
		}
	case reason:
		m.Reason, err = r.Raw()
	case token:
		_, err = r.Raw()
	}
	return err
}

func (m *Message) pidOrName(r *etf.Reader, pid *etf.Pid) (err error) {
	if m.Name, err = r.Atom(); err == nil {
		m.HasName = true
		return nil
	}
	*pid, err = r.Pid()
	return err
}

func readRef(r *etf.Reader) (etf.Raw, error) {
	raw, err := r.Raw()
	if err != nil {
		return nil, err
	}
	switch raw[0] {
	case tagNewerReference, tagNewReference, tagReference:
		return raw, nil
	}
	return nil, errNotRef
}
