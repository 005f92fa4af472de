package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Limits bound a look, besides its context.
type Limits struct {
	Wait  time.Duration // for one node
	Nodes int           // the most nodes on the map
}

const (
	// maxPath bounds the distance of a node from the entry. A request nests once for each hop, and
	// at most 128 times in all.
	maxPath = 100

	// width is how many nodes are asked at once. All requests go through the entry.
	width = 16

	// maxRoutes is through how many neighbours a node is asked until it answers, because the first
	// connection may be broken.
	maxRoutes = 2
)

// Look asks the entry, and all nodes that it finds, for their connections. The node self, which
// asks, is not drawn. Look fails if the entry does not answer. All other problems are in the map.
// If ctx ends early, the map is incomplete.
func Look(ctx context.Context, caller Caller, entry, self string, limits Limits) (*Map, error) {
	begin := time.Now()
	s := search{
		self: self, entry: entry, limit: limits.Nodes,
		nodes: map[string]*Node{entry: {Name: entry, State: NotAsked}},
		edges: map[[2]string]*sides{},
		near:  map[string][]string{},
		next:  []string{entry},
	}
	if err := s.run(ctx, caller, limits.Wait); err != nil {
		return nil, err
	}
	if n := s.nodes[entry]; n.State != Up {
		return nil, fmt.Errorf("cannot ask %s: %w", entry, &Trouble{State: n.State, Why: n.Why})
	}
	return s.drawn(time.Since(begin)), nil
}

// A search belongs to the goroutine that runs it.
type search struct {
	self  string
	entry string
	limit int
	nodes map[string]*Node
	edges map[[2]string]*sides
	near  map[string][]string // the neighbours of each node, in the order of discovery
	next  []string            // to be asked, in this order
	more  bool                // there are nodes beyond limit

	incomplete string
}

// sides tells which side has a connection, and of which kind. A is the one that sorts first.
type sides struct {
	byA, byB, hidden, mute bool
}

func between(a, b string) [2]string {
	if b < a {
		a, b = b, a
	}
	return [2]string{a, b}
}

type reply struct {
	node   *Node
	answer answer
	err    error
}

// run asks until every node has been asked. An error is one of the connection.
func (s *search) run(ctx context.Context, caller Caller, wait time.Duration) (err error) {
	replies := make(chan reply)
	asking := 0
	for {
		for ; len(s.next) > 0 && asking < width && err == nil && ctx.Err() == nil; asking++ {
			n := s.nodes[s.next[0]]
			s.next = s.next[1:]
			go func() { replies <- inquire(ctx, caller, n, wait) }() // the loop below waits for it
		}
		if asking == 0 {
			break
		}
		r := <-replies
		asking--
		err = errors.Join(err, s.heard(ctx, r))
	}
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil && s.unasked():
		s.incomplete = "there was no time for all nodes"
	case s.more:
		s.incomplete = fmt.Sprintf("there are more than %d nodes", s.limit)
	}
	return nil
}

func (s *search) unasked() bool {
	for _, n := range s.nodes {
		if n.State == NotAsked {
			return true
		}
	}
	return false
}

func inquire(ctx context.Context, caller Caller, n *Node, wait time.Duration) reply {
	result, err := ask(ctx, caller, n.path, survey(), wait)
	if err != nil {
		return reply{node: n, err: err}
	}
	a, err := readAnswer(result)
	if err != nil {
		err = &Trouble{State: Failed, Why: err.Error(), hop: -1}
	}
	return reply{n, a, err}
}

// heard stores the outcome of asking a node. It returns an error if nothing more can be asked.
func (s *search) heard(ctx context.Context, r reply) error {
	n := r.node
	var trouble *Trouble
	switch {
	case r.err == nil:
		n.State, n.Facts = Up, r.answer.facts
		s.joined(n, r.answer.visible, false)
		s.joined(n, r.answer.hidden, true)
	case errors.As(r.err, &trouble):
		n.State = trouble.State
		if trouble.State == Failed {
			n.Why = trouble.Why
		}
		s.passed(n, trouble)
		for _, name := range s.near[n.Name] {
			s.reroute(n, s.nodes[name])
		}
	case ctx.Err() != nil:
		n.Why = "there was no time"
	default:
		return r.err
	}
	return nil
}

// joined adds these connections of a node.
func (s *search) joined(n *Node, to []string, hidden bool) {
	slices.Sort(to)
	for _, name := range to {
		if name == s.self || name == n.Name {
			continue
		}
		other := s.nodes[name]
		if other == nil {
			if len(s.nodes) >= s.limit {
				s.more = true
				continue
			}
			other = &Node{Name: name}
			s.nodes[name] = other
			s.enqueue(other, n)
		}
		key := between(n.Name, name)
		e := s.edges[key]
		if e == nil {
			e = &sides{}
			s.edges[key] = e
			s.near[n.Name] = append(s.near[n.Name], name)
			s.near[name] = append(s.near[name], n.Name)
		}
		e.byA, e.byB, e.hidden = e.byA || key[0] == n.Name, e.byB || key[1] == n.Name, e.hidden || hidden
		s.reroute(other, n)
	}
}

// enqueue adds a question to a node through another one.
func (s *search) enqueue(n, by *Node) {
	n.State, n.Why = NotAsked, ""
	if len(by.path) == maxPath {
		n.Why = "it is too far away"
		return
	}
	n.path = append(slices.Clone(by.path), n.Name)
	n.tried = append(n.tried, by.Name)
	s.next = append(s.next, n.Name)
}

// reroute adds a question to an unreachable node through another neighbour, once for each.
func (s *search) reroute(n, by *Node) {
	lost := n.State == Silent || n.State == Gone
	if lost && by.State == Up && len(n.tried) < maxRoutes && !slices.Contains(n.tried, by.Name) && !slices.Contains(by.path, n.Name) {
		s.enqueue(n, by)
	}
}

// passed notes that a request has not passed the connection to a node from its neighbour. The
// failure of an earlier hop says nothing about this connection. If the node is silent, its
// neighbour's report may have come too late.
func (s *search) passed(n *Node, t *Trouble) {
	last := len(n.path) - 1
	if last < 0 || t.hop != last || t.State != Silent && t.State != Gone {
		return
	}
	before := s.entry
	if last > 0 {
		before = n.path[last-1]
	}
	if e := s.edges[between(before, n.Name)]; e != nil {
		e.mute = true
	}
}

// drawn returns the map of everything found.
func (s *search) drawn(took time.Duration) *Map {
	m := &Map{Entry: s.entry, Incomplete: s.incomplete, Took: took}
	visible := map[string]bool{}
	for key, sides := range s.edges {
		e := Edge{A: key[0], B: key[1], Hidden: sides.hidden}
		bothUp := s.nodes[e.A].State == Up && s.nodes[e.B].State == Up
		e.OneSided, e.Mute = bothUp && sides.byA != sides.byB, bothUp && sides.mute
		visible[e.A], visible[e.B] = visible[e.A] || !e.Hidden, visible[e.B] || !e.Hidden
		m.Edges = append(m.Edges, e)
	}
	slices.SortFunc(m.Edges, func(a, b Edge) int {
		return strings.Compare(a.A+"\x00"+a.B, b.A+"\x00"+b.B)
	})
	for _, n := range s.nodes {
		n.Hidden = !visible[n.Name] && len(s.edges) > 0
		m.Nodes = append(m.Nodes, *n)
	}
	slices.SortFunc(m.Nodes, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	return m
}
