package dist

import "time"

// DefaultNetTicktime is the net_ticktime of a node that sets none (kernel(6)).
const DefaultNetTicktime = 60 * time.Second

// minNetTicktime is the shortest value that OTP allows.
const minNetTicktime = time.Second

// minAnswer is the least time between two answers to ticks: half a tick of the shortest
// net_ticktime. It keeps two nodes that answer each other's answers from a flood of ticks.
const minAnswer = minNetTicktime / 8

// Ticker keeps the ticks of one connection: when to send one, and when the peer counts as gone. It
// has no clock and does no I/O. Its owner reports events to it and asks it.
//
// The peer's net_ticktime may be unknown, or change. So this side sends a tick after a quarter of
// its assumed net_ticktime without output. It also answers the peer's own ticks. Those come at the
// peer's rhythm, so a peer with a shorter net_ticktime than assumed still hears from this side in
// time. As between nodes of OTP, a peer counts as gone after a silence of net_ticktime and a
// quarter of it. So the owner must learn a net_ticktime longer than DefaultNetTicktime
// (net_kernel:get_net_ticktime/0), and call SetInterval before that.
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

// SetInterval changes net_ticktime. A value of less than a second counts as one second.
func (t *Ticker) SetInterval(netTicktime time.Duration) {
	t.interval = max(netTicktime, minNetTicktime)
}

// Read notes that bytes of any kind came.
func (t *Ticker) Read(now time.Time) { t.lastIn = now }

// Wrote notes that bytes of any kind were written.
func (t *Ticker) Wrote(now time.Time) { t.lastOut = now }

// ReadTick notes that a tick came. It reports whether to answer with a tick, which is not needed
// right after another write.
func (t *Ticker) ReadTick(now time.Time) (answer bool) {
	t.lastIn = now
	return now.Sub(t.lastOut) >= minAnswer
}

// Due is an action that is due at a time.
type Due uint8

// The actions that can be due.
const (
	DueNothing Due = iota
	DueTick        // write a tick (AppendTick)
	DueSilent      // the peer has been silent for too long: it is gone
)

// Check returns what is due now. A tick stays due until Wrote.
func (t *Ticker) Check(now time.Time) Due {
	switch {
	case now.Sub(t.lastIn) >= t.interval+t.interval/4:
		return DueSilent
	case now.Sub(t.lastOut) >= t.interval/4:
		return DueTick
	}
	return DueNothing
}

// Next returns when to call Check again if nothing happens until then.
func (t *Ticker) Next() time.Time {
	tick, silent := t.lastOut.Add(t.interval/4), t.lastIn.Add(t.interval+t.interval/4)
	if tick.Before(silent) {
		return tick
	}
	return silent
}
