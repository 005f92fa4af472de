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

// Debt is what a receiver may still have to take of one stream.
type Debt struct {
	key     streamKey
	box     *mailbox
	tag     any    // the host's
	owed    int    // at most this waits
	fresh   int    // the part that was sent since the last question
	last    int    // the part that was sent between that question and the one before
	epoch   uint64 // the question that fresh refers to
	largest int    // cost of one message, at most
	listed  bool
	held    bool
	since   time.Duration // it is held; as long as it goes on by grants only
	waits   bool          // since holds
	told    bool          // that it is held for long
	stands  bool          // it was said that it is held, and not yet that it is no more

	// Without a look at the content.
	grant  int           // what may be sent although it is held
	window int           // of the next grant
	pause  time.Duration // behind the next grant
	next   time.Duration // when it may have one

	// With other receivers of the same stream.
	peers  []*Debt       // of the stream, this one too; nil: there are no others
	loose  bool          // lagMost may wait
	passed bool          // the stream goes on without this receiver
	lost   int           // bytes that were not sent to it
	lowest int           // the least that it owed while it was held
	took   time.Duration // when that was
}

func (d *Debt) limit() int {
	if d.loose {
		return lagMost
	}
	return d.box.share()
}

// room is the cost that may be sent now. A share that is nearly used up is exceeded by
// a quarter rather than sent in crumbs.
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

// be says whether the stream waits for this receiver, or goes on without it.
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

// stand says that the stream waits for this receiver, or does no more.
func (d *Debt) stand(stands bool) {
	if d.stands == stands {
		return
	}
	d.stands = stands
	if !d.box.over {
		d.box.post.stand(d)
	}
}

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

// lags looks after a receiver for which the others of its stream wait, and says whether
// the stream is to go on although much waits for this one.
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
