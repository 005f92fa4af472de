package order

import (
	"fmt"

	"erluv/wire/etf"
	"erluv/wire/gen"
)

// Packet says how output is cut into messages, and whether a length precedes data written to stdin.
type Packet struct {
	Max    int32 // lines: the longest piece, in bytes; a longer line is delivered in pieces
	Header uint8 // size of the length before each packet, 1, 2 or 4 bytes; 0 means none
	Line   bool
	List   bool // lines: one message has all that there are
}

const (
	// defaultLine is the longest line in one piece, in bytes, if the request sets none.
	defaultLine = 64 << 10

	// MaxLine is the largest such size that can be set. No more than that is kept for a stream.
	MaxLine = 1 << 20
)

// PacketOf reads raw, line, {line, Max}, lines, {lines, Max}, 1, 2 or 4.
func PacketOf(t etf.Term) (Packet, error) {
	switch v := t.(type) {
	case etf.Atom:
		switch v {
		case "raw":
			return Packet{}, nil
		case "line":
			return Packet{Line: true, Max: defaultLine}, nil
		case "lines":
			return Packet{Line: true, List: true, Max: defaultLine}, nil
		}
	case int64:
		if v == 1 || v == 2 || v == 4 {
			return Packet{Header: uint8(v)}, nil
		}
	case etf.Tuple:
		if len(v) == 2 && (v[0] == etf.Atom("line") || v[0] == etf.Atom("lines")) {
			if n, ok := v[1].(int64); ok && n >= 1 && n <= MaxLine {
				return Packet{Line: true, List: v[0] == etf.Atom("lines"), Max: int32(n)}, nil
			}
		}
	}
	return Packet{}, fmt.Errorf("must be raw, line, lines, {line | lines, MaxBytes up to %d}, 1, 2 or 4", MaxLine)
}

func toPacket(to *Packet, v etf.Term) (err error) {
	*to, err = PacketOf(v)
	return err
}

// Mode says when output is sent.
type Mode uint8

// The modes.
const (
	Passive Mode = iota // to calls that read
	Counted             // a number of messages, then Passive
	Once                // one message, then Passive, without a report
	True                // as it comes
	Auto                // as it comes, while the receivers keep up
)

// Active says when output is sent, and with Counted how many more or fewer messages.
type Active struct {
	Mode  Mode
	Count int32
}

// ActiveOf reads true, false, once or a number of messages.
func ActiveOf(t etf.Term) (Active, bool) {
	switch v := t.(type) {
	case etf.Atom:
		switch v {
		case "true":
			return Active{Mode: True}, true
		case "false":
			return Active{Mode: Passive}, true
		case "once":
			return Active{Mode: Once}, true
		}
	case int64:
		if v >= -32768 && v <= 32767 && v != 0 {
			return Active{Mode: Counted, Count: int32(v)}, true
		}
	}
	return Active{}, false
}

// FlowOf reads auto, or {active, true | once | false | N}.
func FlowOf(v etf.Term) (Active, error) {
	if v == etf.Atom("auto") {
		return Active{Mode: Auto}, nil
	}
	if t, ok := v.(etf.Tuple); ok && len(t) == 2 && t[0] == etf.Atom("active") {
		if a, ok := ActiveOf(t[1]); ok && a.Count >= 0 {
			return a, nil
		}
	}
	return Active{}, fmt.Errorf("must be auto or {active, true | once | false | N}, N up to 32767")
}

func toFlow(to *Active, v etf.Term) (err error) {
	*to, err = FlowOf(v)
	return err
}

func toInput(to *[]byte, v etf.Term) error {
	b, err := etf.AppendIOData([]byte{}, gen.Encode(v), MaxRequest)
	if err != nil {
		return fmt.Errorf("must be iodata")
	}
	*to = b
	return nil
}

func toMaxOutput(to *int, v etf.Term) error {
	n, ok := v.(int64)
	if !ok || n < 0 || n > MaxOutput {
		return fmt.Errorf("must be a number of bytes up to %d", MaxOutput)
	}
	*to = int(n)
	return nil
}
