package link

import "time"

// State is where a connection stands.
type State uint8

// The states.
const (
	Connecting State = iota // to the node
	Open                    // it is made, and no child has it
	Handing                 // it is being given to a child
	Served                  // a child serves it
	Orphaned                // that has died, or must; until all roles have been reaped
	Kept                    // main keeps it, and waits for another child
	Releasing               // the same, until nothing waits on it: another child waits for it
	Leaving                 // main says its last words on it
	Closing                 // until nothing of it is left
	Waiting                 // before the next attempt to connect
	Met                     // the node has made a connection by itself; until that has ended
	Ended
)

func (s State) String() string {
	return [...]string{"connecting", "open", "handing", "served", "orphaned", "kept", "releasing", "leaving", "closing", "waiting", "met", "ended"}[s]
}

// Do is what is to be done after an event: a set, carried out in this order.
type Do uint8

// What is to be done.
const (
	DoConnect Do = 1 << iota // begin to connect
	DoHand                   // begin to give the connection to the child
	DoKeep                   // keep the connection, and tell of the crash
	DoRelease                // stop keeping it, for a new child
	DoLeave                  // end it in order
	DoEnd                    // give up what was begun, close the connection
	DoArm                    // Expired is due in Life.Delay
	DoShut                   // shut the connection down, so that the child finds that it has ended
)

const (
	// A connection that has held for steady begins again with the shortest
	// back-off when it is lost.
	steady = 30 * time.Second

	backoffFrom = 100 * time.Millisecond
	backoffTo   = 30 * time.Second
)

// Life is the life of a link, from one connection to the next: which event leads where,
// and nothing else. It does nothing itself, reads no clock and is owned by the goroutine of
// a guard.
type Life struct {
	Retry   bool                              // the configuration's reconnect
	Always  bool                              // the same, before it has been up, too
	Meets   bool                              // the node may have another connection with us, and refuses this one then
	Passive bool                              // the node makes the connection, and erluv none in place of it
	Jitter  func(time.Duration) time.Duration // random, 0 to its argument

	State State
	Err   error         // why the connection ends, or nil
	Delay time.Duration // for DoArm

	quit     bool      // no further attempt
	retired  bool      // the same, unless the node is named again
	replaced bool      // by a connection that the node has made
	up       bool      // it has been served
	since    time.Time // when this connection came up
	attempt  int       // failed ones since it was steady
}

// Needs says whether the connection needs a child, or will.
func (l *Life) Needs() bool { return l.State <= Releasing }

// Begin begins a connection.
func (l *Life) Begin() Do {
	l.State, l.Err = Connecting, nil
	return DoConnect
}

// Accepted begins the life of a connection that the node has made.
func (l *Life) Accepted() { l.State, l.Err, l.Passive = Open, nil, true }

// Replaced: the node has made another connection by itself. It is served in place of this
// one, or of the one that is being made.
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

// Meet has no connection made as long as the node has made one. It is as if this one were up.
func (l *Life) Meet() {
	l.State, l.Err, l.replaced, l.up, l.attempt = Met, nil, false, true, 0
}

// Parted: the connection that the node has made by itself has ended.
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

// Connected: the handshake is done.
func (l *Life) Connected() Do {
	switch l.State {
	case Connecting:
		l.State = Open
	case Closing:
		return DoEnd
	}
	return 0
}

// Offered: a child waits for connections.
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

// Ready: the child serves it.
func (l *Life) Ready(now time.Time) {
	if l.State != Handing {
		return
	}
	l.State, l.Err, l.up = Served, nil, true
	if l.since.IsZero() {
		l.since = now
	}
}

// Lost: there is no connection any more, could not be one, or none can be served.
func (l *Life) Lost(err error) Do {
	switch l.State {
	case Closing, Waiting, Met, Ended:
		return 0 // what was given up fails; that is no news
	case Leaving:
		err = l.Err
	case Served: // one that is to end does so by the child, which may fail
	default:
		if l.quit {
			err = nil
		}
	}
	l.State, l.Err = Closing, err
	return DoEnd
}

// Crashed: the child has died that serves it, or would have.
func (l *Life) Crashed() {
	switch l.State {
	case Open, Handing, Served:
		l.State = Orphaned
	}
}

// Reaped: nothing is left of a crew that has crashed.
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

// Released: main does not keep the connection any more, and nothing waits on it.
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

// Leave: erluv is to end; err says why, if it is no orderly end.
func (l *Life) Leave(err error) Do {
	l.quit = true
	switch l.State {
	case Connecting, Open:
		l.State, l.Err = Closing, err
		return DoEnd
	case Handing, Served, Orphaned:
		// The child stops first, and has it until then; or main has it soon.
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

// Failure is why the link has ended, if erluv fails by it: not the link of a node that has connected
// by itself, nor of one that erluv is not to dial any more.
func (l *Life) Failure() error {
	if l.Passive || l.retired {
		return nil
	}
	return l.Err
}

// Retire: the node is not one to be dialled any more. A connection that there is stays until it
// is lost.
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

// Over says whether the node was retired, and nothing is left of its connection.
func (l *Life) Over() bool { return l.retired && l.State == Ended }

// Recall: it is one again.
func (l *Life) Recall() { l.retired = false }

// Expired: the timer ran out.
func (l *Life) Expired() Do {
	if l.State != Waiting {
		return 0
	}
	return l.Begin()
}

// Gone: nothing of the connection is left.
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
