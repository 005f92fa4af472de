package crew

import (
	"errors"
	"fmt"
	"time"
)

// State is the state of the crews' life. There is one crew at a time.
type State uint8

// The states.
const (
	None     State = iota // there is no crew
	Starting              // the roles are being started
	Standby               // they run, have dropped their privileges, and wait for a connection
	Handing               // they are getting their settings, and the first connection
	Serving               // the child serves
	Asked                 // the child was asked to stop and has not reported Stopped
	Falling               // the child has died, or must; until all roles have been reaped
	Down                  // waits for a respawn; the links are kept meanwhile
	Resting               // waits before a respawn that comes too soon
	Ending                // until all roles have ended and been reaped
)

func (s State) String() string {
	return [...]string{"none", "starting", "standby", "handing", "serving", "asked", "falling", "down", "resting", "ending"}[s]
}

// Do is a set of actions after an event, in the order in which they are carried out.
type Do uint16

// The actions.
const (
	DoLaunch Do = 1 << iota // begin to start the roles
	DoServe                 // watch the roles; the node is up
	DoAsk                   // ask the child for an orderly end
	DoLeave                 // erluv ends, with Life.Err: all links leave
	DoDrop                  // the child's links are lost, by Life.Err
	DoRefuse                // all links are lost, as there is no child for them
	DoEnd                   // cancel everything that was begun, close the conversations
	DoKill                  // SIGKILL to the roles
	DoFall                  // SIGKILL to the child; the conversations end, the links stay
	DoTell                  // report on the links that the next child has failed too
	DoArm                   // call Expired after Life.Delay
)

const (
	// endBound is how long roles may take to end after their conversations were closed. The spawner
	// ends all programs first.
	endBound = 2 * time.Second

	// StopGrace is the child's time for an orderly stop in addition to kill_timeout, to deliver
	// output.
	StopGrace = 2 * time.Second

	// After a child that has served for viable, the next one starts as soon as a node requests it.
	// Children that die at once are replaced more and more slowly.
	viable = 500 * time.Millisecond

	restFrom = 100 * time.Millisecond
	restTo   = 30 * time.Second
)

// ErrDieTimeout is erluv's error if no node has requested a new child in time.
var ErrDieTimeout = errors.New("no node has asked for a new child (respawn)")

// Life is the life of the crews. It decides which event leads where. It does nothing itself, reads
// no clock, and belongs to the goroutine of a guard.
type Life struct {
	StopBound  time.Duration // for the child, from Asked on
	DieTimeout time.Duration

	State State
	Err   error         // why the last crew has ended, or nil
	Delay time.Duration // for DoArm

	again   bool      // after a crash: the links are kept for the next crew
	quit    bool      // no further crew
	risen   time.Time // when the child began to serve
	crashes int       // in a row, without a viable child
}

// Wanted is called when there is a connection that no child serves, or soon will be.
func (l *Life) Wanted() Do {
	if l.State != None || l.quit {
		return 0
	}
	l.State, l.Err, l.again = Starting, nil, false
	return DoLaunch
}

// Unwanted is called when there is no connection left to serve.
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
	// In Handing the child may serve already, with programs. It is asked to stop once it reports
	// Ready.
	return 0
}

// Idle is called when there is no connection, and the crew is to stay for the next. After a crash
// no node can request another crew then. So the next connection brings one.
func (l *Life) Idle() Do {
	if l.State == Down || l.State == Resting {
		l.State = None
	}
	return 0
}

// Stop is called when erluv must end.
func (l *Life) Stop() Do {
	l.quit = true
	return l.Unwanted()
}

// Launched is called when the roles run, have dropped their privileges, and wait.
func (l *Life) Launched() Do {
	switch l.State {
	case Starting:
		l.State = Standby
	case Ending:
		return DoEnd | DoKill
	}
	return 0
}

// Handed is called when the first connection is being handed over.
func (l *Life) Handed() {
	if l.State == Standby {
		l.State = Handing
	}
}

// Ready is called when the child serves.
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

// Failed is called when the roles could not be started, or could not get their settings. While the
// child serves, it means that the child has broken the conversation.
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
	return 0 // a cancelled start fails, as expected
}

// Stopped is called when the child has stopped in order. If main or a node has asked for that, lost
// is nil; otherwise it says how the connection has ended.
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

// Died is called when a role has ended and was reaped; err says how.
func (l *Life) Died(err error) Do {
	switch l.State {
	case Serving:
		return l.fall(err)
	case Asked:
		return l.end(fmt.Errorf("before it had stopped: %w", err))
	}
	return 0
}

// end waits for the roles to end by themselves. The spawner ends its programs first.
func (l *Life) end(err error) Do {
	l.State, l.Err, l.Delay = Ending, err, endBound
	return DoDrop | DoEnd | DoArm
}

// fall waits for the end of the roles after a crash. The spawner ends its programs first.
func (l *Life) fall(err error) Do {
	l.State, l.Err, l.Delay = Falling, err, endBound
	return DoFall | DoArm
}

// Respawn is called when a node requests a new child. The first request is served at once. Then the
// delays double until a child is viable.
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

// Expired is called when the timer has run out.
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

// Gone is called when nothing of the roles is left.
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
