package dist

import "erluv/wire/etf"

// AskKind is the protocol of a question. It determines the form of the answer.
type AskKind uint8

// The protocols.
const (
	AskCall   AskKind = iota // {'$gen_call', From, Request}: gen_server(3), gen_statem(3)
	AskSystem                // {system, From, Request}: sys(3)
	AskOther                 // {Label, From, Request}: other messages of gen:call/4, such as gen_event(3) with a pid as the label
	AskIO                    // {io_request, From, ReplyAs, Request}: the I/O protocol
	AskFile                  // {file_request, From, ReplyAs, Request}: file(3) with the pid of a device
)

// Ask is a message whose sender waits for an answer. It has the parts before the request.
type Ask struct {
	Kind AskKind
	From etf.Pid
	Tag  etf.Raw // to be returned byte for byte
}

// ReadAsk reads the head of a message. On success r is at the request, which need not be complete
// yet.
func ReadAsk(r *etf.Reader) (a Ask, ok bool) {
	n, err := r.Tuple()
	switch {
	case err == nil && n == 3:
		ok = a.call(r)
	case err == nil && n == 4:
		ok = a.request(r)
	}
	return a, ok
}

// call reads Label, {Pid, Tag}. A label that OTP does not use for calls counts only with a tag of
// gen:call/4, since other tuples of three mean something else.
func (a *Ask) call(r *etf.Reader) bool {
	label, err := r.Atom()
	if err != nil {
		_, err = r.Raw()
	}
	if err != nil {
		return false
	}
	switch label {
	case "$gen_call":
		a.Kind = AskCall
	case "system":
		a.Kind = AskSystem
	default:
		a.Kind = AskOther
	}
	if n, err := r.Tuple(); err != nil || n != 2 {
		return false
	}
	return a.from(r) && (a.Kind != AskOther || isTag(a.Tag))
}

// request reads io_request | file_request, Pid, ReplyAs.
func (a *Ask) request(r *etf.Reader) bool {
	switch label, _ := r.Atom(); label {
	case "io_request":
		a.Kind = AskIO
	case "file_request":
		a.Kind = AskFile
	default:
		return false
	}
	return a.from(r)
}

func (a *Ask) from(r *etf.Reader) bool {
	var err error
	if a.From, err = r.Pid(); err != nil {
		return false
	}
	a.Tag, err = r.Raw()
	return err == nil
}

// isTag reports whether a tag is a reference, or [alias | Reference].
func isTag(tag etf.Raw) bool {
	if _, ok := aliasOf(tag); ok {
		return true
	}
	r := etf.NewReader(tag)
	_, err := readRef(&r)
	return err == nil && r.Done() == nil
}

// BeginAnswer begins the frame of the answer to an Ask. The pid from is a process of this node. The
// caller appends the answer and then calls End.
func (a Ask) BeginAnswer(b []byte, from etf.Pid) []byte {
	label := etf.Atom("io_reply")
	switch a.Kind {
	case AskFile:
		label = "file_reply"
	case AskIO:
	default:
		return BeginReply(b, from, a.From, a.Tag)
	}
	b = etf.AppendAtom(etf.AppendTupleHeader(BeginSend(b, a.From), 3), label)
	return append(b, a.Tag...)
}
