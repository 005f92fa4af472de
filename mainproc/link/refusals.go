package link

import (
	"log/slog"
	"sync"
	"time"

	"erluv/mainproc/permit"
)

// In each refusalWindow the first refusalBurst refusals are logged, and then the number of the
// others: strangers must not fill a disk.
const (
	refusalBurst  = 5
	refusalWindow = 10 * time.Second
)

// refusals logs which connections were refused, and why.
type refusals struct {
	log *slog.Logger

	mu     sync.Mutex
	logged int
	left   int         // not logged
	window *time.Timer // nil: none has begun
}

func (r *refusals) note(from string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.window == nil {
		r.logged = 0
		r.window = time.AfterFunc(refusalWindow, r.flush)
	}
	if r.logged == refusalBurst {
		r.left++
		return
	}
	r.logged++
	r.log.Warn("a connection was refused", "from", from, "error", permit.Printable(err.Error()))
}

// flush ends the window.
func (r *refusals) flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.window != nil {
		r.window.Stop()
		r.window = nil
	}
	if r.left > 0 {
		r.log.Warn("more connections were refused than are logged", "left_out", r.left, "within", refusalWindow)
		r.left = 0
	}
}
