package childproc

import (
	"errors"

	"erluv/childproc/order"
	"erluv/childproc/peer"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// workerCall answers a gen_server:call to a process of ours. Writes come often and can be
// large, so they are read without being built.
func (m *manager) workerCall(p proc, to caller, req etf.Raw) {
	if p.write(m, to, req) {
		return
	}
	if len(req) > maxCall {
		to.reply(gen.TooLarge(len(req), maxCall))
		return
	}
	t, err := etf.Decode(req)
	if err != nil {
		to.reply(gen.BadRequest(req))
		return
	}
	switch name, _ := t.(etf.Atom); name {
	case "stop":
		if w := m.keep(to, 0); w != nil {
			e := p.self().ends()
			e.stops = append(e.stops, w)
			m.end(p, gen.Normal)
		}
		return
	case "info":
		to.reply(p.info(m))
		return
	}
	if !p.call(m, to, t) {
		to.reply(gen.BadRequest(req))
	}
}

// maxCall bounds a call to a worker other than write, in bytes.
const maxCall = 64 << 10

// write: see proc.
func (p *program) write(m *manager, to caller, req etf.Raw) bool {
	r := etf.NewReader(req)
	n, err := r.Tuple()
	if err != nil || n != 2 && n != 3 {
		return false
	}
	if a, err := r.Atom(); err != nil || a != "write" {
		return false
	}
	s := workers.Stdin
	if n == 3 {
		s = inputArg(&r)
	}
	m.write(p, to, s, req, r.Rest())
	return true
}

// call: see proc.
func (p *program) call(m *manager, to caller, req etf.Term) bool {
	r, ok := req.(etf.Tuple)
	if !ok || len(r) == 0 {
		return false
	}
	switch name, _ := r[0].(etf.Atom); {
	case name == "close" && len(r) == 2 && r[1] == etf.Atom("stdin"):
		p.w.CloseStdin()
		to.reply(etf.Atom("ok"))
	case name == "close" && len(r) == 2:
		fd, ok := order.FD(r[1])
		if ok {
			to.reply(outcome(p.w.CloseInput(fd)))
		}
		return ok
	case name == "resize" && len(r) == 3:
		return m.resize(p, to, r[1], r[2])
	case name == "signal" && len(r) == 2:
		m.signal(to, r[1], p.w.Signal)
	case name == "signal" && len(r) == 3 && r[1] == etf.Atom("group"):
		m.signal(to, r[2], p.w.SignalGroup)
	case name == "read" && len(r) == 3:
		return m.readCall(p, to, r[1], r[2])
	case name == "setopts" && len(r) == 2:
		m.setopts(p, to, r[1])
	default:
		return false
	}
	return true
}

// readCall takes {read, stdout | stderr | FD, Max}.
func (m *manager) readCall(p *program, to caller, name, limit etf.Term) bool {
	n, ok := limit.(int64)
	if !ok || n < 1 || p.run != nil {
		return false
	}
	for i := range p.streams {
		if s := p.streams[i].no; name == streamTerm(s) {
			if p.mode != order.Passive {
				to.reply(gen.Error(etf.Atom("active")))
				return true
			}
			m.read(p, to, s, int(min(n, maxPiece)))
			return true
		}
	}
	return false
}

// setopts changes owner, active, packet, stdout and stderr: all of what is given, or nothing. The
// answer goes out first, for what is delivered then may be the worker's end.
func (m *manager) setopts(p proc, to caller, opts etf.Term) {
	list, bad := order.Options(opts)
	if bad != nil {
		to.reply(gen.Error(bad.Term()))
		return
	}
	var todo []func()
	for _, o := range list {
		f, err := m.setopt(p, o.Key.(etf.Atom), o.Value)
		if err != nil {
			bad := &order.BadOption{Key: o.Key, Why: err.Error()}
			to.reply(gen.Error(bad.Term()))
			return
		}
		todo = append(todo, f)
	}
	to.reply(etf.Atom("ok"))
	for _, f := range todo {
		f()
	}
}

func (m *manager) setopt(p proc, key etf.Atom, v etf.Term) (func(), error) {
	if key != "owner" {
		return p.setopt(m, key, v)
	}
	pid, ok := v.(etf.Pid)
	if !ok {
		return nil, errors.New("must be a pid")
	}
	return func() { m.setOwner(p, pid) }, p.ownable(m, pid)
}

// setopt: see proc.
func (p *program) setopt(m *manager, key etf.Atom, v etf.Term) (func(), error) {
	switch key {
	case "active":
		a, ok := order.ActiveOf(v)
		if !ok {
			return nil, errors.New("must be true, once, false or a number of messages, -32768 to 32767")
		}
		return func() { m.activate(p, a) }, nil
	case "flow":
		a, err := order.FlowOf(v)
		return func() { m.activate(p, a) }, err
	case "packet":
		pk, err := order.PacketOf(v)
		return func() {
			p.packet = packet{pk}
			m.goOnAll(p)
		}, err
	case "stdout", "stderr":
		s := workers.Stdout
		if key == "stderr" {
			s = workers.Stderr
		}
		return m.setReceivers(p, s, v)
	}
	return nil, errors.New("there is no such option")
}

// resize takes {resize, Rows, Cols}, for the terminals of later runs too.
func (m *manager) resize(p *program, to caller, rows, cols etf.Term) bool {
	r, err1 := order.TerminalSize("rows", rows)
	c, err2 := order.TerminalSize("cols", cols)
	if err1 != nil || err2 != nil {
		return false
	}
	err := p.w.Resize(r, c)
	if p.restart != nil && p.restart.spec.Terminal != nil {
		p.restart.spec.Terminal.Rows, p.restart.spec.Terminal.Cols = r, c
		if err == unix.ENOTTY {
			err = nil // it rests
		}
	}
	to.reply(outcome(err))
	return true
}

// inputArg reads the descriptor out of {write, FD, IoData}. What is none is one
// that nobody can write to.
func inputArg(r *etf.Reader) workers.Stream {
	if n, err := r.Int(); err == nil {
		if fd, ok := order.FD(n); ok {
			return fd
		}
	}
	return workers.Stdout
}

// signal sends a signal and answers.
func (m *manager) signal(to caller, t etf.Term, send func(unix.Signal) error) {
	sig, err := gen.ReadSignal(t)
	if err != nil {
		to.reply(gen.Error(etf.Tuple{etf.Atom("bad_signal"), t}))
		return
	}
	to.reply(outcome(send(sig)))
}

// outcome is ok, or {error, Errno}.
func outcome(err error) etf.Term {
	if err == nil {
		return etf.Atom("ok")
	}
	e, ok := err.(unix.Errno)
	if !ok {
		e = unix.EIO
	}
	return gen.Error(gen.Errno(e))
}

// write writes to stdin or another pipe; the answer comes when the bytes are in it.
func (m *manager) write(p *program, to caller, s workers.Stream, req, arg etf.Raw) {
	data, err := ioData(arg)
	if err != nil {
		to.reply(gen.BadRequest(req))
		return
	}
	data, ok := p.packet.frame(data)
	if !ok {
		to.reply(gen.Error(etf.Atom("emsgsize")))
		return
	}
	w := m.keep(to, 0)
	if w == nil {
		return
	}
	if err := p.w.WriteTo(s, data, w); err != nil {
		w.reply(outcome(err))
	}
}

// Wrote answers a write: that of a call, or of an I/O request. Commands are not answered, but
// their loss is told.
func (m *manager) Wrote(w *workers.Worker, token any, err error) {
	switch to := token.(type) {
	case *waiting:
		to.reply(outcome(err))
	case func(etf.Term):
		to(outcome(err))
	case nil:
		p := w.Tag.(*program)
		m.tellDeaf(p, p.owner)
	}
}

// ioData is the bytes of iodata: those of the frame itself when it is a binary.
func ioData(t etf.Raw) ([]byte, error) {
	r := etf.NewReader(t)
	if b, err := r.Binary(); err == nil {
		return b, r.Done()
	}
	n, err := etf.IODataSize(t, peer.MaxFrame)
	if err != nil {
		return nil, err
	}
	return etf.AppendIOData(make([]byte, 0, n), t, n)
}
