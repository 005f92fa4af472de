package crew

import (
	"sync"

	"erluv/ipc"
)

// host is what children are told of this machine. What requests have changed of it goes on with
// the next child: after a crash, and after a connection. Only the end of main ends it.
type host struct {
	mu sync.Mutex // a crew is watched by one goroutine, and the next is given by another
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

// stands keeps what the child has said.
func (h *host) stands(s ipc.Standing) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.is.Standing = s
}
