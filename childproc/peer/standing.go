package peer

// Standing returns the state of the peer as pairs for a log.
func (c *Peer) Standing() []any {
	return []any{
		"dead", c.dead, "waiting_bytes", c.Waiting(), "late_bytes", c.Late(), "unhandled_bytes", len(c.in.unhandled()),
		"links_and_monitors", c.observed, "questions", len(c.questions), "receivers", len(c.flows.all),
		"farewells", len(c.farewells.list), "ledger_bytes", c.ledger.size,
	}
}
