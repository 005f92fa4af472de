package childproc

import "erluv/etf"

const (
	// maxWatchers bounds links and monitors of all our processes together, so
	// that a node which sets up more and more of them cannot fill our memory
	// (about 200 bytes each). Who comes after is told system_limit.
	maxWatchers = 1 << 20

	// searched is up to how many a list is searched; beyond there is an index.
	searched = 16
)

// watchers are those who are told when a process of ours ends: linked processes
// and monitors. Nearly always there are one or two.
type watchers struct {
	links    table[etf.Pid, struct{}]
	monitors *table[monitorKey, etf.Atom] // the name by which it is monitored; nil: none
}

// monitorKey names a monitor: who has set it up, and the reference, encoded.
type monitorKey struct {
	from etf.Pid
	ref  string
}

func (w *watchers) size() int {
	n := w.links.len()
	if w.monitors != nil {
		n += w.monitors.len()
	}
	return n
}

// link and the methods below say whether something has changed.
func (w *watchers) link(pid etf.Pid) bool   { return w.links.add(pid, struct{}{}) }
func (w *watchers) unlink(pid etf.Pid) bool { return w.links.remove(pid) }

func (w *watchers) monitor(from etf.Pid, name etf.Atom, ref etf.Raw) bool {
	if w.monitors == nil {
		w.monitors = &table[monitorKey, etf.Atom]{}
	}
	return w.monitors.add(monitorKey{from, string(ref)}, name)
}

// demonitor gives the name by which the process was monitored.
func (w *watchers) demonitor(from etf.Pid, ref etf.Raw) (name etf.Atom, ok bool) {
	if w.monitors == nil {
		return "", false
	}
	k := monitorKey{from, string(ref)}
	i := w.monitors.find(k)
	if i < 0 {
		return "", false
	}
	name = w.monitors.list[i].value
	return name, w.monitors.remove(k)
}

// monitored are the monitors.
func (w *watchers) monitored(yield func(entry[monitorKey, etf.Atom]) bool) {
	if w.monitors == nil {
		return
	}
	for _, e := range w.monitors.list {
		if !yield(e) {
			return
		}
	}
}

// tell sends the exit signals of the process pid, which has ended, and answers
// its monitors, by the name by which it was monitored.
func (w *watchers) tell(out *outbox, pid etf.Pid, reason etf.Raw) {
	for _, e := range w.links.list {
		out.exit(pid, e.key, reason)
	}
	for e := range w.monitored {
		out.monitorExit(pid, e.value, e.key.from, etf.Raw(e.key.ref), reason)
	}
}

// table is a small map: a list that gets an index when it grows. The zero table
// is empty and costs no memory of its own.
type table[K comparable, V any] struct {
	list  []entry[K, V]
	index map[K]int // nil up to searched entries
}

type entry[K comparable, V any] struct {
	value V // in front: an empty one behind the key would be given room
	key   K
}

func (t *table[K, V]) len() int { return len(t.list) }

func (t *table[K, V]) find(k K) int {
	if t.index != nil {
		if i, ok := t.index[k]; ok {
			return i
		}
		return -1
	}
	for i := range t.list {
		if t.list[i].key == k {
			return i
		}
	}
	return -1
}

func (t *table[K, V]) add(k K, v V) bool {
	if t.find(k) >= 0 {
		return false
	}
	t.list = append(t.list, entry[K, V]{v, k})
	if t.index != nil {
		t.index[k] = len(t.list) - 1
	} else if len(t.list) > searched {
		t.index = make(map[K]int)
		for i := range t.list {
			t.index[t.list[i].key] = i
		}
	}
	return true
}

func (t *table[K, V]) remove(k K) bool {
	i := t.find(k)
	if i < 0 {
		return false
	}
	last := len(t.list) - 1
	t.list[i] = t.list[last]
	t.list[last] = entry[K, V]{}
	t.list = t.list[:last]
	if t.index != nil {
		delete(t.index, k)
		if i < last {
			t.index[t.list[i].key] = i
		}
		if last == 0 {
			t.index, t.list = nil, nil
		}
	}
	return true
}
