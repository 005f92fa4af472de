package childproc

import (
	"math"

	"erluv/childproc/history"
	"erluv/childproc/output"
	"erluv/childproc/peer"
	"erluv/childproc/ring"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"
)

// Package output carries the output of a program. This file connects it to the worker, and to the
// process to which the output belongs.

// Room returns space for the output of a program: see output.Room.
func (m *manager) Room(w *workers.Worker, s workers.Stream) workers.Space {
	p := w.Tag.(*program)
	switch {
	case m.phase == disconnected:
		return m.turns.Nowhere() // it has no reader any more
	case p.run != nil && !p.out.Dropped():
		return p.runRoom(m, s)
	}
	return p.out.Room(p, m.turns, s)
}

// Took takes bytes that were read into that space.
func (m *manager) Took(w *workers.Worker, s workers.Stream, room workers.Space, n int) {
	p := w.Tag.(*program)
	m.turns.Took(n)
	var kept *ring.Ring
	if len(m.logs.of) > 0 {
		kept = m.logs.put(p, s, room.Bytes[:n])
	}
	if p.awaitsReady() {
		defer m.unready.count(p, s)()
	}
	switch {
	case m.phase == disconnected || p.out.Dropped():
	case p.run == nil:
		p.out.Took(p, s, room, n)
	case p.run.took(s, n):
		w.Kill()
	}
	m.tellFollowers(kept)
}

// Ended is called when a stream has ended.
func (m *manager) Ended(w *workers.Worker, s workers.Stream) {
	p := w.Tag.(*program)
	if p.run == nil {
		p.sawEnd(m, s)
		p.out.Ended(p, s)
	}
}

// Drains lets the last output of a stopped worker go on without waiting for receivers.
func (m *manager) Drains(w *workers.Worker) {
	p := w.Tag.(*program)
	m.noteUse(p)
	p.hold()
}

// hold has the streams read or held. Those of a run are held only while it waits for memory.
func (p *program) hold() {
	if p.run != nil && !p.out.Dropped() {
		p.out.HoldAll(p, p.run.waits)
		return
	}
	p.out.Hold(p)
}

// read answers {read, Stream, Max}, at once or when there is output.
func (m *manager) read(p *program, to caller, s workers.Stream, limit int) {
	if p.out.Readers(s) >= output.MaxReaders {
		to.reply(gen.Error(etf.Atom("eagain")))
		return
	}
	if !p.out.Open(p, s) {
		to.reply(etf.Atom("eof")) // it is no pipe
		return
	}
	w := m.keep(to, 0)
	if w == nil {
		return
	}
	near := to.near(&p.entry)
	p.out.Read(p, s, &near.Outlet, output.Call{Ask: w.to.Ask, By: w, Limit: limit, Direct: to.client() == near})
	p.goOn(m, s)
}

// await makes a reader wait for output.
func (m *manager) await(p *program, s workers.Stream, r *output.Reader) {
	p.out.Await(s, r)
	p.goOn(m, s)
}

// streamTerm names a stream by its atom, or by the number of its descriptor.
func streamTerm(s workers.Stream) etf.Term { return peer.Stream(s).Term() }

// A program is the output.Host of its output.

// Worker is the method of output.Host.
func (p *program) Worker() *workers.Worker { return p.w }

// PID is the method of output.Host.
func (p *program) PID() etf.Pid { return p.pid }

// Owner is the method of output.Host.
func (p *program) Owner() etf.Pid { return p.owner }

// Home is the method of output.Host.
func (p *program) Home() *output.Outlet { return &p.client.Outlet }

// To is the method of output.Host.
func (p *program) To(pid etf.Pid) *output.Outlet {
	if c := p.client.m.clientOf(pid, p.client); c != nil {
		return &c.Outlet
	}
	return nil
}

// Hidden is the method of output.Host.
func (p *program) Hidden() bool { return p.life.hidden() }

// Ending is the method of output.Host.
func (p *program) Ending() bool { return p.life.told }

// AwaitsOwner is the method of output.Host.
func (p *program) AwaitsOwner() bool { return p.awaitsOwner() }

// Share is the method of output.Host.
func (p *program) Share() (bytes int, unready bool) {
	if !p.awaitsReady() {
		return 0, false
	}
	return p.client.m.unready.share(), true
}

// Piece is the method of output.Host.
func (p *program) Piece() int {
	if p.awaitsLine() {
		return matchPiece
	}
	return math.MaxInt
}

// Ahead is the method of output.Host.
func (p *program) Ahead() int {
	if r := p.client.m.logs.of[p]; r != nil {
		return min(ahead, r.State().Size)
	}
	return 0
}

// Saw is the method of output.Host.
func (p *program) Saw(s workers.Stream, data []byte) { p.sawOutput(p.client.m, s, data) }

// Served is the method of output.Host.
func (p *program) Served() { p.client.m.unready.delivered(p) }

// Tell is the method of output.Host.
func (p *program) Tell(to etf.Pid, what etf.Term) { p.client.m.tell(to, p, what) }

// Malformed is the method of output.Host.
func (p *program) Malformed() { p.client.m.end(p, gen.Encode(etf.Atom("emsgsize")), history.Output) }

// GoOn is the method of output.Host.
func (p *program) GoOn(s workers.Stream) { p.goOn(p.client.m, s) }
