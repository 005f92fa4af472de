package peer

import (
	"bytes"
	"slices"

	"erluv/ipc"
	"erluv/wire/dist"
	"erluv/wire/etf"
)

const (
	// farewellPiece is how many bytes of farewells are composed in one round: some
	// thousand exit signals. A million of them stop neither other workers nor ticks.
	farewellPiece = 128 << 10

	// farewellShare is how many of them one process has before the next has its turn.
	farewellShare = 16 << 10
)

// Farewell is what one of our processes has still to say to the node: words for which there
// was no room, and after its end the answers to the calls that wait for the end, then the exit
// signals of those that are linked, then the 'DOWN's of the monitors. It is kept as the
// process has kept it, with the reason once, and composed while there is room. Main knows of
// each link and monitor until its frame is composed: should the child die in between, main
// tells the rest.
type Farewell struct {
	Pid       etf.Pid
	Answers   []Answer
	Observers Observers
	Reason    etf.Raw
	Over      func() // called once all is said, or nobody is there to hear it; nil: nothing

	words    []word
	links    int // told
	monitors int // told
}

// word is a frame that no request has asked for, and that found the outbox full: programs
// end and say things while the node does not read. A program is not started again before its
// worker's words are said, so these are of one run.
type word struct {
	kind  Kind
	frame []byte
}

// Kind tells words of which only the last counts, as it says how things are.
type Kind uint16

// Once is the kind of words that count all of them; one run of a program has few. What other
// kinds there are is the host's matter.
const Once Kind = 0

// Answer is the answer to a call that was kept.
type Answer struct {
	To   dist.Ask
	Term etf.Term
	Late func() etf.Term // makes the term when there is room, nil is none; nil: it is made
	Held Held            // nil: nothing
}

// Held is what the host keeps for an answer. It is given back when the answer is said, or
// nobody is there to hear it.
type Held interface{ Give() }

func (a *Answer) give() {
	if a.Held != nil {
		a.Held.Give()
	}
}

// farewells wait for room. One process after the other has a share, so that the end of
// one with few observers does not wait for that of one with many. What one process sends to
// another keeps its order: each farewell is said from its beginning to its end, and what
// the process has said before is composed already.
type farewells struct {
	list    []*Farewell
	words   map[uint64]*Farewell // those with words, by pid
	answers *Farewell            // of no process
	gave    bool                 // some were said when there was room last: output has its turn now
}

// Bid begins a farewell. It takes over what the process has of observers.
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
		c.sayFarewells(farewellShare) // nearly always all there is
	}
}

// Unasked has a frame composed which no request has asked for. When there was no room for
// it, or more of the process waits, it waits too. It says whether it does.
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

// HasWords says whether words of the process wait.
func (c *Peer) HasWords(pid etf.Pid) bool { return c.farewells.words[key(pid)] != nil }

// Settle answers a call that was kept. Many may be due at once: they wait for room.
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

// FarewellTurn says some when there is room, and leaves every other turn to the output of
// programs, which waits for all words.
func (c *Peer) FarewellTurn() {
	if c.farewells.gave = !c.farewells.gave; c.farewells.gave || c.late > 0 {
		c.sayFarewells(farewellPiece)
	}
}

// Owes says whether there is more to say than what was composed.
func (c *Peer) Owes() bool { return len(c.farewells.list) > 0 }

// Spare says whether there is room for what can wait.
func (c *Peer) Spare() bool { return c.Waiting() < High }

// Roomy says whether there is room for output.
func (c *Peer) Roomy() bool { return c.Spare() && c.Late() == 0 }

// sayFarewells says some of what there is to say, up to about so many bytes.
func (c *Peer) sayFarewells(piece int) {
	list := c.farewells.list
	var said []etf.Pid // whose words are
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

// said says whether all was said.
func (f *Farewell) said() bool {
	return len(f.words) == 0 && len(f.Answers) == 0 && f.links == f.Observers.links.len() &&
		(f.Observers.monitors == nil || f.monitors == f.Observers.monitors.len())
}

func (f *Farewell) over() {
	if f.Over != nil {
		f.Over()
	}
}

// say says the next word of a farewell, and has main forget what it rests on.
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

// forgetFarewells drops what is still to be said: there is no node any more.
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

// forget gives back what a farewell has of budgets.
func (c *Peer) forget(f *Farewell) {
	for _, a := range f.Answers {
		a.give()
	}
	f.over()
}
