package gen

import (
	"fmt"

	"erluv/wire/dist"
	"erluv/wire/etf"
)

// Describe says what control message a frame is, from whom, to whom, and how long, in pairs
// for a log. Nothing of the message itself is in it.
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

// process is a pid in the form that Erlang prints, with the node in place of its number.
func process(p etf.Pid) string {
	if p == (etf.Pid{}) {
		return ""
	}
	return fmt.Sprintf("<%s.%d.%d>", p.Node, p.ID, p.Serial)
}
