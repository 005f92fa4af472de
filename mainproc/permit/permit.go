// Package permit says what main listens to: from whom, when, and how often. It is one table.
// Rooms crew and link listen by it, and a role that says anything else is killed.
package permit

import (
	"fmt"
	"strings"
	"unicode"

	"erluv/ipc"
)

// Speaker is who speaks to main: a set, in the table.
type Speaker uint8

const (
	Child   Speaker = 1 << iota // the conversation with the child
	Spawner                     // the one with the spawner
	Ledger                      // the child again, on the ledger's own conversation
	Logged                      // any role, on its log's own conversation
	Relay                       // the conversation with a relay
)

func (s Speaker) String() string {
	switch s {
	case Child:
		return ipc.RoleChild.String()
	case Spawner:
		return ipc.RoleSpawner.String()
	case Ledger:
		return "child's ledger"
	case Logged:
		return "log of a role"
	case Relay:
		return ipc.RoleRelay.String()
	}
	return fmt.Sprintf("speaker %d", uint8(s))
}

// Speakers are those of the roles' conversations.
var Speakers = map[ipc.Role]Speaker{ipc.RoleChild: Child, ipc.RoleSpawner: Spawner, ipc.RoleRelay: Relay}

// Phase is how far a conversation is.
type Phase uint8

const (
	AtHello Phase = iota // the role was started
	AtWait               // it was greeted, and waits
	AtStart              // it was given what it serves with
	AtWork               // it serves
	AtEnd                // it has said its last
)

func (p Phase) String() string {
	return [...]string{"before it is greeted", "before it is asked to serve", "before it serves", "while it serves", "after its last word"}[p]
}

// times is how often something may be said in one phase.
type times uint8

const (
	once     times = iota // it ends the phase
	answered              // for each time that main has asked
	often
)

// permit is a line of the table: who may say what, when, how often, and what phase
// begins with it.
type permit struct {
	who  Speaker
	at   Phase
	kind ipc.Kind
	how  times
	next Phase
}

// permits are all that main listens to. It kills who says anything else, in another
// phase or once more, and who attaches a descriptor to anything: main takes none
// (ipc.Conn.NoDescriptors). No kind may be in it that makes main open, run or name
// what the message holds: a WantSpawner holds a number in main's own list. What a message
// may hold, to the byte, is said by ipc.Decode.
var permits = []permit{
	{Child | Spawner | Relay, AtHello, ipc.KindHello, once, AtWait},
	{Child | Spawner | Relay, AtHello, ipc.KindFailed, once, AtEnd},
	{Child | Spawner | Relay, AtStart, ipc.KindReady, once, AtWork},
	{Child | Spawner | Relay, AtStart, ipc.KindFailed, once, AtEnd},
	{Child | Spawner | Relay, AtWork, ipc.KindBeat, answered, AtWork},
	{Child, AtWork, ipc.KindDrain, often, AtWork},
	{Child, AtWork, ipc.KindWantSpawner, often, AtWork}, // for each user while there is none: see crew.Crew
	{Child, AtWork, ipc.KindLost, often, AtWork},        // the guard knows which links the child has
	{Child, AtWork, ipc.KindStanding, often, AtWork},    // main keeps it for the next child
	{Child | Relay, AtWork, ipc.KindStopped, once, AtEnd},
	{Ledger, AtWork, ipc.KindLedger, often, AtWork},
	{Logged, AtWork, ipc.KindLog, often, AtWork}, // main only logs it
}

// Hearing is what main has heard in a conversation so far. It belongs to who listens.
type Hearing struct {
	Who   Speaker
	At    Phase
	Asked int // questions without an answer
}

// Hear decodes a packet that is permitted now, and goes on to the phase after it.
func (h *Hearing) Hear(packet []byte) (ipc.Message, error) {
	for _, p := range permits {
		if p.who&h.Who == 0 || p.at != h.At || p.kind != kindOf(packet) {
			continue
		}
		if p.how == answered && h.Asked == 0 {
			return nil, fmt.Errorf("the %s answers what it was not asked", h.Who)
		}
		m, err := ipc.Decode(packet)
		if err != nil {
			return nil, fmt.Errorf("the %s is not understood: %w", h.Who, err)
		}
		if p.how == answered {
			h.Asked--
		}
		h.At = p.next
		return m, nil
	}
	return nil, fmt.Errorf("the %s must not say what it says %s (kind %d, %d bytes)", h.Who, h.At, kindOf(packet), len(packet))
}

// kindOf is the first byte; no message has the kind 0.
func kindOf(packet []byte) ipc.Kind {
	if len(packet) == 0 {
		return 0
	}
	return ipc.Kind(packet[0])
}

// Printable makes a role's words fit for a log: whoever wrote them may have been
// taken over.
func Printable(s string) string {
	const limit = 1000 // bytes
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s[:min(len(s), limit)])
}
