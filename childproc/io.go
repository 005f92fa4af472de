package childproc

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"erluv/childproc/order"
	"erluv/childproc/peer"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"
)

// The Erlang I/O protocol (stdlib User's Guide): a worker is an I/O device. What
// is put goes to stdin, what is got comes from stdout, which must not be sent as
// messages then. Requests in the encoding latin1 are bytes, as file:read/2 and
// IO.binread/2 mean them; those in unicode are characters.

// device is how a worker reads and writes characters.
type device struct {
	latin1 bool // characters are bytes; else UTF-8
	list   bool // what is got is a list; else a binary
}

// maxRequests bounds how many there may be in one.
const maxRequests = 1024

// maxGot bounds what one request gets, in bytes; a longer line comes in pieces.
const maxGot = 1 << 20

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

// ioRequests are those of the I/O protocol. It is filled in later, since one of them is
// several others.
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

// ioDo is for whom a request is done, one of several or the only one.
type ioDo struct {
	p     *program
	c     *client
	reply func(etf.Term)
}

// ioOne does one request.
func (m *manager) ioOne(d ioDo, req etf.Term) {
	name, a := partsOf(req)
	row := ioRequests.find(name, len(a.list))
	if row == nil || !row.do(m, d, a) {
		d.reply(gen.Error(etf.Atom("request")))
	}
}

func (m *manager) ioGetopts(d ioDo, _ args) bool {
	d.reply(d.p.device.opts())
	return true
}

func (m *manager) ioSetopts(d ioDo, a args) bool {
	d.reply(d.p.device.set(a.list[0]))
	return true
}

// getGeometry: a program has no screen of a node's.
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

// ioAll does several requests, up to the first that fails; the last one's answer
// is the answer. Those that are answered at once take no stack.
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

// putBytes is what io modules before OTP R13 put.
func (m *manager) putBytes(d ioDo, a args) bool {
	m.put(d, etf.Atom("latin1"), a.list[0])
	return true
}

// put writes characters; the answer comes when they are in the pipe.
func (m *manager) put(d ioDo, encoding, chars etf.Term) {
	data, err := d.p.device.encode(encoding, chars)
	if err != nil {
		d.reply(gen.Error(etf.Tuple{etf.Atom("no_translation"), encoding, d.p.device.encoding()}))
		return
	}
	if err := d.p.w.Write(data, d.reply); err != nil {
		d.reply(outcome(err))
	}
}

// putResult puts what a function of the node returns: {put_chars, Encoding, M, F,
// A}, which is io:format/3.
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

// get gets what find finds the length of, in what has been read; false when it is not
// there yet.
func (m *manager) get(d ioDo, encoding etf.Term, find func(k *kept) (int, bool)) {
	p, reply := d.p, d.reply
	if p.mode != order.Passive {
		reply(gen.Error(etf.Atom("active")))
		return
	}
	m.await(p, d.c, workers.Stdout, func(k *kept, ended bool) (int, bool) {
		b := k.bytes()
		n, found := find(k)
		switch {
		case found:
		case len(b) >= maxGot:
			if n = maxGot; !p.device.asBytes(encoding) {
				n = wholeRunes(b[:n])
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
		answer, err := p.device.decode(encoding, b[:n])
		if err != nil {
			answer = gen.Error(etf.Tuple{etf.Atom("no_translation"), etf.Atom("unicode"), etf.Atom("latin1")})
		}
		reply(answer)
		return n, true
	})
}

// getLine gets a line with its end.
func (m *manager) getLine(d ioDo, a args) bool {
	m.get(d, a.list[0], func(k *kept) (int, bool) {
		n := k.line(maxGot)
		return n, n > 0 && (n < maxGot || k.bytes()[n-1] == '\n')
	})
	return true
}

// getChars gets n characters, or fewer before the end.
func (m *manager) getChars(d ioDo, a args) bool {
	number, ok := a.list[2].(int64)
	if !ok || number < 0 || number > maxGot {
		return false
	}
	n, asBytes := int(number), d.p.device.asBytes(a.list[0])
	m.get(d, a.list[0], func(k *kept) (int, bool) {
		if asBytes {
			return n, k.len() >= n
		}
		return k.chars(n)
	})
	return true
}

// wholeRunes is how many bytes of b are not the beginning of a character whose end
// is missing.
func wholeRunes(b []byte) int {
	for cut := 0; cut < utf8.UTFMax && cut < len(b); cut++ {
		if utf8.RuneStart(b[len(b)-1-cut]) {
			if utf8.FullRune(b[len(b)-1-cut:]) {
				return len(b)
			}
			return len(b) - 1 - cut
		}
	}
	return len(b)
}

// asBytes says whether what a request in this encoding gets is bytes, not characters.
func (d device) asBytes(encoding etf.Term) bool {
	return d.latin1 || encoding != etf.Atom("unicode")
}

func (d device) encoding() etf.Atom {
	if d.latin1 {
		return "latin1"
	}
	return "unicode"
}

func (d device) opts() etf.Term {
	return etf.List{
		etf.Tuple{etf.Atom("binary"), boolTerm(!d.list)},
		etf.Tuple{etf.Atom("encoding"), d.encoding()},
	}
}

// set takes the options of io:setopts/2: binary, list, {binary, Bool}, {encoding,
// latin1 | utf8 | unicode}.
func (d *device) set(t etf.Term) etf.Term {
	next := *d
	opts, ok := t.(etf.List)
	if !ok {
		return gen.Error(etf.Atom("enotsup"))
	}
	for _, o := range opts {
		switch v := o.(type) {
		case etf.Atom:
			next.list = v == "list"
			ok = ok && (v == "list" || v == "binary")
		case etf.Tuple:
			ok = ok && len(v) == 2 && next.setPair(v[0], v[1])
		default:
			ok = false
		}
	}
	if !ok {
		return gen.Error(etf.Atom("enotsup"))
	}
	*d = next
	return etf.Atom("ok")
}

func (d *device) setPair(key, value etf.Term) bool {
	switch key {
	case etf.Atom("binary"):
		d.list = value == etf.Atom("false")
		return value == etf.Atom("true") || value == etf.Atom("false")
	case etf.Atom("encoding"):
		d.latin1 = value == etf.Atom("latin1")
		return value == etf.Atom("latin1") || value == etf.Atom("utf8") || value == etf.Atom("unicode")
	}
	return false
}

var errNoTranslation = errors.New("characters that the encoding does not have")

// encode gives the bytes of characters in a request.
func (d device) encode(encoding, chars etf.Term) ([]byte, error) {
	if encoding != etf.Atom("unicode") {
		return etf.AppendIOData([]byte{}, gen.Encode(chars), order.MaxRequest)
	}
	return d.appendChars([]byte{}, chars)
}

// appendChars flattens unicode:chardata(): binaries of UTF-8, code points, lists.
func (d device) appendChars(dst []byte, t etf.Term) ([]byte, error) {
	var err error
	switch v := t.(type) {
	case int64:
		switch {
		case v < 0 || v > utf8.MaxRune || !utf8.ValidRune(rune(v)) || d.latin1 && v > 255:
			return nil, errNoTranslation
		case d.latin1:
			return append(dst, byte(v)), nil
		}
		return utf8.AppendRune(dst, rune(v)), nil
	case etf.String: // code points up to 255
		for _, c := range v {
			if dst, err = d.appendChars(dst, int64(c)); err != nil {
				return nil, err
			}
		}
		return dst, nil
	case etf.Binary:
		if !utf8.Valid(v) {
			return nil, errNoTranslation
		}
		if !d.latin1 {
			return append(dst, v...), nil
		}
		for _, c := range string(v) {
			if dst, err = d.appendChars(dst, int64(c)); err != nil {
				return nil, err
			}
		}
		return dst, nil
	case etf.List:
		for _, e := range v {
			if dst, err = d.appendChars(dst, e); err != nil {
				return nil, err
			}
		}
		return dst, nil
	case etf.Improper:
		if dst, err = d.appendChars(dst, etf.List(v.Elems)); err != nil {
			return nil, err
		}
		return d.appendChars(dst, v.Tail)
	}
	return nil, errNoTranslation
}

// decode gives output as a request wants it: characters, or bytes in latin1.
func (d device) decode(encoding etf.Term, b []byte) (etf.Term, error) {
	asBytes := d.asBytes(encoding)
	switch {
	case !asBytes && !utf8.Valid(b):
		return nil, errNoTranslation
	case d.list && asBytes:
		return etf.String(bytes.Clone(b)), nil
	case d.list:
		l := make(etf.List, 0, len(b))
		for _, c := range string(b) {
			l = append(l, int64(c))
		}
		return l, nil
	case d.latin1 && encoding == etf.Atom("unicode"):
		u := make(etf.Binary, 0, len(b))
		for _, c := range b {
			u = utf8.AppendRune(u, rune(c))
		}
		return u, nil
	}
	return etf.Binary(bytes.Clone(b)), nil
}
