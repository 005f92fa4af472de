package crew

import (
	"errors"
	"fmt"
	"time"
)

// State is where the life of the crews stands, of which there is one at a time.
type State uint8

// The states.
const (
	None     State = iota // there is no crew
	Starting              // the roles are started
	Standby               // they run, have dropped, and wait for a connection
	Handing               // they are given what they serve with, and the first connection
	Serving               // the child serves
	Asked                 // the child was asked to stop and has not said that it has
	Falling               // the child has died, or must; until all roles have been reaped
	Down                  // respawn is waited for; the links are kept meanwhile
	Resting               // the same, before a respawn that comes too soon
	Ending                // until all roles have ended and been reaped
)

func (s State) String() string {
	return [...]string{"none", "starting", "standby", "handing", "serving", "asked", "falling", "down", "resting", "ending"}[s]
}

// Do is what is to be done after an event: a set, carried out in this order.
type Do uint16

// What is to be done.
const (
	DoLaunch Do = 1 << iota // begin to start the roles
	DoServe                 // watch the roles; the node is up
	DoAsk                   // ask the child for an orderly end
	DoLeave                 // erluv is to end, with Life.Err: all links leave
	DoDrop                  // the links that the child has are lost, by Life.Err
	DoRefuse                // all links are, as there is no child for them
	DoEnd                   // give up what was begun, end the conversations
	DoKill                  // SIGKILL to the roles
	DoFall                  // SIGKILL to the child; the conversations end, the links stay
	DoTell                  // tell on the links that the next child has failed as well
	DoArm                   // Expired is due in Life.Delay
)

const (
	// endBound is how long roles may take to end after their conversations were
	// closed: the spawner ends all programs first.
	endBound = 2 * time.Second

	// StopGrace is what the child may take for an orderly stop beside
	// kill_timeout: delivering output.
	StopGrace = 2 * time.Second

	// A child that has served for viable is followed by another as soon as
	// somebody wants it; those that die at once come back more and more slowly.
	viable = 500 * time.Millisecond

	restFrom = 100 * time.Millisecond
	restTo   = 30 * time.Second
)

// ErrDieTimeout is why erluv ends when nobody has asked for a new child in time.
var ErrDieTimeout = errors.New("nobody has asked for a new child (respawn)")

// Life is the life of the crews: which event leads where, and nothing else. It does
// nothing itself, reads no clock and is owned by the goroutine of a guard.
type Life struct {
	StopBound  time.Duration // for the child, from Asked on
	DieTimeout time.Duration

	State State
	Err   error         // why the last crew has ended, or nil
	Delay time.Duration // for DoArm

	again   bool      // after a crash: the links are kept for it
	quit    bool      // no further crew
	risen   time.Time // when the child came up
	crashes int       // since a child was viable
}

// Wanted: there is a connection that nobody serves, or will be soon.
func (l *Life) Wanted() Do {
	if l.State != None || l.quit {
		return 0
	}
	l.State, l.Err, l.again = Starting, nil, false
	return DoLaunch
}

// Unwanted: there is no connection any more that is served, or could be.
func (l *Life) Unwanted() Do {
	switch l.State {
	case Starting, Standby:
		l.State = Ending
		return DoEnd | DoKill
	case Serving:
		l.State = Asked
		l.Delay = l.StopBound
		return DoAsk | DoArm
	case Down, Resting:
		l.State = None
	}
	// In Handing the child may serve already, with programs: it is asked as soon as it
	// says so (see Ready).
	return 0
}

// Idle: the same, and one may come that the crew is to be there for. Without a connection
// there is nobody to ask for another crew: after a crash the next connection brings one.
func (l *Life) Idle() Do {
	if l.State == Down || l.State == Resting {
		l.State = None
	}
	return 0
}

// Stop: somebody wants erluv to end.
func (l *Life) Stop() Do {
	l.quit = true
	return l.Unwanted()
}

// Launched: the roles run, have dropped, and wait.
func (l *Life) Launched() Do {
	switch l.State {
	case Starting:
		l.State = Standby
	case Ending:
		return DoEnd | DoKill
	}
	return 0
}

// Handed: the first connection is being handed over.
func (l *Life) Handed() {
	if l.State == Standby {
		l.State = Handing
	}
}

// Ready: the child serves.
func (l *Life) Ready(now time.Time) Do {
	if l.State != Handing {
		return 0
	}
	l.State, l.Err, l.risen = Serving, nil, now
	if l.quit {
		return DoServe | l.Unwanted()
	}
	return DoServe
}

// Failed: the roles could not be had, or given what they serve with; or, when it serves,
// the child has broken the conversation.
func (l *Life) Failed(err error) Do {
	switch {
	case l.State == Starting && l.again:
		l.State, l.Err, l.Delay = Down, err, l.DieTimeout
		return DoTell | DoArm
	case l.State == Handing && l.again, l.State == Serving:
		return l.fall(err)
	case l.State == Starting, l.State == Handing:
		l.State, l.Err = Ending, err
		return DoRefuse | DoEnd | DoKill
	}
	return 0 // what was given up fails; that is no news
}

// Stopped: the child has stopped, orderly: asked by us, by the node, or because
// the connection has ended (lost, else nil).
func (l *Life) Stopped(lost error) Do {
	switch l.State {
	case Serving:
		if lost == nil {
			l.quit = true
			return DoLeave | l.end(nil)
		}
		return l.end(lost)
	case Asked:
		return l.end(nil)
	}
	return 0
}

// Died: a role has ended and was reaped; err says how.
func (l *Life) Died(err error) Do {
	switch l.State {
	case Serving:
		return l.fall(err)
	case Asked:
		return l.end(fmt.Errorf("before it had stopped: %w", err))
	}
	return 0
}

// end waits for the roles to end by themselves: the spawner with its programs.
func (l *Life) end(err error) Do {
	l.State, l.Err, l.Delay = Ending, err, endBound
	return DoDrop | DoEnd | DoArm
}

// fall waits for what is left of a crash: the spawner ends its programs.
func (l *Life) fall(err error) Do {
	l.State, l.Err, l.Delay = Falling, err, endBound
	return DoFall | DoArm
}

// Respawn: somebody wants a new child. The first comes at once; then the delays
// double until a child is viable.
func (l *Life) Respawn() Do {
	if l.State != Down {
		return 0
	}
	l.crashes++
	if l.crashes == 1 {
		return l.rise()
	}
	l.State, l.Delay = Resting, restFrom
	for n := l.crashes; n > 2 && l.Delay < restTo; n-- {
		l.Delay = min(2*l.Delay, restTo)
	}
	return DoArm
}

func (l *Life) rise() Do {
	l.State, l.again, l.risen = Starting, true, time.Time{}
	return DoLaunch
}

// Expired: the timer ran out.
func (l *Life) Expired() Do {
	switch l.State {
	case Falling, Ending:
		return DoKill
	case Down:
		l.State, l.quit = None, true
		l.Err = fmt.Errorf("%w within %v: the last child: %w", ErrDieTimeout, l.DieTimeout, l.Err)
		return DoLeave
	case Resting:
		return l.rise()
	case Asked:
		return DoKill | l.end(fmt.Errorf("the child did not stop within %v and was killed", l.StopBound))
	}
	return 0
}

// Gone: nothing of the roles is left.
func (l *Life) Gone(now time.Time) Do {
	switch l.State {
	case Ending:
		l.State = None
	case Falling:
		if !l.risen.IsZero() && now.Sub(l.risen) >= viable {
			l.crashes = 0
		}
		if l.quit {
			l.State = None
			return 0
		}
		l.State, l.Delay = Down, l.DieTimeout
		return DoArm
	}
	return 0
}
