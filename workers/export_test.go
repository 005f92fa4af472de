package workers

// Idle reports whether the starter holds nothing for any worker.
func (s *Starter) Idle() bool {
	return s.budget.held == 0 && len(s.line)+len(s.asked)+len(s.byPID)+len(s.toSend) == 0
}

// Pieces is how many writes wait.
func (w *Worker) Pieces() int {
	if w.in.queue == nil {
		return 0
	}
	return len(w.in.queue.pieces)
}

// PieceCost and MaxPut are for tests of the bounds.
const (
	PieceCost = pieceCost
	MaxPut    = maxPut
)

// InputFD is the writing end of stdin.
func (w *Worker) InputFD() uintptr { return uintptr(w.in.fd) }

// Asked is how many start requests are under way.
func (s *Starter) Asked() int { return len(s.asked) }
