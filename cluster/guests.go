package cluster

import (
	"context"
	"errors"
	"slices"
	"time"

	"erluv/wire/etf"
)

// Guests returns the hidden neighbours of the entry that are not Erlang VMs: erluv and C nodes.
// Neighbours that do not answer in time are in silent. The entry asks them, on its existing
// connections. The node self, which looks, is left out.
func Guests(ctx context.Context, caller Caller, self string, wait time.Duration) (guests, silent []string, err error) {
	list, err := ask(ctx, caller, nil, call{"erlang", "nodes", etf.List{etf.Atom("hidden")}}, wait)
	if err != nil {
		return nil, nil, err
	}
	hidden, err := names(list)
	if err != nil {
		return nil, nil, err
	}
	hidden = slices.DeleteFunc(hidden, func(name string) bool { return name == self })
	slices.Sort(hidden)
	nodes := make([]Node, len(hidden))
	for i, name := range hidden {
		nodes[i] = Node{Name: name, path: []string{name}}
	}
	results, err := Each(ctx, caller, nodes, "erlang", "node", nil, wait)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range results {
		var trouble *Trouble
		switch errors.As(r.Err, &trouble); {
		case trouble == nil: // an Erlang VM, such as a remote shell
		case trouble.State == Foreign:
			guests = append(guests, r.Node)
		case trouble.State == Silent:
			silent = append(silent, r.Node)
		}
	}
	return guests, silent, nil
}
