package peer

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"erluv/wire/etf"
)

var mailboxSteps = flag.Int("mailbox", 1_000_000, "how many steps the model of a mailbox makes")

// world is a receiver on a simulated node, in virtual time. It has the receiver's mailbox, the
// messages of others, and the node that answers questions.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	seed    uint64
	at      time.Duration
	box     *mailbox
	queue   []*letter // includes some that were taken
	ours    int       // our messages in the queue
	waits   int       // their cost
	others  int       // messages of others in the queue
	streams []*source
	inbound []event // in the order of time
	timer   time.Duration

	takes     func() // what the receiver does in one step
	only      *source
	all       bool
	stirred   bool          // messages of others came or went
	noContent bool          // the node refuses looks
	mute      bool          // questions are not answered in time
	unknown   time.Duration // last time when the content was unavailable
	silent    time.Duration // until when an unanswered question may be on its way
	slow      time.Duration
	most      int
	looks     int
	asked     int
}

type letter struct {
	of    *source
	no    int
	cost  int
	taken bool
}

type event struct {
	at time.Duration
	do func()
}

// source is a program that writes.
type source struct {
	debt    *Debt
	pending int // bytes that it wants to write; negative means without end
	line    int // size of its messages; 0 means as much as may be sent
	list    int // size of its lines, which come in lists; 0 means no lists
	sent    int // messages
	taken   int
	queue   []*letter
	waits   int           // cost of its waiting messages
	starved time.Duration // since when it lacks room although the receiver waits for it; 0 means it has room
}

func (w *world) clock() time.Duration { return w.at }
func (w *world) resume(*Debt)         {}
func (w *world) regain(*Debt, int)    { w.t.Fatal("a stream has gone on without its only receiver") }
func (w *world) linger(*Debt)         {}
func (w *world) stand(*Debt)          {}
func (w *world) pauses(bool)          {}

func (w *world) later(_ *mailbox, after time.Duration) { w.timer = w.at + after }

// inquire sends the question, which arrives behind the messages sent before.
func (w *world) inquire(_ *mailbox, what inquiry) {
	w.timer = 0
	w.asked++
	if w.mute {
		w.silent = w.at + rexTimeout + flowLast
		w.schedule(rexTimeout, w.box.silent)
		return
	}
	there := time.Duration(w.rng.Int64N(int64(w.slow)))
	w.schedule(there, func() { w.answer(what) })
}

func (w *world) answer(what inquiry) {
	n := w.ours + w.others
	do := func() { w.box.length(n) }
	if what == askContent {
		w.looks++
		if n > lookLength || w.noContent {
			do = w.box.refused
		} else {
			costs := make(map[streamKey]waiting)
			for _, s := range w.streams {
				if s.waits > 0 {
					costs[s.debt.key] = s.content()
				}
			}
			do = func() { w.box.content(n, costs) }
		}
	}
	w.schedule(time.Duration(w.rng.Int64N(int64(w.slow))), do)
}

func (w *world) schedule(after time.Duration, do func()) {
	e := event{w.at + after, do}
	i := len(w.inbound)
	w.inbound = append(w.inbound, e)
	for ; i > 0 && w.inbound[i-1].at > e.at; i-- {
		w.inbound[i] = w.inbound[i-1]
	}
	w.inbound[i] = e
}

// pass lets time pass, with the events that are due.
func (w *world) pass(d time.Duration) {
	end := w.at + d
	for {
		next := end + 1
		if len(w.inbound) > 0 {
			next = w.inbound[0].at
		}
		if w.timer > 0 && w.timer < next {
			next = w.timer
		}
		if next > end {
			break
		}
		w.at = max(w.at, next)
		if w.timer == next {
			w.timer = 0
			w.box.timer()
		} else {
			do := w.inbound[0].do
			w.inbound = w.inbound[1:]
			do()
		}
		w.check()
	}
	w.at = end
}

// write lets a program write once, as the loop reads.
func (w *world) write(s *source) {
	room := s.debt.room()
	if room <= 0 || s.pending == 0 {
		return
	}
	size := min(room, 1+w.rng.IntN(64<<10))
	if s.pending > 0 {
		size = min(size, s.pending)
	}
	switch {
	case s.list > 0:
		size = max(size/(LineCost+1), LeastRead)
		if s.pending > 0 {
			size = min(size, s.pending)
		}
		w.send(s, size)
		return
	case s.line == 0:
		w.send(s, size)
		return
	}
	for size = max(size/(MessageCost+1), LeastRead); size > 0 && s.pending != 0; size -= s.line {
		n := s.line
		if s.pending > 0 {
			n = min(n, s.pending)
		}
		w.send(s, n)
	}
}

func (w *world) send(s *source, n int) {
	if s.pending > 0 {
		s.pending -= n
	}
	s.sent++
	lines := 0
	if s.list > 0 {
		lines = (n + s.list - 1) / s.list
	}
	l := &letter{of: s, no: s.sent, cost: n + MessageCost + lines*LineCost}
	w.queue, s.queue = append(w.queue, l), append(s.queue, l)
	w.ours++
	w.waits += l.cost
	s.waits += l.cost
	w.box.sent(s.debt, n, lines)
}

// content is what a look finds of the source.
func (s *source) content() waiting {
	if s.list > 0 {
		return waiting{lists: len(s.queue)}
	}
	return waiting{cost: s.waits}
}

// take takes the first message of a source, or the first of all, out of the queue.
func (w *world) take(of *source) bool {
	for len(w.queue) > 0 && w.queue[0].taken {
		w.queue = w.queue[1:]
	}
	if of == nil && len(w.queue) > 0 {
		of = w.queue[0].of
	}
	if of == nil || len(of.queue) == 0 {
		return false
	}
	l := of.queue[0]
	of.queue, l.taken = of.queue[1:], true
	if of.taken++; l.no != of.taken {
		w.fail("message %d instead of %d", l.no, of.taken)
	}
	w.ours--
	w.waits -= l.cost
	of.waits -= l.cost
	return true
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d, %v: "+format+": %d streams, %d of ours and %d of others wait, mailbox %+v",
		append(append([]any{w.seed, w.at}, args...), len(w.streams), w.ours, w.others, *w.box)...)
}

// check checks the promises of the mailbox.
func (w *world) check() {
	w.t.Helper()
	held, owed := 0, 0
	bound := FlowBudget + FlowBudget/4
	for _, s := range w.streams {
		if s.debt.held || s.debt.passed {
			held++
		}
		owed += s.debt.owed
		if s.waits > s.debt.owed && !w.mute && s.debt.grant == 0 && w.certain() {
			w.fail("%d wait of a stream that is said to owe %d", s.waits, s.debt.owed)
		}
		bound += LeastRead*(MessageCost+1) + s.line
		if s.list > 0 {
			bound += LeastRead * LineCost
		}
		if w.unknowing() {
			bound += 64 * flowProbe
		}
	}
	if held != w.box.held || owed+w.box.ended.owed != w.box.owed {
		w.fail("%d are held, and owe %d", held, owed)
	}
	w.most = max(w.most, w.waits)
	if w.waits > bound {
		w.fail("%d bytes wait, more than %d", w.waits, bound)
	}
	since := w.unknown
	if w.unknowing() {
		w.unknown, since = w.at, 0
	}
	for _, s := range w.streams {
		awaited := s.pending != 0 && s.waits == 0 && s.debt.room() == 0 && (w.all || w.only == s)
		switch {
		case !awaited:
			s.starved = 0
		case s.starved == 0:
			s.starved = w.at
		default:
			patience := lookAnyway + 2*(lookPause+flowLast+4*w.slow)
			if w.unknowing() {
				patience = flowRare + 2*rexTimeout + time.Duration(len(w.streams))*(flowLast+2*w.slow)
			}
			if w.at-max(s.starved, since) > patience {
				w.fail("a stream that its receiver waits for is held since %v", w.at-s.starved)
			}
		}
	}
}

// unknowing reports whether the content is unavailable, or was a moment ago.
func (w *world) unknowing() bool {
	return w.mute || w.at < w.silent || w.noContent || w.others+w.ours > lookLength || w.box.nextLook > w.at+lookPause
}

// certain reports whether no conclusion was drawn from lengths alone.
func (w *world) certain() bool { return !w.noContent && w.others == 0 && !w.stirred }

// receive chooses what the receiver does from now on.
func (w *world) receive() {
	w.only, w.all = nil, false
	s := w.streams[w.rng.IntN(len(w.streams))]
	n := 1 + w.rng.IntN(64)
	switch w.rng.IntN(6) {
	case 0, 1:
		w.all = true
		w.takes = func() {
			for i := 0; i < n; i++ {
				if !w.take(nil) && w.others > 0 {
					w.others--
				}
			}
		}
	case 2, 3:
		w.only = s
		w.takes = func() {
			for i := 0; i < n && w.take(s); i++ {
			}
		}
	case 4: // one message of each in turn
		i := 0
		w.takes = func() {
			if w.take(w.streams[i%len(w.streams)]) || w.rng.IntN(20) == 0 {
				i++
			}
			w.only = w.streams[i%len(w.streams)]
		}
	default:
		w.takes = func() {}
	}
}

// step is one of 10^6 random steps.
func (w *world) step() {
	if w.rng.IntN(400) == 0 {
		w.receive()
	}
	switch w.rng.IntN(300) {
	case 0:
		w.stirred = true
		w.others += w.rng.IntN(3000)
	case 1:
		w.others -= w.rng.IntN(w.others + 1)
	case 2:
		w.stirred = true
		w.others += w.rng.IntN(200_000)
	case 3:
		w.others = 0
	case 4:
		w.pass(time.Duration(w.rng.Int64N(int64(10 * time.Second))))
		if w.rng.IntN(20) == 0 {
			w.pass(time.Duration(w.rng.Int64N(int64(10 * time.Minute))))
		}
	case 5:
		w.mute = !w.mute && w.rng.IntN(4) == 0
	}
	for range 4 {
		w.write(w.streams[w.rng.IntN(len(w.streams))])
	}
	if w.only != nil {
		w.write(w.only)
	}
	w.takes()
	w.pass(time.Duration(w.rng.Int64N(int64(2 * time.Millisecond))))
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 12))}
	w.box = newMailbox(etf.Pid{ID: 1}, w)
	w.slow = time.Millisecond << w.rng.IntN(6)
	w.noContent = w.rng.IntN(5) == 0
	count := []int{1, 2, 5, 40}[w.rng.IntN(4)]
	for i := range count {
		s := &source{pending: -1}
		s.debt = &Debt{key: streamKey{etf.Pid{ID: uint32(i)}, Stdout}, box: w.box}
		if w.rng.IntN(3) > 0 {
			s.pending = w.rng.IntN(20 << 20)
		}
		if w.rng.IntN(4) == 0 {
			s.line = 64 << w.rng.IntN(11)
		} else if w.rng.IntN(4) == 0 {
			s.list = 1 << w.rng.IntN(10)
		}
		w.box.users++
		w.streams = append(w.streams, s)
	}
	w.receive()
	return w
}

// finish lets the receiver take all messages, up to the end of each source that has one.
func (w *world) finish() {
	w.mute = false
	w.others = 0
	w.only, w.all = nil, true
	for steps := 0; ; steps++ {
		left := w.ours
		for _, s := range w.streams {
			s.pending = max(s.pending, 0)
			w.write(s)
			left += s.pending
		}
		for w.take(nil) {
		}
		if left == 0 {
			return
		}
		if steps > 1_000_000 {
			w.fail("%d bytes do not come", left)
		}
		w.pass(time.Millisecond)
	}
}

// TestMailbox takes the machine through random lives, with three checks. A stream that its receiver
// waits for goes on, even if other messages fill the mailbox. Waiting output is bounded. Every byte
// that the receiver takes arrives, in order.
func TestMailbox(t *testing.T) {
	const each = 4000
	most, looks, asked := 0, 0, 0
	for seed := range uint64(*mailboxSteps / each) {
		w := newWorld(t, seed)
		for range each {
			w.step()
		}
		w.finish()
		most, looks, asked = max(most, w.most), looks+w.looks, asked+w.asked
	}
	t.Logf("%d steps, at most %d KiB waited; %d questions, %d looks", *mailboxSteps, most>>10, asked, looks)
}

// TestMailboxReads has a stream of lines that is held again and again. The node looks at the content
// only if the receiver does not read, or not this stream.
func TestMailboxReads(t *testing.T) {
	for name, tt := range map[string]struct {
		takes  bool
		others int // messages that come before, and stay
		looks  bool
	}{
		"the receiver takes everything":          {takes: true},
		"the receiver takes nothing":             {looks: true},
		"the receiver leaves messages of others": {takes: true, others: 40_000, looks: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			w.box, w.slow, w.noContent = newMailbox(etf.Pid{ID: 1}, w), time.Millisecond, false
			w.streams = []*source{{pending: -1, line: 8}}
			s := w.streams[0]
			s.debt = &Debt{key: streamKey{etf.Pid{ID: 9}, Stdout}, box: w.box}
			w.all, w.only = false, s
			held := 0
			for range 4000 {
				for range 40 {
					w.write(s)
				}
				if s.debt.Held() {
					held++
				}
				for i := 0; tt.takes && i < 500 && w.take(s); i++ {
				}
				w.others = tt.others
				w.pass(time.Millisecond)
			}
			if held == 0 || (w.looks > 0) != tt.looks || tt.takes && s.taken < 500_000 {
				t.Errorf("held in %d steps, %d looks, %d messages taken", held, w.looks, s.taken)
			}
		})
	}
}

// pair is two receivers of one stream, each with its own mailbox. The second takes nothing.
type pair struct {
	*world
	lost int
}

func (p *pair) regain(_ *Debt, lost int) { p.lost = lost }

// TestMailboxPasses has two receivers, one of which takes nothing. The other waits for some
// seconds, and then no more. When the first takes again, it gets the number of lost bytes.
func TestMailboxPasses(t *testing.T) {
	first, second := newWorld(t, 1), newWorld(t, 1)
	p := &pair{world: second}
	for _, w := range []*world{first, second} {
		w.box, w.slow, w.noContent = newMailbox(etf.Pid{ID: 1}, w), time.Millisecond, false
		w.streams = []*source{{pending: -1}}
		w.all, w.only = false, nil
	}
	second.box.post = p
	a := &Debt{key: streamKey{etf.Pid{ID: 9}, Stdout}, box: first.box}
	b := &Debt{key: streamKey{etf.Pid{ID: 9}, Stdout}, box: second.box}
	a.peers = []*Debt{a, b}
	b.peers = a.peers
	first.streams[0].debt, second.streams[0].debt = a, b
	sent, passed := 0, 0
	run := func(until func() bool) {
		for end := first.at + time.Minute; !until(); {
			if first.at > end {
				t.Fatalf("after %d bytes: %+v and %+v", sent, a, b)
			}
			for range 100 {
				if a.room() == 0 || b.room() == 0 {
					break
				}
				n := min(a.room(), b.room(), 60_000)
				first.send(first.streams[0], n)
				if b.passed {
					b.lost += n
					passed += n
				} else {
					second.send(second.streams[0], n)
				}
				sent += n
			}
			for first.take(nil) {
			}
			first.pass(time.Millisecond)
			second.pass(time.Millisecond)
		}
	}
	run(func() bool { return b.held })
	if sent > FlowBudget/2 {
		t.Errorf("held after %d bytes", sent)
	}
	run(func() bool { return b.held && second.waits >= lagMost })
	run(func() bool { return b.passed && passed > 100<<20 })
	if second.waits > lagMost+lagMost/4 {
		t.Errorf("%d bytes wait for one that takes nothing", second.waits)
	}
	for second.take(nil) {
	}
	run(func() bool { return p.lost > 0 })
	if p.lost != passed || b.passed {
		t.Errorf("it is told of %d bytes that it has lost, of %d", p.lost, passed)
	}
	now := second.streams[0].sent
	run(func() bool { return second.streams[0].sent > now })
}
