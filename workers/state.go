package workers

import "fmt"

// State is where a worker stands in its life.
type State uint8

// The states. "The program" is the process that was asked for; "the group" is
// everything in its process group, of which the program is the leader.
const (
	Starting State = iota // the spawner has been asked
	Running               // the program runs
	Stopping              // the group has been sent the stop signal
	Killing               // the group has been sent SIGKILL
	Waiting               // the program has ended; the rest is waited for (tree wait)
	Sweeping              // the program has ended; the rest has been sent the stop signal
	Purging               // the program has ended; the rest has been sent SIGKILL
	Draining              // nothing is left; what is in the pipes is being delivered
	Gone                  // over; it has been reported
	numStates
)

var stateNames = [numStates]string{
	"starting", "running", "stopping", "killing", "waiting", "sweeping", "purging", "draining", "gone",
}

func (s State) String() string { return stateNames[s] }

// event is what can happen to a worker.
type event uint8

const (
	evStarted    event = iota // the spawner has started the program
	evNotStarted              // it could not
	evExited                  // the program has ended
	evGroupEmpty              // no process is left in the group
	evTreeDone                // tree wait: group empty, and nobody holds the output any more
	evStop                    // a graceful stop is asked for
	evKill                    // everything is to be killed
	evDeadline                // the last wait of the graceful stop has passed
	evPoll                    // time to look at the group again
	evDrained                 // all output has been delivered
	evUnwatched               // it has been started, and cannot be watched
	numEvents
)

var eventNames = [numEvents]string{
	"started", "not started", "exited", "group empty", "tree done", "stop", "kill", "deadline", "poll", "drained", "unwatched",
}

func (e event) String() string { return eventNames[e] }

// actions is a set of things to do, done in the order of the bits.
type actions uint16

const (
	actSignal actions = 1 << iota // begin the graceful stop, and the wait to its next step
	actKill                       // send SIGKILL to the group
	actDisarm                     // end the wait
	actWatch                      // look whether the group is empty, now and from time to time
	actDrain                      // deliver what is in the pipes, then close them
	actFail                       // report that nothing was started
	actReport                     // report the end
)

// Tree says what is done with the processes that a program leaves behind.
type Tree uint8

// The kinds of Tree.
const (
	TreeKill  Tree = iota // they are stopped as the program would be
	TreeWait              // they are waited for
	TreeLeave             // they are left alone
)

// life is a worker's state machine. It has no clock and does nothing itself.
// pending remembers a stop or kill that came before the program was started.
type life struct {
	state   State
	tree    Tree
	pending event // evStarted: none
}

// step takes one event. An event that means nothing in a state (a timer that
// fired while it was being stopped, a second stop) changes nothing.
func (l *life) step(e event) actions {
	switch l.state {
	case Starting:
		return l.starting(e)
	case Running:
		return l.running(e)
	case Stopping, Killing:
		return l.ending(e)
	case Waiting, Sweeping, Purging:
		return l.leftovers(e)
	case Draining:
		if e == evDrained {
			return l.to(Gone, actReport)
		}
		return 0
	case Gone:
		return 0
	}
	panic(fmt.Sprintf("workers: no state %d", l.state))
}

func (l *life) to(s State, a actions) actions {
	l.state = s
	return a
}

func (l *life) starting(e event) actions {
	switch e {
	case evNotStarted:
		return l.to(Gone, actFail)
	case evStop:
		if l.pending != evKill {
			l.pending = evStop
		}
	case evKill:
		l.pending = evKill
	case evUnwatched:
		return l.to(Purging, actKill|actWatch)
	case evStarted:
		l.state = Running
		if l.pending != evStarted {
			return l.running(l.pending)
		}
	}
	return 0
}

func (l *life) running(e event) actions {
	switch e {
	case evStop:
		return l.to(Stopping, actSignal)
	case evKill:
		return l.to(Killing, actKill)
	case evExited:
		switch l.tree {
		case TreeWait:
			return l.to(Waiting, actWatch)
		case TreeLeave:
			return l.to(Draining, actDrain)
		}
		return l.to(Sweeping, actSignal|actWatch)
	}
	return 0
}

// ending: the program has been told to end and has not ended yet.
func (l *life) ending(e event) actions {
	switch e {
	case evKill, evDeadline:
		return l.to(Killing, actKill|actDisarm)
	case evExited:
		if l.state == Killing {
			return l.to(Purging, actKill|actWatch)
		}
		return l.to(Sweeping, actWatch) // all of it was signalled, and the timeout runs
	}
	return 0
}

// leftovers: the program has ended, its group may have members.
func (l *life) leftovers(e event) actions {
	switch e {
	case evStop:
		if l.state == Waiting {
			return l.to(Sweeping, actSignal|actWatch)
		}
	case evKill, evDeadline:
		return l.to(Purging, actKill|actDisarm|actWatch)
	case evPoll:
		if l.state == Purging {
			// A process may have been forked just before the last SIGKILL.
			return actKill | actWatch
		}
		return actWatch
	case evGroupEmpty:
		if l.state != Waiting {
			return l.to(Draining, actDisarm|actDrain)
		}
	case evTreeDone:
		return l.to(Draining, actDisarm|actDrain)
	}
	return 0
}
