package ipc

import "slices"

// Handles are the descriptors of a Spawned that is not a refusal.
type Handles struct {
	Process  int   // a pidfd
	Terminal []int // the child's end of it twice, for writing and for reading; or none
	Logs     []int // one for each stream with Log, in their order
	Notify   []int // the socket behind the program's NOTIFY_SOCKET; or none
}

// List returns all handles in the order of the message.
func (h *Handles) List() []int {
	return slices.Concat([]int{h.Process}, h.Terminal, h.Logs, h.Notify)
}

// HandlesOf takes the descriptors apart, according to the Spawn. False means that their number is
// wrong.
func HandlesOf(fds []int, terminal bool, logs int, notify bool) (h Handles, ok bool) {
	rest := fds
	take := func(n int) []int {
		n = min(n, len(rest))
		taken := rest[:n:n]
		rest = rest[n:]
		return taken
	}
	count := func(has bool, n int) int {
		if has {
			return n
		}
		return 0
	}
	process := take(1)
	h = Handles{Terminal: take(count(terminal, 2)), Logs: take(logs), Notify: take(count(notify, 1))}
	if len(process)+count(terminal, 2)+logs+count(notify, 1) != len(fds) || len(process) == 0 {
		return Handles{}, false
	}
	h.Process = process[0]
	return h, true
}
