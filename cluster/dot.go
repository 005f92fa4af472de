package cluster

import (
	"fmt"
	"strings"
)

// DOT returns a map in the language of Graphviz. Hidden connections and nodes are dashed. Nodes
// that do not answer are red.
func (m *Map) DOT() string {
	var b strings.Builder
	b.WriteString("graph cluster {\n  node [shape=box];\n")
	if m.Incomplete != "" {
		fmt.Fprintf(&b, "  label=%s;\n", dotQuoted("incomplete: "+m.Incomplete))
	}
	for _, n := range m.Nodes {
		lines, attributes := dotNode(n)
		if n.Name == m.Entry {
			attributes += ", penwidth=2"
		}
		fmt.Fprintf(&b, "  %s [label=%s%s];\n", dotQuoted(n.Name), dotQuoted(lines...), attributes)
	}
	for _, e := range m.Edges {
		var attributes []string
		if e.Hidden {
			attributes = append(attributes, "style=dashed")
		}
		if e.Mute {
			attributes = append(attributes, "color=red", `label="no answer"`)
		} else if e.OneSided {
			attributes = append(attributes, "color=red", `label="one side only"`)
		}
		fmt.Fprintf(&b, "  %s -- %s", dotQuoted(e.A), dotQuoted(e.B))
		if len(attributes) > 0 {
			fmt.Fprintf(&b, " [%s]", strings.Join(attributes, ", "))
		}
		b.WriteString(";\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// dotNode returns the lines in a node's box, and the look of the box.
func dotNode(n Node) (lines []string, attributes string) {
	lines = []string{n.Name}
	switch n.State {
	case Up:
		lines = append(lines, "OTP "+n.Release)
	case Foreign:
		lines = append(lines, "no Erlang VM")
		attributes = ", shape=ellipse"
	case NotAsked:
		lines = append(lines, "not asked")
		attributes = ", color=gray, fontcolor=gray"
	default:
		lines = append(lines, strings.TrimPrefix((&Trouble{State: n.State, Why: n.Why}).Error(), "it "))
		attributes = ", color=red, fontcolor=red"
	}
	if n.Hidden {
		attributes += ", style=dashed"
	}
	return lines, attributes
}

// dotQuoted returns a string of the language, of one or several lines. In such a string only
// quotation marks need an escape. In labels backslashes begin escapes too.
func dotQuoted(lines ...string) string {
	for i, l := range lines {
		lines[i] = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(Show(l))
	}
	return `"` + strings.Join(lines, `\n`) + `"`
}
