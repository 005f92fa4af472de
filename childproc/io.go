package childproc

import (
	"bytes"

	"erluv/childproc/output"
	"erluv/childproc/peer"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"
)

// The Erlang I/O protocol (stdlib User's Guide), in which a worker is an I/O device. Put requests
// write to stdin. Get requests read from stdout, which must not be sent as messages then. Requests
// in latin1 have bytes, as file:read/2 and IO.binread/2 expect. Requests in unicode have
// characters.

// maxRequests is the maximum number of requests in one compound request.
const maxRequests = 1024

// ioRequest takes a request of the I/O protocol.
func (m *manager) ioRequest(c *client, p proc, to caller, raw etf.Raw) {
	if p.kind() != byWorker {
		to.refuse(raw)
		return
	}
	more := 0
	if name, arity, _, ok := headOf(raw); ok {
		if row := ioRequests.find(name, arity); row != nil && row.taken.has(outlives) {
			more, raw = len(raw), bytes.Clone(raw)
		}
	}
	req, err := peer.Decode(raw)
	if err != nil {
		to.refuse(raw)
		return
	}
	if w := m.keep(to, more); w != nil {
		m.ioOne(ioDo{p.(*program), c, w.reply}, req)
	}
}

// ioRequests are the requests of the I/O protocol. init fills the table, since one request consists
// of others.
var ioRequests table[func(m *manager, d ioDo, a args) bool]

func init() {
	ioRequests = table[func(m *manager, d ioDo, a args) bool]{
		{"put_chars", 2, byWorker, (*manager).putChars, "{put_chars, Encoding, Chars}"},
		{"put_chars", 1, byWorker, (*manager).putBytes, "{put_chars, Chars}"},
		{"put_chars", 4, byWorker, (*manager).putResult, "{put_chars, Encoding, Module, Function, Args}"},
		{"get_line", 2, byWorker, (*manager).getLine, "{get_line, Encoding, Prompt}"},
		{"get_chars", 3, byWorker, (*manager).getChars, "{get_chars, Encoding, Prompt, N}"},
		{"get_until", 5, byWorker | outlives, (*manager).getUntil, "{get_until, Encoding, Prompt, Module, Function, Args}"},
		{"getopts", 0, byWorker, (*manager).ioGetopts, "getopts"},
		{"setopts", 1, byWorker, (*manager).ioSetopts, "{setopts, Opts}"},
		{"get_geometry", 1, byWorker, (*manager).getGeometry, "{get_geometry, What}"},
		{"requests", 1, byWorker | outlives, (*manager).ioSeveral, "{requests, Requests}"},
	}
}

// ioDo is the context of a request, which may be one of several.
type ioDo struct {
	p     *program
	c     *client
	reply func(etf.Term)
}

// ioOne carries out one request.
func (m *manager) ioOne(d ioDo, req etf.Term) {
	name, a := partsOf(req)
	row := ioRequests.find(name, len(a.list))
	if row == nil || !row.do(m, d, a) {
		d.reply(gen.Error(etf.Atom("request")))
	}
}

func (m *manager) ioGetopts(d ioDo, _ args) bool {
	d.reply(d.p.out.Device.Opts())
	return true
}

func (m *manager) ioSetopts(d ioDo, a args) bool {
	d.reply(d.p.out.Device.Set(a.list[0]))
	return true
}

// getGeometry refuses: a program has no screen of the node.
func (m *manager) getGeometry(d ioDo, _ args) bool {
	d.reply(gen.Error(etf.Atom("enotsup")))
	return true
}

func (m *manager) ioSeveral(d ioDo, a args) bool {
	list, ok := a.list[0].(etf.List)
	if !ok || len(list) > maxRequests {
		return false
	}
	m.ioAll(d, list)
	return true
}

// ioAll carries out several requests, up to the first that fails. The last one's answer is the
// answer. A request that is answered at once uses no stack.
func (m *manager) ioAll(d ioDo, list etf.List) {
	if len(list) == 0 {
		d.reply(etf.Atom("ok"))
		return
	}
	for atOnce := true; atOnce; {
		req, rest := list[0], list[1:]
		inCall := true
		atOnce = false
		m.ioOne(ioDo{d.p, d.c, func(answer etf.Term) {
			switch t, isTuple := answer.(etf.Tuple); {
			case len(rest) == 0 || isTuple && len(t) > 0 && t[0] == etf.Atom("error"):
				d.reply(answer)
			case inCall:
				atOnce = true
			default:
				m.ioAll(d, rest)
			}
		}}, req)
		inCall = false
		list = rest
	}
}

func (m *manager) putChars(d ioDo, a args) bool {
	m.put(d, a.list[0], a.list[1])
	return true
}

// putBytes is the request of io modules before OTP R13.
func (m *manager) putBytes(d ioDo, a args) bool {
	m.put(d, etf.Atom("latin1"), a.list[0])
	return true
}

// put writes characters. The answer comes once they are in the pipe.
func (m *manager) put(d ioDo, encoding, chars etf.Term) {
	data, err := d.p.out.Device.Encode(encoding, chars)
	if err != nil {
		d.reply(gen.Error(etf.Tuple{etf.Atom("no_translation"), encoding, d.p.out.Device.Encoding()}))
		return
	}
	if err := d.p.w.Write(data, d.reply); err != nil {
		d.reply(outcome(err))
	}
}

// putResult writes the result of a function of the node: {put_chars, Encoding, M, F, A}, which is
// io:format/3.
func (m *manager) putResult(d ioDo, a args) bool {
	encoding, ok := a.list[0].(etf.Atom)
	module, ok1 := a.list[1].(etf.Atom)
	function, ok2 := a.list[2].(etf.Atom)
	list, ok3 := etf.Elements(a.list[3])
	if !ok || !ok1 || !ok2 || !ok3 {
		return false
	}
	d.c.Ask(module, function, list, func(result etf.Term) {
		if tu, ok := result.(etf.Tuple); ok && len(tu) == 2 && tu[0] == etf.Atom("badrpc") {
			d.reply(gen.Error(function))
			return
		}
		m.put(d, encoding, result)
	})
	return true
}

// get reads as many bytes as find returns, once find reports that they are there.
func (m *manager) get(d ioDo, encoding etf.Term, find func(k *output.Kept) (int, bool)) {
	p, reply := d.p, d.reply
	if !p.out.Passive() {
		reply(gen.Error(etf.Atom("active")))
		return
	}
	m.await(p, workers.Stdout, &output.Reader{Outlet: &d.c.Outlet, Taker: output.Takes(func(k *output.Kept, ended bool) (int, bool) {
		b := k.Bytes()
		n, found := find(k)
		switch {
		case found:
		case len(b) >= output.MaxGot:
			if n = output.MaxGot; !p.out.Device.AsBytes(encoding) {
				n = output.WholeRunes(b[:n])
			}
		case ended:
			n = len(b)
		default:
			return 0, false
		}
		if len(b) == 0 {
			reply(etf.Atom("eof"))
			return 0, true
		}
		answer, err := p.out.Device.Decode(encoding, b[:n])
		if err != nil {
			answer = gen.Error(etf.Tuple{etf.Atom("no_translation"), etf.Atom("unicode"), etf.Atom("latin1")})
		}
		reply(answer)
		return n, true
	})})
}

// getLine reads a line with its end.
func (m *manager) getLine(d ioDo, a args) bool {
	m.get(d, a.list[0], func(k *output.Kept) (int, bool) {
		n := k.Line(output.MaxGot)
		return n, n > 0 && (n < output.MaxGot || k.Bytes()[n-1] == '\n')
	})
	return true
}

// getChars reads n characters, or fewer before the end.
func (m *manager) getChars(d ioDo, a args) bool {
	number, ok := a.list[2].(int64)
	if !ok || number < 0 || number > output.MaxGot {
		return false
	}
	n, asBytes := int(number), d.p.out.Device.AsBytes(a.list[0])
	m.get(d, a.list[0], func(k *output.Kept) (int, bool) {
		if asBytes {
			return n, k.Len() >= n
		}
		return k.Chars(n)
	})
	return true
}
