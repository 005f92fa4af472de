// Package upload is an upload without its surroundings: its state, and the memory of one that is no
// file. It knows no manager and sends nothing. Package childproc carries out its decisions.
//
//	life.go    the states of an upload; for each event the next state and the deeds
//	memory.go  a program in memory, while it comes in and afterwards
package upload

import "fmt"

// State is a state of an upload.
type State uint8

// The states.
const (
	Opening    State = iota // its process was requested, and has not opened the file yet
	Open                    // chunks are accepted
	Committing              // its process knows that the file is complete
	Kept                    // it is in memory, and can be executed
	Ending                  // it is being ended
	Gone                    // the process of the node has ended
	NumStates
)

var stateNames = [NumStates]string{"opening", "open", "committing", "kept", "ending", "gone"}

// String is the name of the state, as info reports it.
func (s State) String() string { return stateNames[s] }

// Event is an event in the life of an upload.
type Event uint8

// The events.
const (
	Opened Event = iota // the file is open, or the memory exists
	Commit              // its sender says that it is complete
	Sealed              // it is complete, and in memory
	End                 // a graceful end was requested
	Kill                // an immediate end was requested
	Over                // its process has ended, or its memory was given back
	NumEvents
)

var eventNames = [NumEvents]string{"opened", "commit", "sealed", "end", "kill", "over"}

// String is the name of the event.
func (e Event) String() string { return eventNames[e] }

// Deeds is a set of actions, carried out in the order of the bits.
type Deeds uint8

// The deeds.
const (
	Grant   Deeds = 1 << iota // answer that it is open
	Publish                   // give the file its name, or seal the memory
	Stop                      // stop its process, or give the memory back
	Halt                      // the same at once
	Decline                   // answer that it could not be opened
	Bury                      // end the process of the node
)

// Life is the state machine of an upload. It does nothing itself.
type Life struct {
	State   State
	granted bool
}

// Step takes one event. An event without a meaning in a state changes nothing.
func (l *Life) Step(e Event) Deeds {
	switch {
	case l.State == Gone:
		return 0
	case e == Over && l.granted:
		return l.to(Gone, Bury)
	case e == Over:
		return l.to(Gone, Decline)
	case e == Kill:
		return l.to(Ending, Halt)
	}
	switch l.State {
	case Opening:
		switch e {
		case Opened:
			l.granted = true
			return l.to(Open, Grant)
		case End:
			return l.to(Ending, Stop)
		}
	case Open:
		switch e {
		case Commit:
			return l.to(Committing, Publish)
		case End:
			return l.to(Ending, Stop)
		}
	case Committing:
		switch e {
		case Sealed:
			return l.to(Kept, 0)
		case End:
			return l.to(Ending, Stop)
		}
	case Kept:
		if e == End {
			return l.to(Ending, Stop)
		}
	case Ending:
	default:
		panic(fmt.Sprintf("upload: no state %d", l.State))
	}
	return 0
}

func (l *Life) to(s State, d Deeds) Deeds {
	l.State = s
	return d
}
