package mainproc

import (
	"fmt"

	"erluv/ipc"
)

// speaker is who speaks to main: a set, in the table.
type speaker uint8

const (
	byChild   speaker = 1 << iota // the conversation with the child
	bySpawner                     // the one with the spawner
	byLedger                      // the child again, on the ledger's own conversation
)

func (s speaker) String() string {
	switch s {
	case byChild:
		return ipc.RoleChild.String()
	case bySpawner:
		return ipc.RoleSpawner.String()
	case byLedger:
		return "child's ledger"
	}
	return fmt.Sprintf("speaker %d", uint8(s))
}

// speakers are those of the roles' conversations.
var speakers = map[ipc.Role]speaker{ipc.RoleChild: byChild, ipc.RoleSpawner: bySpawner}

// phase is how far a conversation is.
type phase uint8

const (
	atHello phase = iota // the role was started
	atWait               // it was greeted, and waits
	atStart              // it was given what it serves with
	atWork               // it serves
	atEnd                // it has said its last
)

func (p phase) String() string {
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
	who  speaker
	at   phase
	kind ipc.Kind
	how  times
	next phase
}

// permits are all that main listens to. It kills who says anything else, in another
// phase or once more, and who attaches a descriptor to anything: main takes none
// (ipc.Conn.NoDescriptors). No kind may be in it that makes main open, run or name
// what the message holds: a WantSpawner holds a number in main's own list. What a message may hold, to the byte, is said by ipc.Decode.
var permits = []permit{
	{byChild | bySpawner, atHello, ipc.KindHello, once, atWait},
	{byChild | bySpawner, atHello, ipc.KindFailed, once, atEnd},
	{byChild | bySpawner, atStart, ipc.KindReady, once, atWork},
	{byChild | bySpawner, atStart, ipc.KindFailed, once, atEnd},
	{byChild | bySpawner, atWork, ipc.KindBeat, answered, atWork},
	{byChild, atWork, ipc.KindDrain, often, atWork},
	{byChild, atWork, ipc.KindWantSpawner, often, atWork}, // for each user while there is none: see roles.want
	{byChild, atWork, ipc.KindRemark, often, atWork},      // main only logs it, at debug
	{byChild, atWork, ipc.KindStopped, once, atEnd},
	{byLedger, atWork, ipc.KindLedger, often, atWork},
}

// hearing is what main has heard in a conversation so far. It belongs to who listens.
type hearing struct {
	who   speaker
	at    phase
	asked int // questions without an answer
}

// hear decodes a packet that is permitted now, and goes on to the phase after it.
func (h *hearing) hear(packet []byte) (ipc.Message, error) {
	for _, p := range permits {
		if p.who&h.who == 0 || p.at != h.at || p.kind != kindOf(packet) {
			continue
		}
		if p.how == answered && h.asked == 0 {
			return nil, fmt.Errorf("the %s answers what it was not asked", h.who)
		}
		m, err := ipc.Decode(packet)
		if err != nil {
			return nil, fmt.Errorf("the %s is not understood: %w", h.who, err)
		}
		if p.how == answered {
			h.asked--
		}
		h.at = p.next
		return m, nil
	}
	return nil, fmt.Errorf("the %s must not say what it says %s (kind %d, %d bytes)", h.who, h.at, kindOf(packet), len(packet))
}

// kindOf is the first byte; no message has the kind 0.
func kindOf(packet []byte) ipc.Kind {
	if len(packet) == 0 {
		return 0
	}
	return ipc.Kind(packet[0])
}
