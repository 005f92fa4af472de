package childproc

import (
	"erluv/childproc/peer"
	"erluv/wire/etf"
	"erluv/workers"
)

// The kinds of words of which only the last counts.
const (
	wordOnce   = peer.Once
	wordJob    = peer.Once + 1 // stopped, continued
	wordStatus = peer.Once + 2 // {status, Text}
	wordFile   = peer.Once + 3 // and the number of a stream: {Stream, {error, E}}
)

func wordOfFile(s workers.Stream) peer.Kind { return wordFile + peer.Kind(s) }

// tell sends a message of a process of the child, if the receiver's node is connected.
func (m *manager) tell(to etf.Pid, p proc, what etf.Term) { m.tellLast(wordOnce, to, p, what) }

// tellLast is tell for a message that replaces an earlier one of its kind, if that still waits for
// room.
func (m *manager) tellLast(kind peer.Kind, to etf.Pid, p proc, what etf.Term) {
	e := p.self()
	if c := m.clientOf(to, e.client); c != nil {
		c.Unasked(e.pid, kind, func() { c.Send(to, etf.Tuple{e.pid, what}) })
	}
}
