package ipc

import "slices"

// Handles are the descriptors that come with a Spawned, unless it is a refusal.
type Handles struct {
	Process  int   // a pidfd
	Terminal []int // the child's end of it twice, to write to and to read from; or none
	Logs     []int // of each stream with Log, in the order of the streams
	Notify   []int // where what the program sends to its NOTIFY_SOCKET is read; or none
}

// List is all of them, as they are sent.
func (h *Handles) List() []int {
	return slices.Concat([]int{h.Process}, h.Terminal, h.Logs, h.Notify)
}

// HandlesOf takes them apart again, by what the Spawn asked for. False: there are others
// than it did.
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
