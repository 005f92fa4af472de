// Package permit has one table of the messages that main accepts: from which speaker, when, and how
// often. Packages crew and link use it. A role that sends any other message is killed.
package permit

import (
	"fmt"
	"strings"
	"unicode"

	"erluv/ipc"
)

// Speaker is a speaker to main; in the table, a set of them.
type Speaker uint8

const (
	Child   Speaker = 1 << iota // the conversation with the child
	Spawner                     // the conversation with a spawner
	Ledger                      // the child again, on the ledger's conversation
	Logged                      // any role, on its log's conversation
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

// Speakers are the speakers of the roles' conversations.
var Speakers = map[ipc.Role]Speaker{ipc.RoleChild: Child, ipc.RoleSpawner: Spawner, ipc.RoleRelay: Relay}

// Phase is the phase of a conversation.
type Phase uint8

const (
	AtHello Phase = iota // the role was started
	AtWait               // the role was greeted, and waits
	AtStart              // the role has its settings
	AtWork               // the role serves
	AtEnd                // the role has sent its last message
)

func (p Phase) String() string {
	return [...]string{"before it is greeted", "before it is asked to serve", "before it serves", "while it serves", "after its last word"}[p]
}

// times is how often a message may come in one phase.
type times uint8

const (
	once     times = iota // it ends the phase
	answered              // once for each question of main
	often
)

// permit is a line of the table: who may send which message in which phase, how often, and the next
// phase.
type permit struct {
	who  Speaker
	at   Phase
	kind ipc.Kind
	how  times
	next Phase
}

// permits are all messages that main accepts. Main kills a role that sends any other message, in
// another phase, or too often. It also kills a role that attaches a descriptor: main accepts none
// (ipc.Conn.NoDescriptors). No message of the table may make main open, run or name anything from
// its contents. A WantSpawner, for instance, has a number in main's own list. ipc.Decode checks the
// contents of each message, to the byte.
var permits = []permit{
	{Child | Spawner | Relay, AtHello, ipc.KindHello, once, AtWait},
	{Child | Spawner | Relay, AtHello, ipc.KindFailed, once, AtEnd},
	{Child | Spawner | Relay, AtStart, ipc.KindReady, once, AtWork},
	{Child | Spawner | Relay, AtStart, ipc.KindFailed, once, AtEnd},
	{Child | Spawner | Relay, AtWork, ipc.KindBeat, answered, AtWork},
	{Child, AtWork, ipc.KindDrain, often, AtWork},
	{Child, AtWork, ipc.KindWantSpawner, often, AtWork}, // for each user without one: see crew.Crew
	{Child, AtWork, ipc.KindLost, often, AtWork},        // the guard knows which links the child has
	{Child, AtWork, ipc.KindCounted, often, AtWork},     // main tells people, after the next answer
	{Child, AtWork, ipc.KindStanding, often, AtWork},    // main keeps it for the next child
	{Child | Relay, AtWork, ipc.KindStopped, once, AtEnd},
	{Ledger, AtWork, ipc.KindLedger, often, AtWork},
	{Logged, AtWork, ipc.KindLog, often, AtWork}, // main only logs it
}

// Hearing is the state of a conversation. It belongs to the listener.
type Hearing struct {
	Who   Speaker
	At    Phase
	Asked int // questions without an answer
}

// Hear decodes a packet that is permitted now, and moves to the next phase.
func (h *Hearing) Hear(packet []byte) (ipc.Message, error) {
	for _, p := range permits {
		if p.who&h.Who == 0 || p.at != h.At || p.kind != kindOf(packet) {
			continue
		}
		if p.how == answered && h.Asked == 0 {
			return nil, fmt.Errorf("the %s answers a question that main has not asked", h.Who)
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
	return nil, fmt.Errorf("the %s sent a forbidden message %s (kind %d, %d bytes)", h.Who, h.At, kindOf(packet), len(packet))
}

// kindOf returns the first byte; no message has the kind 0.
func kindOf(packet []byte) ipc.Kind {
	if len(packet) == 0 {
		return 0
	}
	return ipc.Kind(packet[0])
}

// Printable makes a role's text fit for a log: an attacker may have taken the role over.
func Printable(s string) string {
	const limit = 1000 // bytes
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s[:min(len(s), limit)])
}
