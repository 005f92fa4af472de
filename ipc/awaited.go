package ipc

// Awaited reports to the child, at each change, the nodes that main is connecting to, or will try
// again. The child only shows them in info.
type Awaited struct{ Nodes []Waits }

// Waits is one such node, and why the last attempt failed, for people; "": there was none.
type Waits struct{ Node, Why string }

const (
	// maxAwaited bounds an Awaited, in bytes, since the child reads it into 4 KiB. It holds the
	// first ten or so nodes with long reasons; write drops the rest.
	maxAwaited = 3500

	maxWhy = 256 // bytes
)

func readAwaited(r *reader) (m Awaited) {
	for n := r.u16(); n > 0 && r.err == nil; n-- {
		m.Nodes = append(m.Nodes, Waits{Node: r.str(), Why: r.atMost(maxWhy)})
	}
	return m
}

func (Awaited) kind() Kind { return KindAwaited }

func (m Awaited) write(w *writer) {
	n, size := 0, 0
	for ; n < len(m.Nodes) && size < maxAwaited; n++ {
		size += 8 + len(m.Nodes[n].Node) + min(len(m.Nodes[n].Why), maxWhy)
	}
	if size > maxAwaited {
		n--
	}
	w.u16(uint16(n))
	for _, to := range m.Nodes[:n] {
		w.str(to.Node)
		w.cut(to.Why, maxWhy)
	}
}
