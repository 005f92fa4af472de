package peer

import (
	"time"

	"erluv/wire/etf"
)

// A mailbox is what the child knows of the output that waits for one receiver. It is a plain state
// machine. Its input is the output that was sent and the node's answers. Its output is questions
// and streams that may go on (see post). Costs are in bytes, and each message costs MessageCost in
// addition.
//
// The rule rests on an upper bound for each stream: no more of it waits than was sent since the
// node's last better answer. A stream is held while its bound exceeds its share. It goes on once an
// answer has brought the bound down to half of the share. A stream without waiting messages always
// goes on, however much waits of others.
const (
	// FlowBytes is the cost after which the child asks the node for the length of the queue: 1 MiB,
	// or 8192 empty messages.
	FlowBytes = 1 << 20

	// FlowBudget is the most that may wait for one receiver in all. Each stream may have a third of
	// the rest: 4 MiB if it is alone, 32 KiB if it is one of 500. So a stream that the receiver
	// reads always has room beside others that it does not read.
	FlowBudget = 16 << 20
	FlowPart   = 3

	// flowLeast is the share of a stream when the budget is used up.
	flowLeast = 1 << 10

	// MessageCost is what a message costs the node besides its bytes.
	MessageCost = 128

	// LineCost is what a line in a list costs the node besides its bytes: its list cell, and the
	// head of its binary.
	LineCost = 64

	// While a stream is held, the child asks the node after flowFirst, and then at doubled
	// intervals.
	flowFirst = time.Millisecond
	flowLast  = 100 * time.Millisecond

	// The child looks at the content of a queue of at most lookLength messages. It looks again
	// after lookRest times the duration of the last look, or after lookPause if that is sooner. If
	// the length is the same and no output was sent since, it waits for lookAnyway. It then looks
	// all the same, because one message may have replaced another.
	lookLength = 50_000
	lookRest   = 4
	lookPause  = 500 * time.Millisecond
	lookAnyway = time.Second

	// A look costs a reading receiver more than the answer is worth. While lengths lower the bound
	// of a held stream, the child looks only after lookReads of a hold.
	lookReads = 100 * time.Millisecond

	// lookRetry is the pause after a look at a content that was too large, or was refused.
	lookRetry = 10 * time.Second

	// If looks are impossible, the child now and then sends flowProbe of a held stream. It does so
	// after flowLast at first, then at doubled intervals up to flowRare. If the receiver takes
	// none, that makes 40 KiB in the first minute, and 240 KiB in each hour.
	flowProbe = 4 << 10
	flowRare  = time.Minute

	// FlowBlind is the time in which a node that answers no question gets FlowBytes.
	FlowBlind = 100 * time.Millisecond

	// A receiver that reads less than the others of the same stream makes them wait for lagWait.
	// Then up to lagMost may wait for it. When it has read nothing for lagLost, the stream goes on
	// without it.
	lagWait = time.Second
	lagMost = FlowBudget / 4 * 3
	lagLost = 10 * time.Second

	// After lingers, the hold of a stream is logged. After stands, it is reported to a controller
	// that wants to know. So a stream causes at most two events in that time.
	lingers = 10 * time.Second
	stands  = time.Second
)

// inquiry is a question about a mailbox.
type inquiry uint8

const (
	askNothing inquiry = iota
	askLength          // how many messages it has
	askContent         // how much of each stream waits
)

// post carries out the decisions of a mailbox.
type post interface {
	clock() time.Duration
	inquire(b *mailbox, what inquiry)      // the answer is length, content, gone, silent or refused
	later(b *mailbox, after time.Duration) // calls timer, for the last call of later alone
	resume(d *Debt)                        // the stream may go on
	regain(d *Debt, lost int)              // that many bytes were not sent to the receiver, which reads again
	linger(d *Debt)                        // the stream has been held for long
	stand(d *Debt)                         // it has been held for a second, or is no more: Debt.stands
	pauses(on bool)                        // a stream waits for the receiver, or waits no more
}

type mailbox struct {
	pid   etf.Pid
	post  post
	over  bool          // the node is gone: no output waits or is sent
	users int           // streams that go to it
	debts []*Debt       // debts that may not be zero
	ended Debt          // the debt of streams that are over
	owed  int           // sum of all debts
	held  int           // how many are held or passed
	since time.Duration // from then on at least one is
	turn  int           // index of the debt that gets the next grant

	asked   inquiry
	askedAt time.Duration
	epoch   uint64
	fresh   int // sent since the last question
	count   int // messages sent since the last question
	between int // messages between that question and the one before
	delay   time.Duration
	soonest time.Duration // time of the next question for a held stream
	deaf    bool          // the node answers no question

	seen     int // the length at the last look
	lookedAt time.Duration
	nextLook time.Duration
	moved    bool // output was sent since the last look
	helped   bool // the last answer was a look that told more than the length, and let a stream go on

	before  int  // the length in the answer before
	counted bool // before is valid
	quiet   bool // only our messages change the length
	reads   bool // the last length lowered the bound of a held stream
}

func newMailbox(pid etf.Pid, to post) *mailbox {
	b := &mailbox{pid: pid, post: to}
	b.ended.box = b
	return b
}

// share is how much of one stream may wait.
func (b *mailbox) share() int { return max(flowLeast, (FlowBudget-b.owed)/FlowPart) }

func (b *mailbox) list(d *Debt) {
	if !d.listed {
		d.listed, d.epoch, d.fresh, d.last, d.largest = true, b.epoch, 0, 0, 0
		b.debts = append(b.debts, d)
	}
}

// sent counts a message with n bytes of output. For a list, lines is the number of its lines.
func (b *mailbox) sent(d *Debt, n, lines int) {
	cost := n + MessageCost + lines*LineCost
	b.list(d)
	d.roll()
	d.set(d.owed + cost)
	d.fresh += cost
	d.largest = max(d.largest, cost)
	b.fresh += cost
	b.count++
	b.moved = true
	switch {
	case d.held:
	case d.grant > 0:
		if d.grant -= cost; d.grant <= 0 {
			d.grant = 0
			b.hold(d)
		}
	case d.owed >= d.limit() || b.deaf && b.fresh >= FlowBytes:
		b.hold(d)
	}
	if b.fresh >= FlowBytes && b.asked == askNothing {
		b.ask(askLength)
	}
}

func (b *mailbox) hold(d *Debt) {
	now := b.post.clock()
	if b.held == 0 {
		b.since = now
	}
	d.be(true, false)
	if !d.waits {
		d.waits, d.told, d.since = true, false, now
		b.delay = 0
		b.soonest = min(b.soonest, now+flowFirst)
	}
	d.lowest, d.took = d.owed, now
	if b.asked == askNothing && !b.deaf {
		b.plan(b.soonest - now)
	}
}

// plan asks for a held stream, now or later.
func (b *mailbox) plan(after time.Duration) {
	if after > 0 {
		b.post.later(b, after)
	} else {
		b.inquire()
	}
}

// inquire asks for the length, or for the content if the last look helped.
func (b *mailbox) inquire() {
	if b.helped && b.post.clock() >= b.nextLook {
		b.ask(askContent)
	} else {
		b.ask(askLength)
	}
}

func (b *mailbox) ask(what inquiry) {
	if what == askContent {
		b.moved, b.counted = false, false
	}
	b.asked, b.askedAt = what, b.post.clock()
	b.epoch++
	b.fresh, b.between, b.count = 0, b.count, 0
	b.post.inquire(b, what)
}

// timer handles the time that was given to later.
func (b *mailbox) timer() {
	switch {
	case b.asked != askNothing:
	case b.deaf:
		b.pardon()
	case b.held > 0:
		b.inquire()
	}
}

// length takes an answer: n messages were in the mailbox when the question arrived there.
func (b *mailbox) length(n int) {
	b.answered()
	b.reads = false
	b.compare(n)
	for _, d := range b.debts {
		d.roll()
		before := d.owed
		d.set(d.known(n) + d.fresh)
		b.reads = b.reads || d.held && d.owed < before
	}
	b.settle(n)
}

// gone takes the answer that the receiver has ended.
func (b *mailbox) gone() { b.length(0) }

// content takes an answer: that much of each stream waited, among n messages.
func (b *mailbox) content(n int, costs map[streamKey]waiting) {
	b.answered()
	others := 0
	for _, w := range costs {
		others += w.cost + w.lists*b.ended.largest
	}
	for _, d := range b.debts {
		d.roll()
		if d == &b.ended {
			continue
		}
		w := costs[d.key]
		others -= w.cost + w.lists*b.ended.largest
		owed := w.cost + min(w.lists*d.largest, max(0, d.owed-d.fresh-w.cost))
		b.helped = b.helped || d.held && owed < d.known(n)/2
		d.set(owed + d.fresh)
		b.ungrant(d)
		d.window, d.pause, d.next = 0, 0, 0
	}
	// Workers of {active, true} are among the others too.
	e := &b.ended
	e.set(min(e.owed-e.fresh, others) + e.fresh)
	b.seen, b.lookedAt = n, b.post.clock()
	b.settle(n)
}

// ungrant ends a grant, because the debt is known.
func (b *mailbox) ungrant(d *Debt) {
	if d.grant > 0 {
		d.grant = 0
		d.be(true, false)
	}
}

// silent is called when a question was not answered in time.
func (b *mailbox) silent() {
	b.answered()
	b.quiet, b.counted = false, false
	b.settle(-1)
}

// refused is called when the node does not answer such questions. If it answers the other kind,
// looks are only impossible for now.
func (b *mailbox) refused() {
	if b.asked == askContent {
		b.answered()
		b.nextLook = b.post.clock() + lookRetry
		b.settle(b.before)
		return
	}
	b.answered()
	b.deaf = true
	b.post.later(b, FlowBlind)
}

// pardon sets all debts to a node without answers to zero.
func (b *mailbox) pardon() {
	b.fresh = 0
	for _, d := range b.debts {
		d.roll()
		d.fresh = 0
		d.set(0)
	}
	b.release(-1)
}

func (b *mailbox) answered() {
	now := b.post.clock()
	if b.asked == askContent {
		b.nextLook = now + min(lookRest*(now-b.askedAt), lookPause)
	}
	b.asked, b.deaf, b.helped = askNothing, false, false
}

// compare looks for evidence if looks are impossible. The length otherwise stands still. If it is
// again what it was, the receiver has taken the messages sent meanwhile.
func (b *mailbox) compare(n int) {
	same := b.counted && n == b.before
	taken := same && b.quiet && b.between > 0
	switch {
	case b.between == 0:
		b.quiet = same
	case !b.counted || n != b.before && n != b.before+b.between:
		b.quiet = false
	}
	b.before, b.counted = n, true
	for _, d := range b.debts {
		d.roll()
		if d.last == 0 {
			continue
		}
		if !taken {
			d.window = flowProbe
			continue
		}
		d.set(d.owed - min(d.last, d.owed-d.fresh))
		d.window = min(2*max(d.window, flowProbe), FlowBytes)
		d.pause, d.next = 0, 0
		b.delay = 0
	}
}

// settle decides after an answer. n is the length, or -1.
func (b *mailbox) settle(n int) {
	now := b.post.clock()
	took := now - b.askedAt
	progress := b.release(n)
	b.helped = b.helped && progress
	switch {
	case progress:
		b.delay = flowFirst
		b.nextLook = min(b.nextLook, now+took)
		b.soonest = now + min(took, flowLast)
	case b.held > 0:
		b.delay = min(max(2*b.delay, flowFirst), flowLast)
		b.soonest = now + b.delay
	default:
		b.soonest = now
	}
	switch {
	case b.asked != askNothing: // a released stream has sent enough for a question
	case b.held > 0 && b.worthLook(n):
		b.ask(askContent)
	case b.fresh >= FlowBytes:
		b.ask(askLength)
	case b.held > 0:
		b.post.later(b, max(b.soonest-now, flowFirst))
	}
}

// release lets streams go on of which little waits, and reports whether there are any.
func (b *mailbox) release(n int) (progress bool) {
	now := b.post.clock()
	half := b.share() / 2
	var free []*Debt
	left := b.debts[:0]
	for _, d := range b.debts {
		switch {
		case !d.held && !d.passed:
		case d.owed <= half:
			free, progress = append(free, d), true
		case d.lags(now):
			free = append(free, d)
		}
		if d.waits && d.held && !d.passed && now-d.since >= stands && d.owed > half {
			d.stand(true)
		}
		if d.waits && !d.told && now-d.since >= lingers && d.owed > half {
			d.told = true
			b.post.linger(d)
		}
		if d.owed > 0 {
			left = append(left, d)
		} else {
			d.listed = false
		}
	}
	clear(b.debts[len(left):])
	b.debts = left
	free = b.grants(free, n, now)
	for _, d := range free {
		if d.owed <= half {
			b.recovered(d)
		} else {
			d.be(false, d.passed)
		}
	}
	for _, d := range free {
		b.post.resume(d)
	}
	return progress
}

// recovered is called when little of the stream waits.
func (b *mailbox) recovered(d *Debt) {
	lost := d.lost
	d.be(false, false)
	d.stand(false)
	d.waits, d.loose, d.lost = false, false, 0
	if lost > 0 {
		b.post.regain(d, lost)
	}
}

// worthLook reports whether a look at the content is allowed and may bring news.
func (b *mailbox) worthLook(n int) bool {
	now := b.post.clock()
	if b.reads && now-b.since < lookReads {
		return false
	}
	return n >= 0 && n <= lookLength && now >= b.nextLook && (b.moved || n != b.seen || now-b.lookedAt >= lookAnyway)
}

// grants adds held streams that get a little although they are held, if looks are impossible. It
// adds one at a time, so that the next length shows whether the receiver took it. Without a length
// either, it adds each stream whose time has come.
func (b *mailbox) grants(free []*Debt, n int, now time.Duration) []*Debt {
	if b.held == 0 || n >= 0 && n <= lookLength && b.nextLook-now <= lookPause {
		return free
	}
	turn := b.turn
	for i := range b.debts {
		at := (turn + i) % len(b.debts)
		d := b.debts[at]
		if !d.held || d.passed || d.next > now || d.owed <= b.share()/2 {
			continue
		}
		b.turn = at + 1
		d.grant = max(d.window, flowProbe)
		d.pause = min(max(2*d.pause, flowLast), flowRare)
		d.next = now + d.pause
		free = append(free, d)
		if n >= 0 {
			break
		}
	}
	return free
}

// leave ends a debt, because the stream is over or gets other receivers. Its waiting messages still
// count.
func (b *mailbox) leave(d *Debt) {
	b.users--
	d.be(false, false)
	d.stand(false)
	d.grant = 0
	if !d.listed {
		return
	}
	e := &b.ended
	b.list(e)
	e.roll()
	d.roll()
	e.owed, e.fresh, e.last = e.owed+d.owed, e.fresh+d.fresh, e.last+d.last
	e.largest = max(e.largest, d.largest)
	d.owed, d.listed = 0, false
	for i, x := range b.debts {
		if x == d {
			last := len(b.debts) - 1
			b.debts[i], b.debts[last] = b.debts[last], nil
			b.debts = b.debts[:last]
			break
		}
	}
}
