// Package cluster looks at a whole cluster of Erlang nodes from one of them, the entry. The entry
// need not be connected to all others.
//
// It reaches each node through the nodes that led to it: the entry calls its neighbour, which calls
// its own. So no node makes a new connection. Look draws the map (Map). Each calls a function on
// nodes of it. Text, DOT and JSON write a map.
//
//	cluster.go  the map
//	look.go     how it is drawn
//	ask.go      calls through other nodes
//	each.go     a function is called on nodes
//	guests.go   the neighbours that are not Erlang VMs
//	args.go     the arguments of a function, from a text
//	mesh.go     nodes that are all connected to each other
//	text.go     a map for people; dot.go: for Graphviz; json.go: for programs
//
// It is the part of `erluv map` and `erluv call` that knows no sockets. It asks through a Caller,
// such as a client of package wire/client.
package cluster

import (
	"cmp"
	"slices"
	"time"
)

// State is the outcome of asking a node.
type State string

// The states.
const (
	Up       State = "up"        // it has answered
	Foreign  State = "foreign"   // it is not an Erlang VM that answers: a C node, an erluv
	Silent   State = "silent"    // it has not answered in time
	Gone     State = "gone"      // its neighbour has no connection to it any more
	Failed   State = "failed"    // it has answered something else: see Why
	NotAsked State = "not asked" // a limit came first
)

// A Node is one node of a map.
type Node struct {
	Name   string
	State  State
	Why    string // of Failed and NotAsked
	Hidden bool   // it has only hidden connections
	Facts         // when it is Up

	path  []string // the nodes after the entry, up to this one; empty for the entry
	tried []string // the neighbours through which it was asked
}

// Facts are a node's data about itself.
type Facts struct {
	Release   string // of OTP
	Uptime    time.Duration
	Processes int64
}

// An Edge is a connection between two nodes; A sorts before B.
type Edge struct {
	A, B   string
	Hidden bool
	// OneSided means that both have answered, and only one of them has the connection. It was made
	// or lost meanwhile, or the other side has not noticed yet.
	OneSided bool
	// Mute means that a question over this connection was not answered, although both nodes have
	// answered questions on another path.
	Mute bool
}

// A Map is the result of a look. Nodes and edges are sorted by name.
type Map struct {
	Entry string
	Nodes []Node
	Edges []Edge
	// Incomplete names the limit that has ended the search, or is "".
	Incomplete string
	// LeftOut is how many nodes were dropped by WithoutStrays.
	LeftOut int
	Took    time.Duration
}

// Node returns the node with a name, or nil.
func (m *Map) Node(name string) *Node {
	i, ok := slices.BinarySearchFunc(m.Nodes, name, func(n Node, name string) int { return cmp.Compare(n.Name, name) })
	if !ok {
		return nil
	}
	return &m.Nodes[i]
}

// WithoutStrays returns the map without hidden nodes that lead nowhere. These are nodes that are
// not Erlang VMs, and nodes that answer and have one connection: erluv, C nodes and remote shells.
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
