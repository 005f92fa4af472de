package dist

import "erluv/wire/etf"

// AskKind says by which protocol a sender asks, and so in which form it is answered.
type AskKind uint8

// The protocols.
const (
	AskCall   AskKind = iota // {'$gen_call', From, Request}: gen_server(3), gen_statem(3)
	AskSystem                // {system, From, Request}: sys(3)
	AskOther                 // {Label, From, Request}: all else that gen:call/4 sends, gen_event(3) with a pid as the label
	AskIO                    // {io_request, From, ReplyAs, Request}: the I/O protocol
	AskFile                  // {file_request, From, ReplyAs, Request}: file(3) with the pid of a device
)

// Ask is a message whose sender waits for an answer, up to its request.
type Ask struct {
	Kind AskKind
	From etf.Pid
	Tag  etf.Raw // to be returned byte for byte
}

// ReadAsk reads the head of a message. On success r reads the request next, of which
// nothing need be there yet.
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

// call reads Label, {Pid, Tag}. A label that OTP does not use for calls counts only
// with a tag that gen:call/4 makes: other tuples of three mean something else.
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

// isTag says whether a tag is a reference, or [alias | Reference].
func isTag(tag etf.Raw) bool {
	if _, ok := aliasOf(tag); ok {
		return true
	}
	r := etf.NewReader(tag)
	_, err := readRef(&r)
	return err == nil && r.Done() == nil
}

// BeginAnswer begins the frame of the answer to an Ask; from is a process of ours. The
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
