package childproc

import (
	"encoding/binary"
	"fmt"
	"math"

	"erluv/childproc/order"
	"erluv/stat"
)

// packet says how output is cut into messages, and whether what is written to
// stdin gets a length before it.
type packet struct{ order.Packet }

// maxPacketSize is the longest packet with a length before it: so much is held for a
// stream at most.
const maxPacketSize = 16 << 20

// raw: output goes as it comes.
func (p packet) raw() bool { return !p.Line && p.Header == 0 }

// told is what info says of it.
func (p packet) told() stat.Packet {
	switch {
	case p.Header > 0:
		return stat.Packet{Header: int(p.Header)}
	case p.Line:
		return stat.Packet{Max: int(p.Max)}
	}
	return stat.Packet{}
}

// errPacket: a length that is more than anybody means.
type errPacket int

func (e errPacket) Error() string { return fmt.Sprintf("a packet of %d bytes", int(e)) }

// cut finds the first packet in k: its bytes, and by how many to go on. With n = 0 it
// is not complete.
func (p packet) cut(k *kept) (data []byte, n int, err error) {
	b := k.bytes()
	switch {
	case p.Line:
		n = k.line(int(p.Max))
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

// size is that of the packet that b begins with, with its header.
func (p packet) size(b []byte) (int, error) {
	header := int(p.Header)
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
	if p.Header > 0 {
		if n, err := p.size(b); err == nil && n > len(b) {
			return n - len(b)
		}
	}
	return math.MaxInt
}

// frame puts the length before data that is written to stdin. False: the length
// does not fit.
func (p packet) frame(data []byte) ([]byte, bool) {
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
