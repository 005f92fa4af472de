package workers

import "fmt"

// State is a state in a worker's life.
type State uint8

// The states. "The program" is the requested process. "The group" is every process in its process
// group, which the program leads.
const (
	Starting State = iota // a request to the spawner waits or is under way
	Running               // the program runs
	Stopping              // the group got the stop signal
	Killing               // the group got SIGKILL
	Waiting               // the program has ended; the rest ends by itself (tree wait)
	Sweeping              // the program has ended; the rest got the stop signal
	Purging               // the program has ended; the rest got SIGKILL
	Draining              // no process is waited for; remaining output is being delivered
	Gone                  // the end was reported
	numStates
)

var stateNames = [numStates]string{
	"starting", "running", "stopping", "killing", "waiting", "sweeping", "purging", "draining", "gone",
}

// String is the name of the state, as info reports it.
func (s State) String() string { return stateNames[s] }

// event is an event in a worker's life.
type event uint8

const (
	evStarted    event = iota // the spawner has started the program
	evNotStarted              // the spawner could not start it
	evExited                  // the program has ended
	evGroupEmpty              // no process is left in the group
	evTreeDone                // tree wait: the group is empty, and all output pipes are closed
	evStop                    // a graceful stop was requested
	evKill                    // a kill was requested
	evDeadline                // the last wait of the graceful stop has passed
	evPoll                    // time to check the group again
	evDrained                 // all output has been delivered
	evUnwatched               // it was started, but cannot be watched
	numEvents
)

var eventNames = [numEvents]string{
	"started", "not started", "exited", "group empty", "tree done", "stop", "kill", "deadline", "poll", "drained", "unwatched",
}

func (e event) String() string { return eventNames[e] }

// actions is a set of actions, carried out in the order of the bits.
type actions uint16

const (
	actSignal actions = 1 << iota // begin the graceful stop, and the wait until its next step
	actKill                       // send SIGKILL to the group
	actDisarm                     // end the wait
	actWatch                      // check whether the group is empty, now and again later
	actDrain                      // deliver remaining output, then close the pipes
	actFail                       // report that no program was started
	actReport                     // report the end
)

// Tree says what happens to the processes that a program leaves behind.
type Tree uint8

// The kinds of Tree.
const (
	TreeKill  Tree = iota // they are stopped like the program
	TreeWait              // the worker waits for their end
	TreeLeave             // they are left alone
)

// life is a worker's state machine. It has no clock and does nothing itself. pending remembers a
// stop or kill that came before the program started.
type life struct {
	state   State
	tree    Tree
	pending event // evStarted: none
}

// step takes one event. An event without a meaning in a state changes nothing: a timer that fired
// while it was being stopped, a second stop.
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

// ending takes an event while the program is being stopped or killed, and has not ended yet.
func (l *life) ending(e event) actions {
	switch e {
	case evKill, evDeadline:
		return l.to(Killing, actKill|actDisarm)
	case evExited:
		if l.state == Killing {
			return l.to(Purging, actKill|actWatch)
		}
		return l.to(Sweeping, actWatch) // the whole group was signalled, and the timeout runs
	}
	return 0
}

// leftovers takes an event after the program has ended, while its group may have members.
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
