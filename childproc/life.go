package childproc

import "fmt"

// state is where a program stands in its life as a process of the node. What its
// processes do meanwhile is workers.State.
type state uint8

// The states.
const (
	stStarting   state = iota // the program has been asked for, for the first time
	stUnready                 // it runs; its caller alone hears of it, and not before it is ready
	stPairing                 // it runs; its proxy is being started
	stRunning                 // it runs, and is known
	stAwaiting                // it is over; its proxy is awaited
	stDraining                // it is over; its output waits for a reader, or for room
	stPaused                  // a pause before it is started again
	stDue                     // the pause has passed; words of the process wait for room
	stRestarting              // the program has been asked for again
	stGone                    // the process has ended
	numStates
)

var stateNames = [numStates]string{
	"starting", "unready", "pairing", "running", "awaiting", "draining", "paused", "due", "restarting", "gone",
}

func (s state) String() string { return stateNames[s] }

// event is what can happen to a program.
type event uint8

const (
	evStarted  event = iota // it runs
	evRefused               // it could not be started the first time
	evReady                 // it has shown that it is ready
	evPaired                // its proxy runs
	evUnpaired              // its proxy could not be started
	evOver                  // it is over, and all it wrote was read from the pipes
	evAgain                 // its output is delivered, or its restart has failed: it is started again
	evLast                  // the same, and it is not started again
	evWaited                // the pause before a restart has passed
	evHeard                 // the words of the process are said
	evEnd                   // the process is to end
	evKill                  // it is to end at once
	evFault                 // the program does not do what it should
	numEvents
)

var eventNames = [numEvents]string{
	"started", "refused", "ready", "paired", "unpaired", "over", "again", "last", "waited", "heard", "end", "kill", "fault",
}

func (e event) String() string { return eventNames[e] }

// deeds is a set of things to do, done in the order of the bits.
type deeds uint16

const (
	doDecline  deeds = 1 << iota // answer that there is no process
	doWithdraw                   // nobody but the caller will hear of it
	doOwn                        // monitor the owner
	doPair                       // start the proxy
	doPresent                    // make the process known, and deliver what has been read
	doTell                       // tell the owner what has happened
	doReady                      // tell the owner that the program is ready
	doStop                       // stop the program
	doKill                       // kill it
	doUnpause                    // end the pause
	doHear                       // look whether the words of the process are said
	doBegin                      // ask for the program again
	doBury                       // end the process
	doGoOn                       // let what is left of the output go on
)

// life is a program's state machine. It has no clock and does nothing itself.
type life struct {
	state  state
	quiet  bool // for good: nobody hears of the process before its program is ready
	paired bool // for good: it has a proxy
	told   bool // the process was told to end: its program is not started again
	shown  bool // the program was ready before its proxy ran, and the owner is to hear of it
}

// hidden says whether nobody has heard of the process but its caller.
func (l *life) hidden() bool {
	switch l.state {
	case stStarting:
		return l.quiet || l.paired
	case stUnready, stPairing, stAwaiting:
		return true
	}
	return false
}

// unheard says whether the process waits for its program to be ready before anybody hears
// of it.
func (l *life) unheard() bool {
	return !l.told && (l.state == stUnready || l.state == stStarting && l.quiet)
}

// paused says whether the program is neither there nor asked for.
func (l *life) paused() bool { return l.state == stPaused || l.state == stDue }

// drains says whether the program is over, and the process is not.
func (l *life) drains() bool { return l.state == stDraining || l.state == stAwaiting }

// step takes one event. An event that means nothing in a state changes nothing.
func (l *life) step(e event) deeds {
	if e == evEnd || e == evKill {
		return l.end(e)
	}
	switch l.state {
	case stStarting:
		return l.starting(e)
	case stUnready:
		return l.unready(e)
	case stPairing, stAwaiting:
		return l.pairing(e)
	case stRunning:
		return l.running(e)
	case stDraining:
		return l.decided(e)
	case stPaused:
		if e == evWaited {
			return l.to(stDue, doHear)
		}
		return 0
	case stDue:
		if e == evHeard {
			return l.to(stRestarting, doBegin)
		}
		return 0
	case stRestarting:
		if e == evStarted {
			return l.to(stRunning, doTell)
		}
		return l.decided(e)
	case stGone:
		return 0
	}
	panic(fmt.Sprintf("childproc: no state %d", l.state))
}

func (l *life) to(s state, d deeds) deeds {
	l.state = s
	return d
}

func (l *life) starting(e event) deeds {
	switch e {
	case evRefused:
		return l.to(stGone, doDecline)
	case evStarted:
		switch {
		case l.quiet:
			return l.to(stUnready, doOwn)
		case l.paired:
			return l.to(stPairing, doPair)
		}
		return l.to(stRunning, doPresent|doGoOn)
	}
	return 0
}

func (l *life) unready(e event) deeds {
	switch e {
	case evReady:
		switch {
		case l.told:
			return 0
		case l.paired:
			return l.to(stPairing, doPair)
		}
		return l.to(stRunning, doPresent|doGoOn)
	case evOver:
		return l.to(stDraining, doGoOn)
	case evFault:
		return doStop
	}
	return 0
}

// pairing: both the program and its proxy can be first to come to something.
func (l *life) pairing(e event) deeds {
	next, hidden := stRunning, stUnready
	if l.state == stAwaiting {
		next, hidden = stDraining, stDraining
	}
	switch e {
	case evReady:
		if !l.quiet && !l.told && l.state == stPairing {
			l.shown = true
		}
	case evPaired:
		if l.shown {
			return l.to(next, doPresent|doReady|doGoOn)
		}
		return l.to(next, doPresent|doGoOn)
	case evUnpaired:
		return l.to(hidden, doWithdraw)
	case evOver:
		return l.to(stAwaiting, 0)
	case evFault:
		if l.state == stPairing {
			return doStop
		}
	}
	return 0
}

func (l *life) running(e event) deeds {
	switch e {
	case evReady:
		if !l.told {
			return doReady
		}
	case evOver:
		return l.to(stDraining, doGoOn)
	case evFault:
		return doStop
	}
	return 0
}

// decided: it is known whether the program is started again. After the process was told to
// end it is not.
func (l *life) decided(e event) deeds {
	switch {
	case e == evAgain && !l.told:
		return l.to(stPaused, doTell)
	case e == evAgain, e == evLast:
		return l.to(stGone, doTell|doBury)
	}
	return 0
}

// end: the process is told to end, again perhaps. What nobody has asked for is given up
// each time.
func (l *life) end(e event) deeds {
	todo := doStop
	if e == evKill {
		todo = doKill
	}
	switch {
	case l.state == stGone:
		return 0
	case l.paused():
		l.told = true
		return l.to(stGone, doUnpause|doBury)
	case l.unheard():
		todo |= doWithdraw
	}
	l.told = true
	return todo | doGoOn
}
