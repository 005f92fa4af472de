package dist

import "time"

// DefaultNetTicktime is the net_ticktime of a node that sets none (kernel(6)).
const DefaultNetTicktime = 60 * time.Second

// minNetTicktime is the shortest that a node of OTP can be given.
const minNetTicktime = time.Second

// minAnswer is the least time between two answers to ticks: half a tick of the
// shortest net_ticktime. With it two nodes that answer each other's answers do
// not talk themselves into a flood.
const minAnswer = minNetTicktime / 8

// Ticker keeps the ticks of one connection: when to send one, and when the peer
// counts as gone. It has no clock and does no I/O; its owner tells it what
// happens and asks.
//
// net_ticktime is the peer's, and may not be known, or change. So a tick is not
// only sent each quarter of it in which nothing was written, but also in answer
// to the peer's own, which come in the peer's rhythm: a peer with a shorter
// net_ticktime than the one assumed here still hears of us in time. A peer that
// has been silent for net_ticktime and a quarter of it is gone, as between nodes
// of OTP; so a longer net_ticktime than DefaultNetTicktime must be learnt
// (net_kernel:get_net_ticktime/0) and told by SetInterval before that.
type Ticker struct {
	interval time.Duration // net_ticktime
	lastIn   time.Time
	lastOut  time.Time
}

// NewTicker returns the ticker of a connection that begins now.
func NewTicker(now time.Time, netTicktime time.Duration) Ticker {
	t := Ticker{lastIn: now, lastOut: now}
	t.SetInterval(netTicktime)
	return t
}

// SetInterval changes net_ticktime; it counts as a second when it is less.
func (t *Ticker) SetInterval(netTicktime time.Duration) {
	t.interval = max(netTicktime, minNetTicktime)
}

// Read notes that bytes came, of whatever kind.
func (t *Ticker) Read(now time.Time) { t.lastIn = now }

// Wrote notes that bytes were written, of whatever kind.
func (t *Ticker) Wrote(now time.Time) { t.lastOut = now }

// ReadTick notes that a tick came and says whether to answer it by one: unless
// something was written just before.
func (t *Ticker) ReadTick(now time.Time) (answer bool) {
	t.lastIn = now
	return now.Sub(t.lastOut) >= minAnswer
}

// Due is what is due at a time.
type Due uint8

// What can be due.
const (
	DueNothing Due = iota
	DueTick        // write a tick (AppendTick)
	DueSilent      // the peer has been silent for too long: it is gone
)

// Check says what is due now. A tick stays due until Wrote.
func (t *Ticker) Check(now time.Time) Due {
	switch {
	case now.Sub(t.lastIn) >= t.interval+t.interval/4:
		return DueSilent
	case now.Sub(t.lastOut) >= t.interval/4:
		return DueTick
	}
	return DueNothing
}

// Next is when to call Check again if nothing happens until then.
func (t *Ticker) Next() time.Time {
	tick, silent := t.lastOut.Add(t.interval/4), t.lastIn.Add(t.interval+t.interval/4)
	if tick.Before(silent) {
		return tick
	}
	return silent
}
