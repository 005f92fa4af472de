package cluster

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"erluv/stat"
)

// textWidth is the width at which lists of names are broken.
const textWidth = 80

// Text returns a map for people: a summary, problems, the nodes, the connections. Each connection
// is there once, alone or as part of a mesh.
func (m *Map) Text() string {
	var b strings.Builder
	m.writeHead(&b)
	m.writeTroubles(&b)
	m.writeNodes(&b)
	m.writeEdges(&b)
	return b.String()
}

func (m *Map) writeHead(b *strings.Builder) {
	fmt.Fprintf(b, "%s and %s, seen from %s in %v", plural(len(m.Nodes), "node"), plural(len(m.Edges), "connection"),
		Show(m.Entry), m.Took.Round(time.Millisecond))
	if m.full() {
		b.WriteString(": a full mesh")
	}
	b.WriteByte('\n')
	if m.LeftOut > 0 {
		fmt.Fprintf(b, "not shown: %s that %s nowhere; --hidden shows %s\n", plural(m.LeftOut, "hidden node"),
			pick(m.LeftOut, "leads", "lead"), pick(m.LeftOut, "it", "them"))
	}
}

// full reports whether each node that can be asked is connected to all others.
func (m *Map) full() bool {
	up := 0
	for _, n := range m.Nodes {
		if n.State == Up {
			up++
		}
	}
	return up == len(m.Nodes) && up >= minMesh && len(m.Edges) == up*(up-1)/2
}

// writeTroubles writes a line with a ! for each fact that an operator needs first.
func (m *Map) writeTroubles(b *strings.Builder) {
	if m.Incomplete != "" {
		fmt.Fprintf(b, "! the map is incomplete: %s\n", m.Incomplete)
	}
	for _, n := range m.Nodes {
		if n.State != Up && n.State != Foreign {
			fmt.Fprintf(b, "! %s: %v\n", Show(n.Name), &Trouble{State: n.State, Why: n.Why})
		}
	}
	for _, e := range m.Edges {
		if e.Mute {
			fmt.Fprintf(b, "! %s and %s: what was asked over their connection got no answer, and another way it did\n", Show(e.A), Show(e.B))
		}
		if e.OneSided {
			fmt.Fprintf(b, "! %s and %s: only one of them has their connection\n", Show(e.A), Show(e.B))
		}
	}
}

func (m *Map) writeNodes(b *strings.Builder) {
	b.WriteString("\nNODES\n")
	var table strings.Builder
	tab := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for _, n := range m.Nodes {
		what, mark := stateWords[n.State]+"\t\t", ""
		if n.State == Up {
			what = fmt.Sprintf("OTP %s\tup %s\t%s", Show(n.Release), Uptime(n.Uptime), plural(int(n.Processes), "process"))
		}
		switch {
		case n.Name == m.Entry:
			mark = "entry"
		case n.Hidden:
			mark = "hidden"
		}
		fmt.Fprintf(tab, "  %s\t%s\t%s\n", Show(n.Name), what, mark)
	}
	_ = tab.Flush() // to memory
	for line := range strings.Lines(table.String()) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
}

var stateWords = map[State]string{
	Foreign: "no Erlang VM", Silent: "no answer", Gone: "gone", Failed: "failed", NotAsked: "not asked",
}

func (m *Map) writeEdges(b *strings.Builder) {
	if len(m.Edges) == 0 {
		return
	}
	b.WriteString("\nCONNECTIONS\n")
	plain, hidden := apart(m.Edges)
	found, rest := meshes(plain)
	for _, mesh := range found {
		list(b, fmt.Sprintf("  mesh of %d: ", len(mesh)), mesh)
	}
	for _, group := range []struct {
		edges []Edge
		sign  string
		word  string
	}{{rest, " -- ", ""}, {hidden, " .. ", "  (hidden)"}} {
		for len(group.edges) > 0 { // those of one node in one line, if it is not too long
			e := group.edges[0]
			n := slices.IndexFunc(group.edges, func(other Edge) bool { return other.A != e.A })
			if n < 0 {
				n = len(group.edges)
			}
			var to []string
			for _, e := range group.edges[:n] {
				to = append(to, e.B)
			}
			to[len(to)-1] += group.word
			list(b, "  "+Show(e.A)+group.sign, to)
			group.edges = group.edges[n:]
		}
	}
}

// apart splits edges into visible and hidden ones.
func apart(edges []Edge) (visible, hidden []Edge) {
	for _, e := range edges {
		if e.Hidden {
			hidden = append(hidden, e)
		} else {
			visible = append(visible, e)
		}
	}
	return visible, hidden
}

// list writes names after a head, on as many lines as they need.
func list(b *strings.Builder, head string, names []string) {
	b.WriteString(head)
	used := len(head)
	for i, name := range names {
		name = Show(name)
		if i > 0 {
			if used+1+len(name) > textWidth {
				b.WriteString("\n" + strings.Repeat(" ", len(head)))
				used = len(head)
			} else {
				b.WriteByte(' ')
				used++
			}
		}
		b.WriteString(name)
		used += len(name)
	}
	b.WriteByte('\n')
}

// Show returns a name in a form that is safe for a terminal, since a node's name may have any
// character.
func Show(name string) string { return stat.Printable(name) }

// Uptime returns a time in its two largest units.
func Uptime(d time.Duration) string {
	s := int64(d / time.Second)
	units := []struct {
		seconds int64
		sign    string
	}{{24 * 60 * 60, "d"}, {60 * 60, "h"}, {60, "min"}, {1, "s"}}
	for i, u := range units {
		if s < u.seconds && u.seconds > 1 {
			continue
		}
		text := fmt.Sprintf("%d %s", s/u.seconds, u.sign)
		if i+1 < len(units) {
			if rest := s % u.seconds / units[i+1].seconds; rest > 0 {
				text += fmt.Sprintf(" %d %s", rest, units[i+1].sign)
			}
		}
		return text
	}
	return ""
}

func plural(n int, what string) string {
	return fmt.Sprintf("%d %s", n, pick(n, what, what+pick(strings.Count(what, "ess"), "es", "s")))
}

// pick returns one for one, and many for any other number.
func pick(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
