package mainproc

import (
	"fmt"
	"strings"
	"time"

	"erluv/mainproc/crew"
	"erluv/mainproc/link"
)

// trouble is the last error, for people.
type trouble struct {
	what string // "": there was none
	at   time.Time
}

func (t *trouble) note(err error) {
	if err != nil {
		*t = trouble{err.Error(), time.Now()}
	}
}

// maxNamed is how many nodes are listed by name.
const maxNamed = 3

// rises reports whether the service manager gets the condition. It does not before the first
// connection, nor at the end, which have texts of their own.
func (g *guard) rises() bool {
	return g.reason == "" && (g.rose || g.opened()) && (!g.linesEnded() || g.open || g.stays)
}

// opened reports whether erluv waits for connections of nodes.
func (g *guard) opened() bool {
	return g.open && g.team.State != crew.None && g.team.State != crew.Starting
}

// condition describes the current state, for people: the served nodes, the number of programs, and
// the last trouble. It is empty while one state changes into another.
func (g *guard) condition() string {
	t := &g.team
	if t.State == crew.Down || t.State == crew.Resting {
		return fmt.Sprintf("no child, waiting %v for respawn: %v", t.DieTimeout, t.Err)
	}
	if t.State == crew.Falling || t.State == crew.Ending {
		return ""
	}
	served, self, waiting := g.stands()
	switch {
	case served == "" && waiting != nil:
		return fmt.Sprintf("not connected, trying again: %v", waiting)
	case served == "" && g.open:
		return g.waits() + g.lately()
	case served == "":
		return "" // one state is changing into another
	}
	text := fmt.Sprintf("serving %s as %s: %s", served, self, programs(g.counted))
	if waiting != nil {
		return fmt.Sprintf("%s; trying again: %v", text, waiting)
	}
	return text + g.lately()
}

// stands returns the nodes that are served now, our name there, and why another one is not
// connected.
func (g *guard) stands() (served, self string, waiting error) {
	var names []string
	for _, l := range g.lines {
		switch {
		case l.State == link.Served && !l.operator:
			names, self = append(names, l.link.Peer.Name), l.link.Local.Name
		case l.State == link.Waiting || l.State == link.Connecting && l.refused != nil:
			waiting = l.refused
		}
	}
	if more := len(names) - maxNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), more), self, waiting
	}
	return strings.Join(names, ", "), self, waiting
}

// lately returns the last trouble.
func (g *guard) lately() string {
	if g.trouble.what == "" {
		return ""
	}
	return fmt.Sprintf("; last trouble %s: %s", g.trouble.at.Format("Jan _2 15:04"), g.trouble.what)
}

func programs(n uint32) string {
	switch n {
	case 0:
		return "no programs"
	case 1:
		return "1 program"
	}
	return fmt.Sprintf("%d programs", n)
}
