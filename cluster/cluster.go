// Package cluster looks at a whole cluster of Erlang nodes from one of them, the entry, which
// need not be connected to all of the others.
//
// Each node is asked by way of those through which it was found: the entry calls its
// neighbour, which calls its own. So nobody connects to anybody: a node is reached by
// connections that are there. Look draws the map (Map), Each calls a function on nodes of it.
// Text, DOT and JSON write a map.
//
//	cluster.go  the map
//	look.go     how it is drawn
//	ask.go      calls by way of other nodes
//	each.go     a function is called on nodes
//	guests.go   the neighbours that are no Erlang VM
//	args.go     its arguments, from a text
//	mesh.go     nodes that are all connected to each other
//	text.go     a map for people; dot.go: for Graphviz; json.go: for programs
//
// It knows no sockets: what it asks with is a Caller, a client of package wire/client. It is
// the part of `erluv map` and `erluv call` that needs neither.
package cluster

import (
	"cmp"
	"slices"
	"time"
)

// State is what became of asking a node.
type State string

// The states.
const (
	Up       State = "up"        // it has answered
	Foreign  State = "foreign"   // it is no Erlang VM that can be asked: a C node, an erluv
	Silent   State = "silent"    // it has not answered in time
	Gone     State = "gone"      // its neighbour has no connection to it any more
	Failed   State = "failed"    // it has answered something else: Why says what
	NotAsked State = "not asked" // a limit came first
)

// A Node is one node of a map.
type Node struct {
	Name   string
	State  State
	Why    string // of Failed and NotAsked
	Hidden bool   // it has hidden connections only
	Facts         // when it is Up

	path  []string // the nodes from behind the entry to it; none for the entry
	tried []string // the neighbours by way of which it was asked
}

// Facts are what a node says of itself.
type Facts struct {
	Release   string // of OTP
	Uptime    time.Duration
	Processes int64
}

// An Edge is a connection between two nodes; A sorts before B.
type Edge struct {
	A, B   string
	Hidden bool
	// OneSided: both have answered, and only one of them has it. It was made or lost
	// meanwhile, or the other one has not noticed yet.
	OneSided bool
	// Mute: what was asked over it was not answered, although both nodes have answered what
	// was asked another way.
	Mute bool
}

// A Map is what was found. Nodes and edges are sorted by name.
type Map struct {
	Entry string
	Nodes []Node
	Edges []Edge
	// Incomplete says which limit has ended the search; "" if none has.
	Incomplete string
	// LeftOut is how many nodes were dropped by WithoutStrays.
	LeftOut int
	Took    time.Duration
}

// Node is the node with a name, or nil.
func (m *Map) Node(name string) *Node {
	i, ok := slices.BinarySearchFunc(m.Nodes, name, func(n Node, name string) int { return cmp.Compare(n.Name, name) })
	if !ok {
		return nil
	}
	return &m.Nodes[i]
}

// WithoutStrays is the map without hidden nodes that lead nowhere: those that are no Erlang VM,
// and those that answer and have one connection. These are erluv, C nodes and remote shells.
func (m *Map) WithoutStrays() *Map {
	degree := map[string]int{}
	for _, e := range m.Edges {
		degree[e.A]++
		degree[e.B]++
	}
	stray := map[string]bool{}
	for _, n := range m.Nodes {
		leaf := n.State == Up && degree[n.Name] <= 1
		stray[n.Name] = n.Hidden && n.Name != m.Entry && (leaf || n.State == Foreign)
	}
	kept := *m
	kept.Nodes = slices.DeleteFunc(slices.Clone(m.Nodes), func(n Node) bool { return stray[n.Name] })
	kept.Edges = slices.DeleteFunc(slices.Clone(m.Edges), func(e Edge) bool { return stray[e.A] || stray[e.B] })
	kept.LeftOut += len(m.Nodes) - len(kept.Nodes)
	return &kept
}
