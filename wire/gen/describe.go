package gen

import (
	"fmt"

	"erluv/wire/dist"
	"erluv/wire/etf"
)

// Describe returns pairs for a log about a frame: its control message, its sender and receiver, and
// its length. They contain nothing of the message itself.
func Describe(frame []byte) []any {
	var m dist.Message
	if dist.Parse(frame, &m) != nil {
		return []any{"op", "not understood", "bytes", len(frame)}
	}
	from, to := process(m.From), process(m.To)
	switch {
	case m.Op == dist.RegSend:
		to = string(m.Name)
	case m.Op == dist.AliasSend:
		to = "an alias"
	case m.HasName && (m.Op == dist.MonitorPExit || m.Op == dist.PayloadMonitorPExit):
		from = string(m.Name)
	case m.HasName:
		to = string(m.Name)
	}
	return []any{"op", m.Op.String(), "from", from, "to", to, "bytes", len(frame)}
}

// process returns a pid as Erlang prints it, with the node in place of its number.
func process(p etf.Pid) string {
	if p == (etf.Pid{}) {
		return ""
	}
	return fmt.Sprintf("<%s.%d.%d>", p.Node, p.ID, p.Serial)
}
