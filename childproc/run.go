package childproc

import (
	"erluv/etf"
	"erluv/workers"
)

// collector holds the output of a run until its end.
type collector struct {
	max  int // bytes of both streams together
	size int
	out  [2][]byte
	full bool
}

// runPiece is the space that is given for one read, in bytes: what a pipe holds.
const runPiece = 64 << 10

func newCollector(limit int) *collector { return &collector{max: limit} }

func (c *collector) room(s workers.Stream) []byte {
	b := &c.out[s-workers.Stdout]
	if cap(*b)-len(*b) < runPiece/16 {
		grown := make([]byte, len(*b), max(runPiece/16, min(2*cap(*b), cap(*b)+c.max)))
		copy(grown, *b)
		if cap(grown)-len(grown) < runPiece/16 {
			grown = append(grown, make([]byte, runPiece/16)...)[:len(*b)]
		}
		*b = grown
	}
	return (*b)[len(*b):cap(*b)]
}

// took notes n bytes, and says whether they are the ones too many. What is
// beyond the limit is dropped.
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
	case c.full:
		return errorTerm(etf.Tuple{etf.Atom("max_output"), output})
	case late:
		return errorTerm(etf.Tuple{etf.Atom("timeout"), output})
	}
	return okTerm(append(output, etf.Pair{Key: etf.Atom("exit"), Value: exitTerm(e)}))
}

// answerRuns answers the runs that are over, while there is room: together their
// answers may be more than the outbox holds.
func (m *manager) answerRuns() {
	for len(m.ran) > 0 && m.out.waiting() < outHigh {
		p := m.ran[0]
		m.ran[0] = nil
		m.ran = m.ran[1:]
		m.out.reply(p.asked.from, p.run.result(p.ending.exit, p.ending.failing != nil))
	}
}
