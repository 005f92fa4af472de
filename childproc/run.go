package childproc

import (
	"time"

	"erluv/childproc/order"
	"erluv/loop"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"
)

// collector holds the output of a run until its end.
type collector struct {
	max      int // the most bytes, of both streams together
	size     int
	space    int // memory of both streams, counted in collected
	out      [2][]byte
	full     bool
	waits    bool        // it waits for memory
	patience *loop.Timer // how long it may wait
	crowded  bool        // it has waited in vain
}

// collected is the memory of all runs. If a run needs more than is left of the budget, it waits
// until others are answered. Meanwhile its program blocks in its write. The first run that would
// wait does not, so at least one goes on.
type collected struct {
	bytes   int
	over    *program // it may exceed the budget; nil: none does
	waiting []*program
}

const (
	// collectedMax is the budget, in bytes. It is twice what one run may collect, so that a run
	// that does not end leaves as much to the others.
	collectedMax = 2 * order.MaxOutput

	// runPatience is how long a run waits while the others neither end nor go on. Then it is ended,
	// and answered with eagain.
	runPatience = 10 * time.Second

	// runPiece is the least memory for one read, in bytes.
	runPiece = 4 << 10
)

func newCollector(limit int) *collector { return &collector{max: limit} }

// missing is by how much the memory of a stream must grow before a read.
func (c *collector) missing(s workers.Stream) int {
	b := c.out[s-workers.Stdout]
	if cap(b)-len(b) >= runPiece {
		return 0
	}
	return max(runPiece, min(cap(b), c.max-c.size))
}

// grow makes the memory of a stream larger.
func (c *collector) grow(s workers.Stream, n int) {
	b := &c.out[s-workers.Stdout]
	grown := make([]byte, len(*b), cap(*b)+n)
	copy(grown, *b)
	*b = grown
	c.space += n
}

// runRoom returns space for the output of a run, or none if the run must wait for others.
func (p *program) runRoom(m *manager, s workers.Stream) workers.Space {
	c := p.run
	if n := c.missing(s); n > 0 {
		switch over := m.collected.over; {
		case n <= collectedMax-m.collected.bytes || over == p:
		case over == nil:
			m.collected.over = p
		case p.life.told || p.told().failing != nil:
			p.out.GiveUpRest()
			return m.turns.Nowhere()
		default:
			p.awaitSpace(m)
			return workers.Space{}
		}
		m.collected.bytes += n
		c.grow(s, n)
	}
	b := c.out[s-workers.Stdout]
	return workers.Space{Bytes: b[len(b):cap(b)]}
}

// awaitSpace holds a run's output until there is memory.
func (p *program) awaitSpace(m *manager) {
	if p.run.waits {
		return
	}
	p.run.waits = true
	m.collected.waiting = append(m.collected.waiting, p)
	p.hold()
	p.beRunPatient(m)
}

func (p *program) beRunPatient(m *manager) {
	p.run.patience = m.loop.After(runPatience, func() {
		if m.owesRuns() { // the node does not read the answers of runs
			p.beRunPatient(m)
			return
		}
		p.run.crowded = true
		p.w.Kill()
		p.waitNoMore(m)
		p.freeSpace(m)
	})
}

// waitNoMore ends the wait of a run that is being ended. Output in its pipes is dropped.
func (p *program) waitNoMore(m *manager) {
	if p.run != nil && p.run.waits {
		p.run.patience.Stop()
		p.out.GiveUp(p)
	}
}

// freeSpace frees the memory of a run that is answered. Runs that wait for memory try again.
func (p *program) freeSpace(m *manager) {
	c := p.run
	m.collected.bytes -= c.space
	c.space, c.out = 0, [2][]byte{}
	if m.collected.over == p {
		m.collected.over = nil
	}
	waiting := m.collected.waiting
	m.collected.waiting = nil
	for _, q := range waiting {
		q.run.waits = false
		q.run.patience.Stop()
	}
	for _, q := range waiting {
		q.goOn(m)
	}
}

// took counts n bytes, and reports whether they exceed the limit for the first time. Bytes beyond
// the limit are dropped.
func (c *collector) took(s workers.Stream, n int) (overflow bool) {
	b := &c.out[s-workers.Stdout]
	keep := min(n, c.max-c.size)
	*b = (*b)[:len(*b)+keep]
	c.size += keep
	if keep < n && !c.full {
		c.full = true
		return true
	}
	return false
}

// result is the answer to the run.
func (c *collector) result(e workers.Exit, late bool) etf.Term {
	output := etf.Map{
		{Key: etf.Atom("stdout"), Value: etf.Binary(c.out[0])},
		{Key: etf.Atom("stderr"), Value: etf.Binary(c.out[1])},
	}
	switch {
	case c.crowded:
		return errorHeld
	case c.full:
		return gen.Error(etf.Tuple{etf.Atom("max_output"), output})
	case late:
		return gen.Error(etf.Tuple{etf.Atom("timeout"), output})
	}
	return gen.OK(append(output, etf.Pair{Key: etf.Atom("exit"), Value: exitTerm(e)}))
}

// answerRuns answers ended runs while there is room. Together, their answers may exceed the outbox.
func (c *client) answerRuns() {
	for len(c.ran) > 0 && c.Spare() {
		p := c.ran[0]
		c.ran[0] = nil
		c.ran = c.ran[1:]
		p.asked.reply(p.run.result(p.ending.exit, p.ending.failing != nil))
		p.freeSpace(c.m)
	}
}

// owesRuns reports whether any node still waits for answers of runs.
func (m *manager) owesRuns() bool {
	for _, c := range m.clients {
		if len(c.ran) > 0 {
			return true
		}
	}
	return false
}
