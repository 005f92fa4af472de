package childproc

import (
	"encoding/binary"

	"erluv/dist"
	"erluv/etf"
	"erluv/workers"
)

// maxPiece is the largest piece of output in one message, in bytes. A pipe holds
// 64 KiB unless it was made larger.
const maxPiece = 256 << 10

// delivery is the frame of a message with output while its last part, the bytes
// themselves, is being read from the pipe.
type delivery struct {
	start int // where the frame begins in the outbox
	data  int // where the bytes go
}

var streamAtom = [...]etf.Atom{workers.Stdout: "stdout", workers.Stderr: "stderr"}

// Room composes {W, {stdout, <<...>>}} up to the bytes and gives the space behind
// it. Without room all output is held back, until conn says that there is room
// again: the program then blocks in its write, as on any full pipe.
func (m *manager) Room(w *workers.Worker, s workers.Stream) []byte {
	p := w.Tag.(*proc)
	if m.phase == disconnected {
		return m.out.mem[:maxPiece] // nobody is there to read it
	}
	if p.run != nil {
		return p.run.room(s)
	}
	if m.out.waiting() >= outHigh {
		m.streams.Pause()
		if w.State() == workers.Draining {
			m.stalled = append(m.stalled, w)
		}
		return nil
	}
	o := m.out
	m.frame.start = len(o.buf)
	to := p.receiver[s-workers.Stdout]
	b := dist.BeginSend(o.buf, to)
	b = etf.AppendTupleHeader(b, 2)
	b = etf.AppendPid(b, p.pid)
	b = etf.AppendTupleHeader(b, 2)
	b = etf.AppendAtom(b, streamAtom[s])
	b = etf.AppendBinaryHeader(b, 0)
	m.frame.data = len(b)
	o.buf = b
	return b[len(b) : len(b)+maxPiece]
}

// Took ends the frame behind the n bytes that were read, or takes it back.
func (m *manager) Took(w *workers.Worker, s workers.Stream, n int) {
	p := w.Tag.(*proc)
	switch {
	case m.phase == disconnected:
		return
	case p.run != nil:
		if p.run.took(s, n) {
			w.Kill()
		}
		return
	case n == 0 || p.receiver[s-workers.Stdout] == (etf.Pid{}):
		m.out.buf = m.out.buf[:m.frame.start]
		return
	}
	o := m.out
	binary.BigEndian.PutUint32(o.buf[m.frame.data-4:], uint32(n))
	o.buf = dist.End(o.buf[:m.frame.data+n], m.frame.start)
	o.end(m.frame.start)
}

// Ended: a stream has ended.
func (m *manager) Ended(w *workers.Worker, s workers.Stream) {
	p := w.Tag.(*proc)
	if to := p.receiver[s-workers.Stdout]; p.run == nil && to != (etf.Pid{}) {
		m.out.send(to, etf.Tuple{p.pid, etf.Tuple{streamAtom[s], etf.Atom("eof")}})
	}
}

// roomAgain lets output flow again after Room had none.
func (m *manager) roomAgain() {
	if !m.streams.Paused() {
		return
	}
	m.streams.Resume()
	stalled := m.stalled
	m.stalled = nil
	for _, w := range stalled {
		w.Resume()
	}
}
