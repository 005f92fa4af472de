package link

import (
	"context"
	"slices"
	"sync"
)

// turns admits one guest at a time. Each waiting address gets a turn in each round. So a crowd at
// one address delays a guest from another address by only one turn in a round. When more than most
// wait, one leaves as in a lobby.
type turns struct {
	most int

	mu      sync.Mutex
	holder  *turn   // nil: no guest is in
	waiting []*turn // the oldest first
}

// turn is the turn of a guest that is in or waits.
type turn struct {
	from  string
	round int // of its address, which has one turn in each round
	come  chan struct{}
	gone  chan struct{} // closed: it must leave
}

// take waits for the turn of a guest from an address, until ctx ends. After success the caller must
// call pass.
func (t *turns) take(ctx context.Context, from string) error {
	w := t.add(from)
	select {
	case <-w.come:
		return nil
	case <-w.gone:
		return errCrowded
	case <-ctx.Done():
	}
	if !t.remove(w) {
		t.pass() // the turn has come meanwhile
	}
	return context.Cause(ctx)
}

func (t *turns) add(from string) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := &turn{from: from, come: make(chan struct{}), gone: make(chan struct{})}
	if t.holder == nil {
		t.holder = w
		close(w.come)
		return w
	}
	w.round = t.holder.round
	for _, other := range append(t.waiting, t.holder) {
		if other.from == from {
			w.round = max(w.round, other.round+1)
		}
	}
	if len(t.waiting) == t.most {
		i := crowded(t.waiting, func(w *turn) string { return w.from })
		close(t.waiting[i].gone)
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	t.waiting = append(t.waiting, w)
	return w
}

// remove reports whether it still waited.
func (t *turns) remove(w *turn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.waiting, w)
	if i < 0 {
		return false
	}
	t.waiting = slices.Delete(t.waiting, i, i+1)
	return true
}

// pass admits the next guest: the first one of the earliest round.
func (t *turns) pass() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.holder = nil
	if len(t.waiting) == 0 {
		return
	}
	t.holder = slices.MinFunc(t.waiting, func(a, b *turn) int { return a.round - b.round })
	t.waiting = slices.DeleteFunc(t.waiting, func(w *turn) bool { return w == t.holder })
	close(t.holder.come)
}
