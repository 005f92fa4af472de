package output

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"math"

	"erluv/childproc/order"
	"erluv/childproc/peer"
	"erluv/stat"
	"erluv/wire/etf"
)

// Packet says how output is cut into messages, and whether a length precedes data written to stdin.
type Packet struct{ order.Packet }

// MaxPacket is the longest packet with a length before it, in bytes. No more than that is kept for
// a stream.
const MaxPacket = 16 << 20

// Raw reports whether output is passed on as it comes.
func (p Packet) Raw() bool { return !p.Line && p.Header == 0 }

// each is what a byte may cost the node besides itself, since each byte may be a message or line of
// its own.
func (p Packet) each() int {
	switch {
	case p.Raw():
		return 0
	case p.List:
		return peer.LineCost
	}
	return peer.MessageCost
}

// Told is the packet option as info reports it.
func (p Packet) Told() stat.Packet {
	switch {
	case p.Header > 0:
		return stat.Packet{Header: int(p.Header)}
	case p.Line:
		return stat.Packet{Max: int(p.Max), List: p.List}
	}
	return stat.Packet{}
}

// errPacket is a length above MaxPacket.
type errPacket int

func (e errPacket) Error() string { return fmt.Sprintf("a packet of %d bytes", int(e)) }

// Cut returns the first packet in k, and how many bytes to take from k. If the packet is
// incomplete, n is 0. A list of lines consists of the complete lines in the first most bytes, at
// least one.
func (p Packet) Cut(k *Kept, most int) (data []byte, n int, err error) {
	b := k.Bytes()
	switch {
	case p.List:
		n = k.Lines(int(p.Max), most)
		return b[:n], n, nil
	case p.Line:
		n = k.Line(int(p.Max))
		return b[:n], n, nil
	case p.Header > 0:
		n, err = p.size(b)
		if err != nil || len(b) < n {
			return nil, 0, err
		}
		return b[p.Header:n], n, nil
	}
	return b, len(b), nil
}

// size returns the size of the packet at the start of b, with its header.
func (p Packet) size(b []byte) (int, error) {
	header := int(p.Header)
	if len(b) < header {
		return header, nil
	}
	size := 0
	for _, c := range b[:header] {
		size = size<<8 | int(c)
	}
	if size > MaxPacket {
		return 0, errPacket(size)
	}
	return header + size, nil
}

// Lines yields the elements of the list for these lines.
func (p Packet) Lines(data []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(data) > 0 {
			n := min(len(data), int(p.Max))
			if i := bytes.IndexByte(data[:n], '\n'); i >= 0 {
				n = i + 1
			}
			if !yield(data[:n]) {
				return
			}
			data = data[n:]
		}
	}
}

// term is the result of a call for a packet.
func (p Packet) term(data []byte) etf.Term {
	if !p.List {
		return etf.Binary(data)
	}
	list := etf.List{}
	for line := range p.Lines(data) {
		list = append(list, etf.Binary(line))
	}
	return list
}

// Missing returns how many bytes the first packet in b lacks, if that is known.
func (p Packet) Missing(b []byte) int {
	if p.Header > 0 {
		if n, err := p.size(b); err == nil && n > len(b) {
			return n - len(b)
		}
	}
	return math.MaxInt
}

// Frame puts the length before data for stdin. It returns false if the length does not fit.
func (p Packet) Frame(data []byte) ([]byte, bool) {
	if p.Header == 0 {
		return data, true
	}
	if p.Header < 4 && len(data) >= 1<<(8*p.Header) {
		return nil, false
	}
	var size [4]byte
	binary.BigEndian.PutUint32(size[:], uint32(len(data)))
	return append(append(make([]byte, 0, int(p.Header)+len(data)), size[4-p.Header:]...), data...), true
}
