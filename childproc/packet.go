package childproc

import (
	"encoding/binary"
	"fmt"
	"math"

	"erluv/stat"
	"erluv/wire/etf"
)

// packet says how output is cut into messages, and whether what is written to
// stdin gets a length before it.
type packet struct {
	max    int32 // line: a longer one is delivered in pieces, in bytes
	header uint8 // 1, 2 or 4: bytes of a length before each packet; 0: none
	line   bool
}

const (
	// defaultLine is the longest line that is delivered whole unless it is set.
	defaultLine = 64 << 10
	// maxLine is the longest that can be set, and maxPacketSize the longest packet
	// with a length before it: so much is held for a stream at most.
	maxLine       = 1 << 20
	maxPacketSize = 16 << 20
)

// raw: output goes as it comes.
func (p packet) raw() bool { return !p.line && p.header == 0 }

// told is what info says of it.
func (p packet) told() stat.Packet {
	switch {
	case p.header > 0:
		return stat.Packet{Header: int(p.header)}
	case p.line:
		return stat.Packet{Max: int(p.max)}
	}
	return stat.Packet{}
}

// packetOf reads raw, line, {line, Max}, 1, 2 or 4.
func packetOf(t etf.Term) (packet, error) {
	switch v := t.(type) {
	case etf.Atom:
		switch v {
		case "raw":
			return packet{}, nil
		case "line":
			return packet{line: true, max: defaultLine}, nil
		}
	case int64:
		if v == 1 || v == 2 || v == 4 {
			return packet{header: uint8(v)}, nil
		}
	case etf.Tuple:
		if len(v) == 2 && v[0] == etf.Atom("line") {
			if n, ok := v[1].(int64); ok && n >= 1 && n <= maxLine {
				return packet{line: true, max: int32(n)}, nil
			}
		}
	}
	return packet{}, fmt.Errorf("must be raw, line, {line, MaxBytes up to %d}, 1, 2 or 4", maxLine)
}

// errPacket: a length that is more than anybody means.
type errPacket int

func (e errPacket) Error() string { return fmt.Sprintf("a packet of %d bytes", int(e)) }

// cut finds the first packet in k: its bytes, and by how many to go on. With n = 0 it
// is not complete.
func (p packet) cut(k *kept) (data []byte, n int, err error) {
	b := k.bytes()
	switch {
	case p.line:
		n = k.line(int(p.max))
		return b[:n], n, nil
	case p.header > 0:
		n, err = p.size(b)
		if err != nil || len(b) < n {
			return nil, 0, err
		}
		return b[p.header:n], n, nil
	}
	return b, len(b), nil
}

// size is that of the packet that b begins with, with its header.
func (p packet) size(b []byte) (int, error) {
	header := int(p.header)
	if len(b) < header {
		return header, nil
	}
	size := 0
	for _, c := range b[:header] {
		size = size<<8 | int(c)
	}
	if size > maxPacketSize {
		return 0, errPacket(size)
	}
	return header + size, nil
}

// missing is how many bytes the first packet lacks of which b is a part, as far as that
// is known.
func (p packet) missing(b []byte) int {
	if p.header > 0 {
		if n, err := p.size(b); err == nil && n > len(b) {
			return n - len(b)
		}
	}
	return math.MaxInt
}

// frame puts the length before data that is written to stdin. False: the length
// does not fit.
func (p packet) frame(data []byte) ([]byte, bool) {
	if p.header == 0 {
		return data, true
	}
	if p.header < 4 && len(data) >= 1<<(8*p.header) {
		return nil, false
	}
	var size [4]byte
	binary.BigEndian.PutUint32(size[:], uint32(len(data)))
	return append(append(make([]byte, 0, int(p.header)+len(data)), size[4-p.header:]...), data...), true
}
