package childproc

import "fmt"

// state is the state of a program as a process of the node. workers.State is that of its
// operating-system processes.
type state uint8

// The states.
const (
	stStarting   state = iota // the first start was requested
	stUnready                 // it runs; only its caller will hear of it, and not before it is ready
	stPairing                 // it runs; its proxy is being started
	stRunning                 // it runs, and observers know the process
	stAwaiting                // it has ended; its proxy is still being started
	stDraining                // it has ended; its output waits for a reader, or for room
	stPaused                  // a pause before the restart
	stDue                     // the pause has passed; words of the process wait for room
	stRestarting              // a restart was requested
	stGone                    // the process has ended
	numStates
)

var stateNames = [numStates]string{
	"starting", "unready", "pairing", "running", "awaiting", "draining", "paused", "due", "restarting", "gone",
}

func (s state) String() string { return stateNames[s] }

// event is an event in a program's life.
type event uint8

const (
	evStarted  event = iota // it runs
	evRefused               // the first start failed
	evReady                 // it has shown that it is ready
	evPaired                // its proxy runs
	evUnpaired              // its proxy could not be started
	evOver                  // it has ended, and all its output was read from the pipes
	evAgain                 // its output is delivered, or its restart failed: it is started again
	evLast                  // the same, but it is not started again
	evWaited                // the pause before a restart has passed
	evHeard                 // all words of the process were sent
	evEnd                   // the process must end
	evKill                  // it must end at once
	evFault                 // the program violates an option, as by running too long
	numEvents
)

var eventNames = [numEvents]string{
	"started", "refused", "ready", "paired", "unpaired", "over", "again", "last", "waited", "heard", "end", "kill", "fault",
}

func (e event) String() string { return eventNames[e] }

// deeds is a set of actions, carried out in the order of the bits.
type deeds uint16

const (
	doDecline  deeds = 1 << iota // answer that there is no process
	doWithdraw                   // only the caller will hear of it
	doOwn                        // monitor the owner
	doPair                       // start the proxy
	doPresent                    // make the process known, and deliver output that was read
	doTell                       // report the event to the owner
	doReady                      // report to the owner that the program is ready
	doStop                       // stop the program
	doKill                       // kill it
	doUnpause                    // end the pause
	doHear                       // check whether the words of the process were sent
	doBegin                      // request a start of the program
	doBury                       // end the process
	doGoOn                       // let the remaining output go on
)

// life is a program's state machine. It has no clock and does nothing itself.
type life struct {
	state  state
	quiet  bool // never changes: the process is unknown until its program is ready
	paired bool // never changes: it has a proxy
	told   bool // an end was requested: the program is not started again
	shown  bool // the program was ready before its proxy ran, and the owner must hear of it
}

// hidden reports whether only the caller knows of the process.
func (l *life) hidden() bool {
	switch l.state {
	case stStarting:
		return l.quiet || l.paired
	case stUnready, stPairing, stAwaiting:
		return true
	}
	return false
}

// unheard reports whether the process stays unknown until its program is ready.
func (l *life) unheard() bool {
	return !l.told && (l.state == stUnready || l.state == stStarting && l.quiet)
}

// paused reports whether the program neither runs nor is being started.
func (l *life) paused() bool { return l.state == stPaused || l.state == stDue }

// drains reports whether the program has ended and the process has not.
func (l *life) drains() bool { return l.state == stDraining || l.state == stAwaiting }

// step takes one event. An event without a meaning in a state changes nothing.
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

// pairing handles the events of a program and its proxy, in any order.
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

// decided handles the decision whether the program is started again. It is not after a request to
// end the process.
func (l *life) decided(e event) deeds {
	switch {
	case e == evAgain && !l.told:
		return l.to(stPaused, doTell)
	case e == evAgain, e == evLast:
		return l.to(stGone, doTell|doBury)
	}
	return 0
}

// end ends the process, perhaps again. Each time, output that was not requested is given up.
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
