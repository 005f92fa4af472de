package childproc

import (
	"errors"

	"erluv/childproc/history"
	"erluv/childproc/order"
	"erluv/childproc/output"
	"erluv/childproc/peer"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// calls are the calls to a process of the child, in the order of erluv-protocol(7).
var calls = table[func(m *manager, p proc, to caller, a args) bool]{
	{"write", 1, byProgram | unbuilt, ofProgram((*program).writeStdinCall), "{write, IoData}"},
	{"write", 2, byProgram | unbuilt, ofProgram((*program).writeCall), "{write, N, IoData}"},
	{"close", 1, byProgram, ofProgram((*program).closeCall), "{close, stdin} , {close, N}"},
	{"resize", 2, byProgram, ofProgram((*program).resizeCall), "{resize, Rows, Cols}"},
	{"read", 2, byWorker, ofProgram((*program).readCall), "{read, stdout | stderr | N, Max}"},
	{"setopts", 1, byAll, (*manager).setoptsCall, "{setopts, Opts}"},
	{"signal", 1, byProgram, ofProgram((*program).signalCall), "{signal, Sig}"},
	{"signal", 2, byProgram, ofProgram((*program).signalGroupCall), "{signal, group, Sig}"},
	{"restart", 0, byWorker, ofProgram((*program).restartCall), "restart"},
	{"chunk", 2, byUpload | unbuilt, ofUpload((*incoming).chunkCall), "{chunk, Offset, Data}"},
	{"commit", 1, byUpload, ofUpload((*incoming).commitCall), "{commit, Sha256}"},
	{"abort", 0, byUpload, (*manager).stopCall, "abort"},
	{"stop", 0, byAll, (*manager).stopCall, "stop"},
	{"info", 0, byAll, (*manager).infoCall, "info"},
}

// ofProgram makes a call that only programs accept.
func ofProgram(do func(p *program, m *manager, to caller, a args) bool) func(m *manager, p proc, to caller, a args) bool {
	return func(m *manager, p proc, to caller, a args) bool { return do(p.(*program), m, to, a) }
}

// ofUpload makes a call that only uploads accept.
func ofUpload(do func(p *incoming, m *manager, to caller, a args) bool) func(m *manager, p proc, to caller, a args) bool {
	return func(m *manager, p proc, to caller, a args) bool { return do(p.(*incoming), m, to, a) }
}

// maxCall is the longest call to a worker other than write, in bytes.
const maxCall = 64 << 10

// workerCall handles a gen_server:call to a process of the child. Writes are frequent and can be
// large, so they are not decoded.
func (m *manager) workerCall(p proc, to caller, req etf.Raw) {
	name, arity, a, ok := headOf(req)
	row := calls.find(name, arity)
	ok = ok && row != nil && row.taken.has(p.kind())
	if !ok || !row.taken.has(unbuilt) {
		if len(req) > maxCall {
			to.reply(gen.TooLarge(len(req), maxCall))
			return
		}
		t, err := etf.Decode(req)
		ok = ok && err == nil
		_, a = partsOf(t)
	}
	if !ok || !row.do(m, p, to, a) {
		to.reply(gen.BadRequest(req))
	}
}

func (m *manager) stopCall(p proc, to caller, _ args) bool {
	if w := m.keep(to, 0); w != nil {
		e := p.self().ends()
		e.stops = append(e.stops, w)
		m.end(p, gen.Normal, to.client().stoppedBy(history.Stop))
	}
	return true
}

func (m *manager) infoCall(p proc, to caller, _ args) bool {
	to.reply(p.info(m))
	return true
}

// closeCall takes {close, stdin | FD}.
func (p *program) closeCall(m *manager, to caller, a args) bool {
	if a.list[0] == etf.Atom("stdin") {
		p.w.CloseStdin()
		to.reply(etf.Atom("ok"))
		return true
	}
	fd, ok := order.FD(a.list[0])
	if ok {
		to.reply(outcome(p.w.CloseInput(fd)))
	}
	return ok
}

// readCall takes {read, stdout | stderr | FD, Max}.
func (p *program) readCall(m *manager, to caller, a args) bool {
	n, ok := a.list[1].(int64)
	if !ok || n < 1 {
		return false
	}
	for s := range p.out.Streams {
		if a.list[0] == streamTerm(s) {
			if !p.out.Passive() {
				to.reply(gen.Error(etf.Atom("active")))
				return true
			}
			m.read(p, to, s, int(min(n, output.MaxPiece)))
			return true
		}
	}
	return false
}

// setoptsCall changes owner, active, packet, stdout and stderr. It sets all given options, or none.
// The answer comes first, because output that is delivered then may include the worker's end.
func (m *manager) setoptsCall(p proc, to caller, a args) bool {
	list, bad := order.Options(a.list[0])
	if bad != nil {
		to.reply(gen.Error(bad.Term()))
		return true
	}
	var todo, last []func() // the new owner gets messages as the other options say
	for _, o := range list {
		f, err := m.setopt(p, o.Key.(etf.Atom), o.Value)
		if err != nil {
			bad := &order.BadOption{Key: o.Key, Why: err.Error()}
			to.reply(gen.Error(bad.Term()))
			return true
		}
		if o.Key == etf.Atom("owner") {
			last = append(last, f)
		} else {
			todo = append(todo, f)
		}
	}
	to.reply(etf.Atom("ok"))
	for _, f := range append(todo, last...) {
		f()
	}
	return true
}

func (m *manager) setopt(p proc, key etf.Atom, v etf.Term) (func(), error) {
	if key != "owner" {
		return p.setopt(m, key, v)
	}
	pid, ok := v.(etf.Pid)
	if !ok {
		return nil, errors.New("must be a pid")
	}
	return func() {
		m.setOwner(p, pid)
		p.disowned(m)
	}, p.ownable(m, pid)
}

// setopt is the method of proc.
func (p *program) setopt(m *manager, key etf.Atom, v etf.Term) (func(), error) {
	switch key {
	case "active":
		a, ok := order.ActiveOf(v)
		if !ok {
			return nil, errors.New("must be true, once, false or a number of messages, -32768 to 32767")
		}
		return p.activation(m, a), nil
	case "flow":
		a, err := order.FlowOf(v)
		return p.activation(m, a), err
	case "packet":
		pk, err := order.PacketOf(v)
		return func() {
			p.out.Packet = output.Packet{Packet: pk}
			p.goOnAll(m)
		}, err
	case "stdout", "stderr":
		s := workers.Stdout
		if key == "stderr" {
			s = workers.Stderr
		}
		redirect, err := p.out.Redirect(p, s, v, m.reachable)
		return func() {
			redirect()
			p.goOn(m)
		}, err
	}
	return nil, errors.New("there is no such option")
}

// activation returns a function that changes how output is sent.
func (p *program) activation(m *manager, a order.Active) func() {
	return func() {
		p.out.Activate(p, a)
		p.goOnAll(m)
	}
}

// resizeCall takes {resize, Rows, Cols}. It also applies to the terminals of later runs.
func (p *program) resizeCall(m *manager, to caller, a args) bool {
	r, err1 := order.TerminalSize("rows", a.list[0])
	c, err2 := order.TerminalSize("cols", a.list[1])
	if err1 != nil || err2 != nil {
		return false
	}
	err := p.w.Resize(r, c)
	if p.restart != nil && p.restart.spec.Terminal != nil {
		p.restart.spec.Terminal.Rows, p.restart.spec.Terminal.Cols = r, c
		if err == unix.ENOTTY {
			err = nil // it is paused
		}
	}
	to.reply(outcome(err))
	return true
}

func (p *program) signalCall(m *manager, to caller, a args) bool {
	m.signal(to, a.list[0], p.w.Signal)
	return true
}

// signalGroupCall takes {signal, group, Sig}.
func (p *program) signalGroupCall(m *manager, to caller, a args) bool {
	group := a.list[0] == etf.Atom("group")
	if group {
		m.signal(to, a.list[1], p.w.SignalGroup)
	}
	return group
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

// outcome returns ok, or {error, Errno}.
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

func (p *program) writeStdinCall(m *manager, to caller, a args) bool {
	return m.write(p, to, workers.Stdin, a.raw)
}

// writeCall takes {write, FD, IoData}. A wrong descriptor counts as one that cannot be written to.
func (p *program) writeCall(m *manager, to caller, a args) bool {
	s := workers.Stdout
	r := etf.NewReader(a.raw)
	if n, err := r.Int(); err == nil {
		if fd, ok := order.FD(n); ok {
			s = fd
		}
	}
	return m.write(p, to, s, r.Rest())
}

// write writes to stdin or another pipe. The answer comes once the bytes are in it.
func (m *manager) write(p *program, to caller, s workers.Stream, arg etf.Raw) bool {
	data, err := ioData(arg)
	if err != nil {
		return false
	}
	data, ok := p.out.Packet.Frame(data)
	if !ok {
		to.reply(gen.Error(etf.Atom("emsgsize")))
		return true
	}
	w := m.keep(to, 0)
	if w == nil {
		return true
	}
	if err := p.w.WriteTo(s, data, w); err != nil {
		w.reply(outcome(err))
	}
	return true
}

// Wrote answers a write of a call or of an I/O request. A command has no answer, but its loss is
// reported.
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

// ioData returns the bytes of iodata. If it is a binary, they are a part of the frame.
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
