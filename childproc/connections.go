package childproc

import (
	"cmp"
	"slices"
	"time"

	"erluv/stat"
	"erluv/wire/etf"
)

// connections returns the connections to nodes, by name, and then those that main is making.
func (m *manager) connections() (list []stat.Connection) {
	owned := make(map[etf.Atom]int)
	for _, p := range m.procs {
		owned[p.self().owner.Node]++
	}
	for node, c := range m.clients {
		sent, received := c.Traffic()
		list = append(list, stat.Connection{
			Node: string(node), Connected: true, Accepted: c.link.Accepted, Transport: c.link.Transport,
			Since: time.UnixMilli(int64(c.link.Since)), Links: c.Linked(), Monitors: c.Observed() - c.Linked(),
			Workers: owned[node], Sent: int64(sent), Received: int64(received),
		})
	}
	slices.SortFunc(list, func(a, b stat.Connection) int { return cmp.Compare(a.Node, b.Node) })
	for _, to := range m.awaited {
		list = append(list, stat.Connection{Node: to.Node, Why: to.Why, Workers: owned[etf.Atom(to.Node)]})
	}
	return list
}
