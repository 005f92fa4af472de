package mainproc

import (
	"fmt"
	"time"
)

// state is where erluv_main stands.
type state uint8

const (
	connecting state = iota // to the node; the first time the roles are started meanwhile
	starting                // connected; the roles are started and given what they serve with
	serving                 // the child serves the connection
	falling                 // the child has died, or must; until both roles have been reaped
	down                    // main keeps the connection and waits for respawn
	resting                 // the same, before a respawn that comes too soon
	rising                  // the same, while new roles are started and given the connection
	stopping                // until both roles have ended and been reaped
	waiting                 // before the next attempt to connect
	ended
)

func (s state) String() string {
	return [...]string{"connecting", "starting", "serving", "falling", "down", "resting", "rising", "stopping", "waiting", "ended"}[s]
}

// do is what is to be done after an event: a set, carried out in this order.
type do uint16

const (
	doConnect do = 1 << iota // begin to connect
	doLaunch                 // begin to start the roles
	doHand                   // begin to hand them the connection
	doServe                  // watch the roles; the node is up
	doAsk                    // ask the child for an orderly end
	doEnd                    // give up what was begun, close the connection and the conversations
	doKill                   // SIGKILL to the roles
	doFall                   // SIGKILL to the child; the conversations end, the connection stays
	doKeep                   // keep the connection, and tell of the crash
	doTell                   // tell of another one
	doRelease                // stop keeping the connection, for a new child
	doLeave                  // end it in order
	doArm                    // set the timer to machine.delay
)

const (
	// endBound is how long roles may take to end after their conversations were
	// closed: the spawner ends all programs first.
	endBound = 2 * time.Second

	// stopGrace is what the child may take for an orderly stop beside
	// kill_timeout: delivering output.
	stopGrace = 2 * time.Second

	// A connection that has held for steady begins again with the shortest
	// back-off when it is lost.
	steady = 30 * time.Second

	// A child that has served for viable is followed by another as soon as
	// somebody wants it; those that die at once come back more and more slowly.
	viable = 500 * time.Millisecond

	backoffFrom = 100 * time.Millisecond
	backoffTo   = 30 * time.Second
)

// progress says how far the roles of this incarnation are.
type progress uint8

const (
	launchNone progress = iota
	launchBegun
	launchDone
	launchHanded // a respawned child was given the connection, or is being
)

// machine is the life of erluv_main: which event leads where, and nothing else. It
// does nothing itself, reads no clock and is owned by the goroutine of a guard.
type machine struct {
	// Fixed.
	retry      bool // the configuration's reconnect
	always     bool // the same, before it has been up, too
	stopBound  time.Duration
	dieTimeout time.Duration
	jitter     func(time.Duration) time.Duration // random, 0 to its argument
	final      func(error) bool                  // trying again is no use

	state   state
	roles   progress
	asked   bool          // the child was asked to stop and has not said that it has
	quit    bool          // no further attempt
	served  bool          // it has been up
	since   time.Time     // when it came up last
	attempt int           // failed ones since it was steady
	risen   time.Time     // when the child came up
	crashes int           // since a child was viable
	err     error         // why this incarnation ends, or nil
	delay   time.Duration // for doArm
}

// begin begins an incarnation. The roles are started along with the first, so
// that the node is up soon; later not before there is a connection for them.
func (m *machine) begin() do {
	m.state, m.err, m.roles = connecting, nil, launchNone
	if m.served || m.attempt > 0 {
		return doConnect
	}
	m.roles = launchBegun
	return doConnect | doLaunch
}

// connected: the handshake is done.
func (m *machine) connected() do {
	switch m.state {
	case connecting:
		m.state = starting
		switch m.roles {
		case launchNone:
			m.roles = launchBegun
			return doLaunch
		case launchDone:
			return doHand
		}
		return 0
	case stopping:
		return doEnd
	}
	return 0
}

// launched: both roles run, have dropped, and wait.
func (m *machine) launched() do {
	switch m.state {
	case connecting:
		m.roles = launchDone
		return 0
	case starting:
		m.roles = launchDone
		return doHand
	case rising:
		m.roles = launchDone
		return doRelease
	case stopping:
		return doEnd | doKill
	}
	return 0
}

// ready: the child serves.
func (m *machine) ready(now time.Time) do {
	switch m.state {
	case starting:
		m.since = now
	case rising:
	default:
		return 0
	}
	m.state, m.err, m.served, m.risen = serving, nil, true, now
	if m.quit {
		return doServe | m.stop()
	}
	return doServe
}

// failed: the connection or the roles could not be had, or, when it serves, the
// child has broken the conversation.
func (m *machine) failed(err error) do {
	switch m.state {
	case connecting, starting:
		m.state, m.err = stopping, err
		if m.quit {
			m.err = nil
		}
		return doEnd | doKill
	case serving:
		return m.fall(err)
	case rising:
		if m.roles == launchHanded {
			return m.fall(err)
		}
		m.state, m.err = down, err
		m.delay = m.dieTimeout
		return doTell | doArm
	}
	return 0 // what was given up fails; that is no news
}

// stopped: the child has stopped, orderly: asked by us, by the node, or because
// the connection has ended (lost, else nil).
func (m *machine) stopped(lost error) do {
	switch m.state {
	case serving:
		m.quit = lost == nil
		return m.end(lost)
	case stopping:
		if m.asked {
			return m.end(nil)
		}
	}
	return 0
}

// died: a role has ended and was reaped; err says how.
func (m *machine) died(err error) do {
	switch m.state {
	case serving:
		return m.fall(err)
	case stopping:
		if m.asked {
			return m.end(fmt.Errorf("before it had stopped: %w", err))
		}
	}
	return 0
}

// end waits for the roles to end by themselves: the spawner with its programs.
func (m *machine) end(err error) do {
	m.state, m.err, m.asked = stopping, err, false
	m.delay = endBound
	return doEnd | doArm
}

// fall waits for what is left of a crash: the spawner ends its programs.
func (m *machine) fall(err error) do {
	m.state, m.err = falling, err
	m.delay = endBound
	return doFall | doArm
}

// respawn: somebody wants a new child. The first comes at once; then the delays
// double until a child is viable.
func (m *machine) respawn() do {
	if m.state != down {
		return 0
	}
	m.crashes++
	if m.crashes == 1 {
		return m.rise()
	}
	m.state = resting
	m.delay = backoff(m.crashes - 2)
	return doArm
}

func (m *machine) rise() do {
	m.state, m.roles, m.risen = rising, launchBegun, time.Time{}
	return doLaunch
}

// released: main does not keep the connection any more, and nothing waits on it.
func (m *machine) released() do {
	if m.state != rising {
		return 0
	}
	m.roles = launchHanded
	return doHand
}

// lost: the connection that main keeps, or wanted to, is no more.
func (m *machine) lost(err error) do {
	switch m.state {
	case down, resting, rising:
		m.state, m.err = stopping, err
		return doEnd | doKill
	case stopping:
		return doEnd
	}
	return 0
}

// stop: somebody wants erluv to end.
func (m *machine) stop() do {
	m.quit = true
	switch m.state {
	case starting:
		if m.roles == launchDone {
			// The child has been handed the connection and may serve already,
			// with programs: it is asked as soon as it says so (see ready).
			return 0
		}
		m.state = stopping
		return doEnd | doKill
	case connecting:
		m.state = stopping
		return doEnd | doKill
	case serving:
		m.state, m.asked = stopping, true
		m.delay = m.stopBound
		return doAsk | doArm
	case rising:
		if m.roles == launchHanded {
			return 0 // as in starting
		}
		return m.leave(nil)
	case down, resting:
		return m.leave(nil)
	case stopping:
		m.err = nil // a lost connection is no failure any more
	case waiting:
		m.state, m.err = ended, nil
	}
	return 0
}

// leave ends the connection that main keeps.
func (m *machine) leave(err error) do {
	m.state, m.err, m.quit = stopping, err, true
	return doLeave | doKill
}

// expired: the timer ran out.
func (m *machine) expired() do {
	switch m.state {
	case falling:
		return doKill
	case down:
		return m.leave(fmt.Errorf("%w within %v: the last child: %w", errDieTimeout, m.dieTimeout, m.err))
	case resting:
		return m.rise()
	case stopping:
		if m.asked {
			m.err = fmt.Errorf("the child did not stop within %v and was killed", m.stopBound)
			m.asked = false
		}
		return doEnd | doKill
	case waiting:
		return m.begin()
	}
	return 0
}

// gone: nothing of this incarnation is left; after a crash, nothing of the roles.
func (m *machine) gone(now time.Time) do {
	if m.state == falling {
		if !m.risen.IsZero() && now.Sub(m.risen) >= viable {
			m.crashes = 0
		}
		if m.quit {
			m.state, m.err = stopping, nil
			return doKeep | doLeave
		}
		m.state = down
		m.delay = m.dieTimeout
		return doKeep | doArm
	}
	if m.state != stopping {
		return 0
	}
	if m.quit || !m.retry || !m.served && !m.always || m.final(m.err) {
		m.state = ended
		return 0
	}
	if !m.since.IsZero() && now.Sub(m.since) >= steady {
		m.attempt = 0
	}
	m.state, m.since = waiting, time.Time{}
	m.delay = m.jitter(backoff(m.attempt))
	m.attempt++
	return doArm
}

// backoff is the longest delay before the attempt, the first being 0.
func backoff(attempt int) time.Duration {
	d := backoffFrom
	for range attempt {
		if d *= 2; d >= backoffTo {
			return backoffTo
		}
	}
	return d
}
