package crew

import (
	"sync"

	"erluv/ipc"
)

// host is this machine, as children learn of it. Changes by requests outlive a child and a
// connection; only main's end resets them.
type host struct {
	mu sync.Mutex // one goroutine watches a crew, and another hands over to the next
	is ipc.Host
}

func (h *host) told() ipc.Host {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.is
}

// fell counts a crash.
func (h *host) fell() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.is.Crashes++
}

// stands keeps the standing that the child has reported.
func (h *host) stands(s ipc.Standing) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.is.Standing = s
}
