package peer

import (
	"bytes"
	"slices"

	"erluv/ipc"
	"erluv/wire/dist"
	"erluv/wire/etf"
)

const (
	// farewellPiece is how many bytes of farewells are composed in one round: some thousand exit
	// signals. So a million of them stop neither other workers nor ticks.
	farewellPiece = 128 << 10

	// farewellShare is how many bytes of them one process has before the next has its turn.
	farewellShare = 16 << 10
)

// Farewell is what a process of the child must still send to the node. It has words for which there
// was no room. After the process's end, answers to calls that wait for the end come first. Then
// come the exit signals to linked processes, then the 'DOWN' messages of monitors. Frames are
// composed only when there is room, so the reason is kept once. Main remembers each link and
// monitor until its frame is composed. If the child dies before, main sends the rest.
type Farewell struct {
	Pid       etf.Pid
	Answers   []Answer
	Observers Observers
	Reason    etf.Raw
	Over      func() // called once all is sent, or the node is gone; nil: no call

	words    []word
	links    int // how many were sent
	monitors int // how many were sent
}

// word is a frame that no request asked for, and for which the outbox was full. Programs end and
// write even while the node does not read. A program is not restarted before its worker's words are
// sent, so these are of one run.
type word struct {
	kind  Kind
	frame []byte
}

// Kind marks words that describe a state, of which only the last of each kind counts.
type Kind uint16

// Once is the kind of words that all count. One run of a program has few. The host defines the
// other kinds.
const Once Kind = 0

// Answer is the answer to a call that was kept.
type Answer struct {
	To   dist.Ask
	Term etf.Term
	Late func() etf.Term // makes the term when there is room, or nil for no answer; nil: Term is the answer
	Held Held            // nil: no share
}

// Held is the share of a budget that the host keeps for an answer. It is given back when the answer
// is sent, or the node is gone.
type Held interface{ Give() }

func (a *Answer) give() {
	if a.Held != nil {
		a.Held.Give()
	}
}

// farewells wait for room. The processes take turns, so that the end of one with few observers does
// not wait for one with many. Messages between two processes keep their order, because each
// farewell is sent from beginning to end, and earlier frames of the process are composed already.
type farewells struct {
	list    []*Farewell
	words   map[uint64]*Farewell // farewells with words, by pid
	answers *Farewell            // of no process
	gave    bool                 // the last room was used for farewells, so output has its turn
}

// Bid begins a farewell. It takes over the observers of the process.
func (c *Peer) Bid(f *Farewell) {
	if c.dead {
		c.forget(f)
		return
	}
	if w := c.farewells.words[key(f.Pid)]; w != nil {
		f.words = w.words
		*w = *f
		return
	}
	if c.farewells.list = append(c.farewells.list, f); len(c.farewells.list) == 1 {
		c.sayFarewells(farewellShare) // nearly always this sends all of it
	}
}

// Unasked composes a frame that no request asked for. The frame waits if there is no room, or if
// other words of the process wait. waits reports whether it does.
func (c *Peer) Unasked(pid etf.Pid, kind Kind, compose func()) (waits bool) {
	start := len(c.buf)
	compose()
	f := c.farewells.words[key(pid)]
	if len(c.buf) == start || f == nil && start-c.off < Most {
		return false
	}
	if f == nil {
		f = &Farewell{Pid: pid}
		c.farewells.words[key(pid)] = f
		c.farewells.list = append(c.farewells.list, f)
	}
	if kind != Once {
		f.words = slices.DeleteFunc(f.words, func(w word) bool {
			if w.kind == kind {
				c.late -= len(w.frame)
			}
			return w.kind == kind
		})
	}
	w := word{kind, bytes.Clone(c.buf[start:])}
	f.words = append(f.words, w)
	c.late += len(w.frame)
	c.buf = c.buf[:start]
	return true
}

// HasWords reports whether words of the process wait.
func (c *Peer) HasWords(pid etf.Pid) bool { return c.farewells.words[key(pid)] != nil }

// Settle answers a call that was kept. Many may be due at once, so answers wait for room.
func (c *Peer) Settle(a Answer) {
	switch w := c.farewells.answers; {
	case c.Waiting() < Most:
		c.sayAnswer(a)
	case w != nil:
		w.Answers = append(w.Answers, a)
	default:
		c.farewells.answers = &Farewell{Answers: []Answer{a}}
		c.Bid(c.farewells.answers)
	}
}

func (c *Peer) sayAnswer(a Answer) {
	a.give()
	if a.Late != nil {
		if a.Term = a.Late(); a.Term == nil {
			return
		}
	}
	c.Answer(a.To, a.Term)
}

// FarewellTurn sends farewells if there is room. Every other turn is left to the output of
// programs, unless words wait: output waits for all words.
func (c *Peer) FarewellTurn() {
	if c.farewells.gave = !c.farewells.gave; c.farewells.gave || c.late > 0 {
		c.sayFarewells(farewellPiece)
	}
}

// Owes reports whether there is more to send than the composed frames.
func (c *Peer) Owes() bool { return len(c.farewells.list) > 0 }

// Spare reports whether there is room for frames that can wait.
func (c *Peer) Spare() bool { return c.Waiting() < High }

// Roomy reports whether there is room for output.
func (c *Peer) Roomy() bool { return c.Spare() && c.Late() == 0 }

// sayFarewells sends farewells of about piece bytes.
func (c *Peer) sayFarewells(piece int) {
	list := c.farewells.list
	var said []etf.Pid // processes whose words are sent
	for piece > 0 && len(list) > 0 && c.Spare() {
		f := list[0]
		list[0] = nil
		list = list[1:]
		before, words := len(c.buf), len(f.words) > 0
		for !f.said() && len(c.buf)-before < farewellShare {
			c.say(f)
		}
		piece -= len(c.buf) - before
		if words && len(f.words) == 0 {
			delete(c.farewells.words, key(f.Pid))
			said = append(said, f.Pid)
		}
		if f.said() {
			f.over()
			if f == c.farewells.answers {
				c.farewells.answers = nil
			}
		} else {
			list = append(list, f)
		}
	}
	if len(list) == 0 {
		list = nil
	}
	c.farewells.list = list
	for _, pid := range said {
		c.posed(pid)
		c.host.Said(pid)
	}
}

// said reports whether all was sent.
func (f *Farewell) said() bool {
	return len(f.words) == 0 && len(f.Answers) == 0 && f.links == f.Observers.links.len() &&
		(f.Observers.monitors == nil || f.monitors == f.Observers.monitors.len())
}

func (f *Farewell) over() {
	if f.Over != nil {
		f.Over()
	}
}

// say sends the next frame of a farewell, and makes main forget the link or monitor.
func (c *Peer) say(f *Farewell) {
	switch {
	case len(f.words) > 0:
		frame := f.words[0].frame
		f.words[0] = word{}
		f.words = f.words[1:]
		c.late -= len(frame)
		c.add(frame)
	case len(f.Answers) > 0:
		a := f.Answers[0]
		f.Answers[0] = Answer{}
		f.Answers = f.Answers[1:]
		c.sayAnswer(a)
	case f.links < f.Observers.links.len():
		to := c.theirs(f.Observers.links.list[f.links].key)
		f.links++
		c.observed--
		c.linked--
		c.ledger.remove(observerOf(ipc.ObserverLink, f.Pid, to))
		c.Exit(f.Pid, to, f.Reason)
	default:
		e := f.Observers.monitors.list[f.monitors]
		f.monitors++
		c.observed--
		to := c.theirs(e.key.from)
		c.ledger.remove(monitorOf(f.Pid, e.value, to, e.key.ref))
		c.MonitorExit(f.Pid, e.value, to, etf.Raw(e.key.ref), f.Reason)
	}
}

// forgetFarewells drops all farewells, because the node is gone.
func (c *Peer) forgetFarewells() {
	all := c.farewells
	c.farewells = farewells{words: make(map[uint64]*Farewell)}
	c.late = 0
	for _, f := range all.list {
		c.forget(f)
		c.posed(f.Pid)
		if len(f.words) > 0 {
			c.host.Said(f.Pid)
		}
	}
}

// forget gives back a farewell's shares of budgets.
func (c *Peer) forget(f *Farewell) {
	for _, a := range f.Answers {
		a.give()
	}
	f.over()
}
