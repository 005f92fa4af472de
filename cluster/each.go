package cluster

import (
	"context"
	"time"

	"erluv/wire/etf"
)

// A Result is what a function has returned on a node, or why it has not.
type Result struct {
	Node  string
	Value etf.Term
	Err   error // a *Trouble; nil: Value counts
}

// Callable are the nodes of a map on which a function can be called, and results that say why
// not of all others but those that are no Erlang VM.
func (m *Map) Callable() (nodes []Node, others []Result) {
	for _, n := range m.Nodes {
		switch n.State {
		case Up:
			nodes = append(nodes, n)
		case Foreign:
		default:
			others = append(others, Result{Node: n.Name, Err: &Trouble{State: n.State, Why: n.Why}})
		}
	}
	return nodes, others
}

// Each has a function called on nodes of a map, beside each other, and returns the results in
// the order of the nodes. On each it may take wait. What it prints and logs stays at that node.
func Each(ctx context.Context, caller Caller, nodes []Node, module, function string, args etf.List, wait time.Duration) ([]Result, error) {
	c := call{etf.Atom(module), etf.Atom(function), args}
	results, errs := make([]Result, len(nodes)), make([]error, len(nodes))
	turns := make(chan int)
	done := make(chan struct{})
	for range min(width, len(nodes)) {
		go func() { // ends with turns
			for i := range turns {
				results[i], errs[i] = once(ctx, caller, nodes[i], c, wait)
			}
			done <- struct{}{}
		}()
	}
	for i := range nodes {
		turns <- i
	}
	close(turns)
	for range min(width, len(nodes)) {
		<-done
	}
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return results, nil
}

// once has a function called on one node. An error is one of the connection.
func once(ctx context.Context, caller Caller, n Node, c call, wait time.Duration) (Result, error) {
	if len(n.path) > 0 {
		c = c.local()
	}
	value, err := ask(ctx, caller, n.path, c, wait)
	if list, ok := etf.Elements(value); ok && len(n.path) > 0 && len(list) == 1 {
		value = list[0]
	}
	if reason, ok := tagged(value, "badrpc"); ok && err == nil {
		err = crash(reason)
	}
	trouble, ok := err.(*Trouble)
	switch {
	case ok:
		return Result{Node: n.Name, Err: trouble}, nil
	case err != nil && ctx.Err() != nil:
		return Result{Node: n.Name, Err: &Trouble{State: Silent}}, nil
	}
	return Result{Node: n.Name, Value: value}, err
}

// crash reads the reason of a {badrpc, Reason} of a function that was called.
func crash(reason etf.Term) *Trouble {
	if exit, ok := tagged(reason, "EXIT"); ok {
		reason = exit
	}
	return &Trouble{State: Failed, Why: "it fails: " + etf.Format(reason), hop: -1}
}
