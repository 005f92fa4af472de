package childproc

import (
	"bytes"
	"slices"

	"erluv/ipc"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/workers"
)

const (
	// farewellPiece is how many bytes of farewells are composed in one round: some
	// thousand exit signals. A million of them stop neither other workers nor ticks.
	farewellPiece = 128 << 10

	// farewellShare is how many of them one process has before the next has its turn.
	farewellShare = 16 << 10
)

// farewell is what is still to be said by one of our processes: words for which there was
// no room, and after its end the answers to the calls that wait for the end, then the exit
// signals of those that are linked, then the 'DOWN's of the monitors. It is kept as the
// process has kept it, with the reason once, and composed while there is room. Main knows of
// each link and monitor until its frame is composed: should the child die in between, main
// tells the rest.
type farewell struct {
	pid      etf.Pid
	words    []word
	answers  []answer
	watch    watchers
	reason   etf.Raw
	kept     *keptReason // where the reason is counted; nil: nowhere
	links    int         // told
	monitors int         // told
}

// word is a frame that no request has asked for, and that found the outbox full: programs
// end and say things while the node does not read. A program is not started again before its
// worker's words are said, so these are of one run.
type word struct {
	kind  wordKind
	frame []byte
}

// wordKind tells words of which only the last counts, as it says how things are.
type wordKind uint16

const (
	wordOnce   wordKind = iota // all of them count; one run has few
	wordJob                    // stopped, continued
	wordStatus                 // {status, Text}
	wordFile                   // and the number of a stream: {Stream, {error, E}}
)

func wordOfFile(s workers.Stream) wordKind { return wordFile + wordKind(s) }

// answer is the answer to a call that was kept.
type answer struct {
	to   dist.Ask
	term etf.Term
	late func() etf.Term // makes the term when there is room, nil is none; nil: it is made
	cost int             // what the call has of the budget; see held
}

// farewells wait for room. One process after the other has a share, so that the end of
// one with few observers does not wait for that of one with many. What one process sends to
// another keeps its order: each farewell is said from its beginning to its end, and what
// the process has said before is composed already.
type farewells struct {
	list    []*farewell
	words   map[uint64]*farewell // those with words, by pid
	answers *farewell            // of no process
	gave    bool                 // some were said when there was room last: output has its turn now
}

// bid begins a farewell. It takes over what the process has of observers.
func (m *manager) bid(f *farewell) {
	if m.phase == disconnected {
		return // there is no node any more
	}
	if w := m.farewells.words[key(f.pid)]; w != nil {
		f.words = w.words
		*w = *f
		return
	}
	if m.farewells.list = append(m.farewells.list, f); len(m.farewells.list) == 1 {
		m.sayFarewells(farewellShare) // nearly always all there is
	}
}

// unasked has a frame composed which no request has asked for. When there was no room for
// it, or more of the process waits, it waits too. It says whether it does.
func (m *manager) unasked(pid etf.Pid, kind wordKind, compose func()) (waits bool) {
	start := len(m.out.buf)
	compose()
	f := m.farewells.words[key(pid)]
	if len(m.out.buf) == start || f == nil && start-m.out.off < outFull {
		return false
	}
	if f == nil {
		f = &farewell{pid: pid}
		m.farewells.words[key(pid)] = f
		m.farewells.list = append(m.farewells.list, f)
	}
	if kind != wordOnce {
		f.words = slices.DeleteFunc(f.words, func(w word) bool {
			if w.kind == kind {
				m.out.late -= len(w.frame)
			}
			return w.kind == kind
		})
	}
	w := word{kind, bytes.Clone(m.out.buf[start:])}
	f.words = append(f.words, w)
	m.out.late += len(w.frame)
	m.out.buf = m.out.buf[:start]
	return true
}

// hasWords says whether words of the process wait.
func (m *manager) hasWords(pid etf.Pid) bool { return m.farewells.words[key(pid)] != nil }

// settle answers a call that was kept. Many may be due at once: they wait for room.
func (m *manager) settle(a answer) {
	switch w := m.farewells.answers; {
	case m.out.waiting() < outFull:
		m.sayAnswer(a)
	case w != nil:
		w.answers = append(w.answers, a)
	default:
		m.farewells.answers = &farewell{answers: []answer{a}}
		m.bid(m.farewells.answers)
	}
}

func (m *manager) sayAnswer(a answer) {
	m.held.give(a.cost)
	if a.late != nil {
		if a.term = a.late(); a.term == nil {
			return
		}
	}
	m.answer(a.to, a.term)
}

// farewellTurn says some when there is room, and leaves every other turn to the output of
// programs, which waits for all words.
func (m *manager) farewellTurn() {
	if m.farewells.gave = !m.farewells.gave; m.farewells.gave || m.out.late > 0 {
		m.sayFarewells(farewellPiece)
	}
}

// owes says whether there is more to say than what was composed.
func (m *manager) owes() bool { return len(m.farewells.list) > 0 }

// spare says whether there is room for what can wait.
func (m *manager) spare() bool { return m.out.waiting() < outHigh }

// roomy says whether there is room for output.
func (m *manager) roomy() bool { return m.spare() && m.out.late == 0 }

// sayFarewells says some of what there is to say, up to about so many bytes.
func (m *manager) sayFarewells(piece int) {
	list := m.farewells.list
	var said []etf.Pid // whose words are
	for piece > 0 && len(list) > 0 && m.spare() {
		f := list[0]
		list[0] = nil
		list = list[1:]
		before, words := len(m.out.buf), len(f.words) > 0
		for !f.over() && len(m.out.buf)-before < farewellShare {
			m.say(f)
		}
		piece -= len(m.out.buf) - before
		if words && len(f.words) == 0 {
			delete(m.farewells.words, key(f.pid))
			said = append(said, f.pid)
		}
		if f.over() {
			m.dropReason(f.kept)
			if f == m.farewells.answers {
				m.farewells.answers = nil
			}
		} else {
			list = append(list, f)
		}
	}
	if len(list) == 0 {
		list = nil
	}
	m.farewells.list = list
	for _, pid := range said {
		m.posed(pid)
		if p := m.find(pid); p != nil {
			m.heard(p)
		}
	}
}

// over says whether all was said.
func (f *farewell) over() bool {
	return len(f.words) == 0 && len(f.answers) == 0 && f.links == f.watch.links.len() &&
		(f.watch.monitors == nil || f.monitors == f.watch.monitors.len())
}

// say says the next word of a farewell, and has main forget what it rests on.
func (m *manager) say(f *farewell) {
	switch {
	case len(f.words) > 0:
		frame := f.words[0].frame
		f.words[0] = word{}
		f.words = f.words[1:]
		m.out.late -= len(frame)
		m.out.add(frame)
	case len(f.answers) > 0:
		a := f.answers[0]
		f.answers[0] = answer{}
		f.answers = f.answers[1:]
		m.sayAnswer(a)
	case f.links < f.watch.links.len():
		to := m.theirs(f.watch.links.list[f.links].key)
		f.links++
		m.watchers--
		m.ledger.remove(watchOf(ipc.WatchLink, f.pid, to))
		m.out.exit(f.pid, to, f.reason)
	default:
		e := f.watch.monitors.list[f.monitors]
		f.monitors++
		m.watchers--
		to := m.theirs(e.key.from)
		m.ledger.remove(monitorOf(f.pid, e.value, to, e.key.ref))
		m.out.monitorExit(f.pid, e.value, to, etf.Raw(e.key.ref), f.reason)
	}
}

// forgetFarewells drops what is still to be said: there is no node any more.
func (m *manager) forgetFarewells() {
	for _, f := range m.farewells.words {
		m.posed(f.pid)
	}
	m.farewells = farewells{words: make(map[uint64]*farewell)}
	m.out.late = 0
}
