package etf

import (
	"encoding/binary"
	"math"
)

// Pids, ports, references and funs. All except pids are only measured, so that they can be kept
// raw. Every form that a node would refuse is refused here too, since these terms go back to the
// node.

// named sets a head of off bytes, followed by the atom of a node and n more bytes.
func (h *head) named(k kind, b []byte, off, n int) error {
	var node head
	if len(b) < off {
		return errTruncated
	}
	if err := node.parseAtom(b[off:]); err != nil {
		return err
	}
	size := off + node.size + n
	if size > len(b) {
		return errTruncated
	}
	h.kind, h.size = k, size
	return nil
}

// pidAt returns the pid at the start of b, whose head has been parsed.
func pidAt(b []byte) Pid {
	var node head
	_ = node.parseAtom(b[1:]) // head.named has checked it
	p := Pid{Node: node.atom()}
	n := b[1+node.size:]
	p.ID, p.Serial = binary.BigEndian.Uint32(n), binary.BigEndian.Uint32(n[4:])
	if b[0] == tagPid {
		p.Creation = uint32(n[8])
	} else {
		p.Creation = binary.BigEndian.Uint32(n[8:])
	}
	return p
}

// old is named for a form whose last byte is the creation.
func (h *head) old(k kind, b []byte, n int) error {
	if err := h.named(k, b, 1, n); err != nil {
		return err
	}
	return oldCreation(b[h.size-1])
}

func oldCreation(c byte) error {
	if c > maxOldCreation {
		return errCreation
	}
	return nil
}

// parseRef reads a reference of several words. The parameter creation is the size of its creation
// in bytes. It returns the creation and the words.
func (h *head) parseRef(b []byte, creation int) ([]byte, error) {
	n := lenAt16(b)
	if n < 0 {
		return nil, errTruncated
	}
	if n < 1 || n > maxRefWords {
		return nil, errRef
	}
	if err := h.named(kindOpaque, b, 3, creation+4*n); err != nil {
		return nil, err
	}
	return b[h.size-creation-4*n : h.size], nil
}

func (h *head) parseOldRef(b []byte) error {
	tail, err := h.parseRef(b, 1)
	if err != nil {
		return err
	}
	if binary.BigEndian.Uint32(tail[1:]) > maxOldRef {
		return errRef
	}
	return oldCreation(tail[0])
}

func (h *head) parseOldestRef(b []byte) error {
	if err := h.old(kindOpaque, b, 5); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(b[h.size-5:]) > maxOldRef {
		return errRef
	}
	return nil
}

// parseExport reads fun M:F/A.
func (h *head) parseExport(b []byte) error {
	var part head
	size := 1
	for range 2 {
		if err := part.parseAtom(b[size:]); err != nil {
			return err
		}
		size += part.size
	}
	if len(b) < size+2 {
		return errTruncated
	}
	if b[size] != tagSmallInt {
		return errFun
	}
	h.kind, h.size = kindOpaque, size+2
	return nil
}

// parseFun reads the fixed part of a fun. The module, two integers, a pid and the free variables
// follow, and end where the size says.
func (h *head) parseFun(b []byte) error {
	const fixed = 1 + 4 + 1 + 16 + 4 + 4
	size := lenAt32(b)
	if size < 0 || len(b) < fixed || size > len(b)-1 {
		return errTruncated
	}
	free := binary.BigEndian.Uint32(b[26:])
	if free > math.MaxInt32-4 {
		return errTruncated
	}
	h.num = int64(1 + size)
	return h.container(kindFun, b, fixed, 4+int(free))
}
