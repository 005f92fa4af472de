package childproc

import (
	"erluv/etf"
	"erluv/ipc"
)

const (
	// farewellPiece is how many bytes of farewells are composed in one round: some
	// thousand exit signals. A million of them stop neither other workers nor ticks.
	farewellPiece = 128 << 10

	// farewellShare is how many of them one process has before the next has its turn.
	farewellShare = 16 << 10
)

// farewell is what is to be said of the end of one of our processes: the answers to the
// calls that wait for the end, then the exit signals of those that are linked, then the
// 'DOWN's of the monitors. It is kept as the process has kept it, with the reason once,
// and composed while there is room. Main knows of each link and monitor until its frame
// is composed: should the child die in between, main tells the rest.
type farewell struct {
	pid      etf.Pid
	answers  []from
	answer   etf.Term
	watch    watchers
	reason   etf.Raw
	kept     *keptReason // where the reason is counted; nil: nowhere
	links    int         // told
	monitors int         // told
}

// farewells wait for room. One process after the other has a share, so that the end of
// one with few observers does not wait for that of one with many. What one process sends to
// another keeps its order: each farewell is said from its beginning to its end, and what
// the process has said before is composed already.
type farewells struct {
	list []*farewell
	gave bool // some were said when there was room last: output has its turn now
}

// bid begins a farewell. It takes over what the process has of observers.
func (m *manager) bid(f *farewell) {
	if m.phase == disconnected {
		return // there is no node any more
	}
	if m.farewells.list = append(m.farewells.list, f); len(m.farewells.list) == 1 {
		m.sayFarewells(farewellShare) // nearly always all there is
	}
}

// farewellTurn says some when there is room, and leaves every other turn to the output of
// programs.
func (m *manager) farewellTurn() {
	if m.farewells.gave = !m.farewells.gave; m.farewells.gave {
		m.sayFarewells(farewellPiece)
	}
}

// owes says whether there is more to say than what was composed.
func (m *manager) owes() bool { return len(m.farewells.list) > 0 }

// roomy says whether there is room for what can wait.
func (m *manager) roomy() bool { return m.out.waiting() < outHigh }

// sayFarewells says some of what there is to say, up to about so many bytes.
func (m *manager) sayFarewells(piece int) {
	list := m.farewells.list
	for piece > 0 && len(list) > 0 && m.roomy() {
		f := list[0]
		list[0] = nil
		list = list[1:]
		before := len(m.out.buf)
		for !f.over() && len(m.out.buf)-before < farewellShare {
			m.say(f)
		}
		piece -= len(m.out.buf) - before
		if f.over() {
			m.dropReason(f.kept)
		} else {
			list = append(list, f)
		}
	}
	if len(list) == 0 {
		list = nil
	}
	m.farewells.list = list
}

// over says whether all was said.
func (f *farewell) over() bool {
	return len(f.answers) == 0 && f.links == f.watch.links.len() &&
		(f.watch.monitors == nil || f.monitors == f.watch.monitors.len())
}

// say says the next word of a farewell, and has main forget what it rests on.
func (m *manager) say(f *farewell) {
	switch {
	case len(f.answers) > 0:
		m.out.reply(f.answers[0], f.answer)
		f.answers[0] = from{}
		f.answers = f.answers[1:]
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
func (m *manager) forgetFarewells() { m.farewells.list = nil }
