package peer

import (
	"errors"
	"testing"

	"erluv/ipc"
	"erluv/ipc/journal"
	"erluv/loop/looptest"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// counting is a host that counts the reports it gets.
type counting struct {
	silent
	said []etf.Pid
	lost int
	next uint32
}

func (h *counting) Said(pid etf.Pid) { h.said = append(h.said, pid) }
func (h *counting) Lost(error)       { h.lost++ }
func (h *counting) NewPid() etf.Pid {
	h.next++
	return gen.PidOf("erluv@localhost", 7, h.next)
}

var (
	ours   = etf.Pid{Node: "erluv@localhost", ID: 1000, Creation: 7}
	theirs = etf.Pid{Node: "node@localhost", ID: 101, Creation: 9}
)

// given counts the shares that are given back.
type given int

func (g *given) Give() { *g++ }

// unheard makes a peer whose node reads nothing, so its outbox is full.
func unheard(t *testing.T) (*Peer, *counting) {
	t.Helper()
	j, err := journal.New(nil, 0)
	must(t, err)
	pages, err := journal.Map(j.FD())
	must(t, err)
	must(t, j.Close())
	l, err := looptest.New()
	must(t, err)
	t.Cleanup(func() {
		l.Close()
		_ = pages.Close()
	})
	h := &counting{}
	c, err := New(l, Given{Link: ipc.Link{Target: "node@localhost"}, FD: -1, Pages: pages}, ours, 0, h, ipc.NoLogger())
	must(t, err)
	c.Send(theirs, etf.Binary(make([]byte, Most)))
	return c, h
}

// TestForgottenWords checks that words for a node that is gone give back their shares of budgets,
// and hold back nothing any more.
func TestForgottenWords(t *testing.T) {
	c, h := unheard(t)
	over := 0
	var back given
	answer := Answer{To: dist.Ask{From: theirs, Tag: gen.Encode(int64(1))}, Term: etf.Atom("ok"), Held: &back}
	c.Settle(answer)
	other := etf.Pid{Node: ours.Node, ID: 1001, Creation: 7}
	if !c.Unasked(ours, Once, func() { c.Send(theirs, etf.Atom("word")) }) || !c.Unasked(other, Once, func() { c.Send(theirs, etf.Atom("word")) }) {
		t.Fatal("there is room")
	}
	c.Bid(&Farewell{Pid: ours, Answers: []Answer{answer, answer}, Reason: gen.Normal, Over: func() { over++ }})
	if back != 0 || over != 0 || c.Roomy() || !c.Owes() {
		t.Fatalf("%d parts are given back, %d farewells are over", back, over)
	}
	c.end(errors.New("the end"))
	if back != 3 || over != 1 || len(h.said) != 2 || h.lost != 1 {
		t.Errorf("%d parts are given back, %d farewells over, the words of %v said, %d connections lost", back, over, h.said, h.lost)
	}
	if !c.Roomy() || c.Owes() || c.HasWords(ours) || c.Waiting() > 0 {
		t.Error("something still waits")
	}
	// The same holds for words after the end.
	c.Settle(answer)
	c.Bid(&Farewell{Pid: ours, Answers: []Answer{answer}, Over: func() { over++ }})
	if back != 5 || over != 2 || c.Waiting() > 0 {
		t.Errorf("%d parts are given back, %d farewells over, %d bytes wait", back, over, c.Waiting())
	}
}

// TestQuestionWithoutRoom checks that a question which waits for room does not time out.
func TestQuestionWithoutRoom(t *testing.T) {
	c, h := unheard(t)
	var got etf.Term
	c.Ask("m", "f", nil, func(result etf.Term) { got = result })
	pid := gen.PidOf("erluv@localhost", 7, h.next)
	if q := c.questions[key(pid)]; q == nil || q.timer != nil || !c.Asks(pid) {
		t.Fatal("the question has a timeout, and was not put")
	}
	c.Sent(c.Waiting())
	c.Commit()
	c.FarewellTurn()
	if q := c.questions[key(pid)]; q == nil || q.timer == nil {
		t.Fatal("the question has no timeout")
	}
	c.Answered(pid, gen.Encode(etf.Tuple{etf.Atom("rex"), int64(5)}))
	if got != int64(5) || c.Asks(pid) {
		t.Errorf("the answer is %v", got)
	}
}
