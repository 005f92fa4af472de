package peer

import (
	"slices"
	"time"

	"erluv/wire/etf"
)

// streamKey names a stream as messages do.
type streamKey struct {
	worker etf.Pid
	no     Stream
}

// Debt is what one receiver may still have to read of one stream. Amounts are costs, see mailbox.
type Debt struct {
	key     streamKey
	box     *mailbox
	tag     any    // belongs to the host
	owed    int    // the most that waits
	fresh   int    // the part sent since the last question
	last    int    // the part sent between that question and the one before
	epoch   uint64 // the question to which fresh refers
	largest int    // the most that one message costs
	listed  bool
	held    bool
	since   time.Duration // when the hold began; grants do not end it
	waits   bool          // since is valid
	told    bool          // the long hold was reported
	stands  bool          // the hold was reported, and its end not yet

	// Used if the content cannot be looked at.
	grant  int           // what may be sent during the hold
	window int           // the size of the next grant
	pause  time.Duration // pause after the next grant
	next   time.Duration // earliest time of the next grant

	// Used if the stream has other receivers.
	peers  []*Debt       // debts of all receivers of the stream; nil: there are no others
	loose  bool          // up to lagMost may wait
	passed bool          // the stream goes on without this receiver
	lost   int           // bytes that were not sent to the receiver
	lowest int           // the least owed during the hold
	took   time.Duration // time when it was that little
}

func (d *Debt) limit() int {
	if d.loose {
		return lagMost
	}
	return d.box.share()
}

// room is the cost that may be sent now. If a share is nearly used up, it is exceeded by a quarter,
// so that messages do not become tiny.
func (d *Debt) room() int {
	switch {
	case d.passed, d.box.over:
		return FlowBudget
	case d.held:
		return 0
	case d.grant > 0:
		return d.grant
	}
	limit := d.limit()
	return max(limit-d.owed, limit/4)
}

// be sets whether the stream waits for this receiver, or goes on without it.
func (d *Debt) be(held, passed bool) {
	if before, now := d.held && !d.passed, held && !passed; before != now && !d.box.over {
		d.box.post.pauses(now)
	}
	if d.held || d.passed {
		d.box.held--
	}
	if held || passed {
		d.box.held++
	}
	d.held, d.passed = held, passed
}

// stand reports that the stream waits for this receiver, or waits no more.
func (d *Debt) stand(stands bool) {
	if d.stands == stands {
		return
	}
	d.stands = stands
	if !d.box.over {
		d.box.post.stand(d)
	}
}

// known bounds the part that was sent before the last question, if n messages wait.
func (d *Debt) known(n int) int { return min(d.owed-d.fresh, n*d.largest) }

func (d *Debt) set(owed int) {
	d.box.owed += owed - d.owed
	d.owed = owed
}

// roll begins to count for the current question.
func (d *Debt) roll() {
	if d.epoch == d.box.epoch {
		return
	}
	d.last = 0
	if d.epoch+1 == d.box.epoch {
		d.last = d.fresh
	}
	d.fresh, d.epoch = 0, d.box.epoch
}

// lags handles a receiver for which the others of its stream wait. It reports whether the stream
// must go on although much waits for this one.
func (d *Debt) lags(now time.Duration) bool {
	if d.owed < d.lowest {
		d.lowest, d.took = d.owed, now
	}
	if d.passed || !slices.ContainsFunc(d.peers, func(o *Debt) bool { return !o.held && !o.passed && !o.box.over }) {
		return false
	}
	if !d.loose && now-d.since >= lagWait {
		d.loose = true
		return d.owed < lagMost
	}
	if d.loose && d.owed < lagMost/2 {
		return true
	}
	if d.loose && now-d.took >= lagLost {
		d.be(true, true)
		d.stand(false)
		return true
	}
	return false
}
