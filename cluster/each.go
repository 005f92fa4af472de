package cluster

import (
	"context"
	"time"

	"erluv/wire/etf"
)

// A Result is the result of a function on a node, or the error.
type Result struct {
	Node  string
	Value etf.Term
	Err   error // a *Trouble; nil: Value counts
}

// Callable returns the nodes of a map on which a function can be called. For the other nodes it
// returns results with the reason, except for nodes that are not Erlang VMs.
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

// Each calls a function on nodes of a map, in parallel, and returns the results in the order of the
// nodes. On each node it may take wait. Its output and logs stay at that node.
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

// once calls a function on one node. An error is one of the connection.
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

// crash reads the reason of a {badrpc, Reason} of the called function.
func crash(reason etf.Term) *Trouble {
	if exit, ok := tagged(reason, "EXIT"); ok {
		reason = exit
	}
	return &Trouble{State: Failed, Why: "it fails: " + etf.Format(reason), hop: -1}
}
