package link

import "time"

// State is the state of a link.
type State uint8

// The states.
const (
	Connecting State = iota // to the node
	Open                    // it is made, and no child has it
	Handing                 // a child is getting it
	Served                  // a child serves it
	Orphaned                // that child has died, or must; until all roles have been reaped
	Kept                    // main keeps it, and waits for another child
	Releasing               // the same, until nothing waits on it, because another child waits for it
	Leaving                 // main sends its last messages on it
	Closing                 // until nothing of it is left
	Waiting                 // before the next attempt to connect
	Met                     // the node has connected to erluv; until that connection has ended
	Ended
)

func (s State) String() string {
	return [...]string{"connecting", "open", "handing", "served", "orphaned", "kept", "releasing", "leaving", "closing", "waiting", "met", "ended"}[s]
}

// Do is a set of actions after an event, in the order in which they are carried out.
type Do uint8

// The actions.
const (
	DoConnect Do = 1 << iota // begin to connect
	DoHand                   // begin to give the connection to the child
	DoKeep                   // keep the connection, and report the crash
	DoRelease                // stop keeping it, for a new child
	DoLeave                  // end it in order
	DoEnd                    // cancel everything that was begun, close the connection
	DoArm                    // call Expired after Life.Delay
	DoShut                   // shut the connection down, so that the child notices its end
)

const (
	// A connection that has lasted for steady begins again with the shortest back-off when it is
	// lost.
	steady = 30 * time.Second

	backoffFrom = 100 * time.Millisecond
	backoffTo   = 30 * time.Second
)

// Life is the life of a link, from one connection to the next. It decides which event leads where.
// It does nothing itself, reads no clock, and belongs to the goroutine of a guard.
type Life struct {
	Retry   bool                              // the configuration's reconnect
	Always  bool                              // the same, even before the first connection
	Meets   bool                              // the node may have another connection with us, and then refuses this one
	Passive bool                              // the node makes the connection, and erluv does not replace it
	Jitter  func(time.Duration) time.Duration // random, from 0 to its argument

	State State
	Err   error         // why the connection ends, or nil
	Delay time.Duration // for DoArm

	quit     bool      // no further attempt
	retired  bool      // the same, unless the node is listed again
	replaced bool      // by a connection that the node has made
	up       bool      // it has been served
	since    time.Time // when this connection was first served
	attempt  int       // failed attempts since it was steady
}

// Needs reports whether the connection needs a child, or will.
func (l *Life) Needs() bool { return l.State <= Releasing }

// Begin begins a connection.
func (l *Life) Begin() Do {
	l.State, l.Err = Connecting, nil
	return DoConnect
}

// Accepted begins the life of a connection that the node has made.
func (l *Life) Accepted() { l.State, l.Err, l.Passive = Open, nil, true }

// Replaced is called when the node has connected to erluv. That connection replaces this one, or
// this attempt.
func (l *Life) Replaced() Do {
	l.replaced = true
	switch l.State {
	case Connecting, Open, Kept, Releasing:
		l.State, l.Err = Closing, nil
		return DoEnd
	case Handing, Served:
		return DoShut
	case Waiting:
		l.Meet()
	}
	return 0
}

// Meet stops attempts while the node has a connection to erluv. The link counts as if its own
// connection had been up.
func (l *Life) Meet() {
	l.State, l.Err, l.replaced, l.up, l.attempt = Met, nil, false, true, 0
}

// Parted is called when the node's connection to erluv has ended.
func (l *Life) Parted() Do {
	switch {
	case l.State != Met:
		return 0
	case !l.Retry:
		l.State = Ended
		return 0
	}
	return l.wait()
}

// Connected is called when the handshake is done.
func (l *Life) Connected() Do {
	switch l.State {
	case Connecting:
		l.State = Open
	case Closing:
		return DoEnd
	}
	return 0
}

// Offered is called when a child waits for connections.
func (l *Life) Offered() Do {
	switch l.State {
	case Open:
		l.State = Handing
		return DoHand
	case Kept:
		l.State = Releasing
		return DoRelease
	}
	return 0
}

// Ready is called when the child serves the connection.
func (l *Life) Ready(now time.Time) {
	if l.State != Handing {
		return
	}
	l.State, l.Err, l.up = Served, nil, true
	if l.since.IsZero() {
		l.since = now
	}
}

// Lost is called when the connection is lost, could not be made, or cannot be served.
func (l *Life) Lost(err error) Do {
	switch l.State {
	case Closing, Waiting, Met, Ended:
		return 0 // a cancelled attempt fails, as expected
	case Leaving:
		err = l.Err
	case Served: // a connection that must end does so by the child, which may fail
	default:
		if l.quit {
			err = nil
		}
	}
	l.State, l.Err = Closing, err
	return DoEnd
}

// Crashed is called when the child that serves the connection, or would serve it, has died.
func (l *Life) Crashed() {
	switch l.State {
	case Open, Handing, Served:
		l.State = Orphaned
	}
}

// Reaped is called when nothing is left of a crew that has crashed.
func (l *Life) Reaped() Do {
	switch {
	case l.State != Orphaned:
		return 0
	case l.replaced:
		l.State, l.Err = Closing, nil
		return DoEnd
	case l.quit:
		l.State, l.Err = Leaving, nil
		return DoKeep | DoLeave
	}
	l.State = Kept
	return DoKeep
}

// Released is called when main does not keep the connection any more, and nothing waits on it.
func (l *Life) Released() Do {
	switch l.State {
	case Releasing:
		l.State = Open
	case Leaving:
		l.State = Closing
		return DoEnd
	}
	return 0
}

// Leave is called when erluv must end; err is the reason, or nil for an orderly end.
func (l *Life) Leave(err error) Do {
	l.quit = true
	switch l.State {
	case Connecting, Open:
		l.State, l.Err = Closing, err
		return DoEnd
	case Handing, Served, Orphaned:
		// The child stops first, and has it until then; or main gets it soon.
	case Kept, Releasing:
		l.State, l.Err = Leaving, err
		return DoLeave
	case Leaving, Closing:
		l.Err = err // a lost connection is no failure any more
	case Waiting, Met:
		l.State, l.Err = Ended, err
	}
	return 0
}

// Failure returns the link's error, if erluv fails by it. That is not so for the link of a node
// that has connected to erluv, nor for a retired one.
func (l *Life) Failure() error {
	if l.Passive || l.retired {
		return nil
	}
	return l.Err
}

// Retire is called when the node is no longer listed for dialling. An existing connection stays
// until it is lost.
func (l *Life) Retire() Do {
	l.retired = true
	switch l.State {
	case Connecting:
		l.State, l.Err = Closing, nil
		return DoEnd
	case Waiting, Met:
		l.State, l.Err = Ended, nil
	}
	return 0
}

// Over reports whether the node was retired, and nothing is left of its connection.
func (l *Life) Over() bool { return l.retired && l.State == Ended }

// Recall is called when the node is listed again.
func (l *Life) Recall() { l.retired = false }

// Expired is called when the timer has run out.
func (l *Life) Expired() Do {
	if l.State != Waiting {
		return 0
	}
	return l.Begin()
}

// Gone is called when nothing of the connection is left.
func (l *Life) Gone(now time.Time) Do {
	if l.State != Closing {
		return 0
	}
	switch {
	case l.quit || l.retired || l.Passive:
		l.State = Ended
		return 0
	case l.replaced:
		l.Meet()
		return 0
	case !l.Retry || !l.up && !l.Always && !(l.Meets && IsMeeting(l.Err)) || IsFinal(l.Err):
		l.State = Ended
		return 0
	}
	if !l.since.IsZero() && now.Sub(l.since) >= steady {
		l.attempt = 0
	}
	return l.wait()
}

// wait begins the pause before the next attempt.
func (l *Life) wait() Do {
	l.State, l.since = Waiting, time.Time{}
	l.Delay = l.Jitter(backoff(l.attempt))
	l.attempt++
	return DoArm
}

// backoff returns the longest delay before an attempt. The first attempt is 0.
func backoff(attempt int) time.Duration {
	d := backoffFrom
	for range attempt {
		if d *= 2; d >= backoffTo {
			return backoffTo
		}
	}
	return d
}
