package ipc

// Awaited tells the child, whenever it changes, to which nodes main is connecting or waits before
// it tries again. The child only says so to those who ask for info.
type Awaited struct{ Nodes []Waits }

// Waits is one of them, and why it could not be connected to last, for people; "": it was not
// tried before.
type Waits struct{ Node, Why string }

const (
	// maxAwaited bounds an Awaited, in bytes, since the child reads it into 4 KiB: the first ten or
	// so with long reasons. The rest is not said.
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
