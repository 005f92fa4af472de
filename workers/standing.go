package workers

// Standing returns the state of a starter as pairs for a log.
func (s *Starter) Standing() []any {
	return []any{
		"connected", s.conn != nil, "waiting", len(s.line), "asked", len(s.asked), "running", len(s.byPID),
		"to_send", len(s.toSend), "rotating", len(s.rotating), "descriptors", s.budget.held, "waiting_bytes", s.budget.waiting,
	}
}
