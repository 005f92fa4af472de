package ipc

import (
	"encoding/binary"
	"fmt"
)

// writer appends the fields of a message.
type writer struct{ b []byte }

func (w *writer) u8(v uint8)   { w.b = append(w.b, v) }
func (w *writer) u16(v uint16) { w.b = binary.LittleEndian.AppendUint16(w.b, v) }
func (w *writer) u32(v uint32) { w.b = binary.LittleEndian.AppendUint32(w.b, v) }
func (w *writer) u64(v uint64) { w.b = binary.LittleEndian.AppendUint64(w.b, v) }

func (w *writer) bool(v bool) {
	if v {
		w.u8(1)
	} else {
		w.u8(0)
	}
}

func (w *writer) str(s string) {
	w.u32(uint32(len(s)))
	w.b = append(w.b, s...)
}

func (w *writer) strs(list []string) {
	w.u32(uint32(len(list)))
	for _, s := range list {
		w.str(s)
	}
}

func (w *writer) u32s(list []uint32) {
	w.u32(uint32(len(list)))
	for _, v := range list {
		w.u32(v)
	}
}

// reader takes the fields of a message from a packet. It keeps the first error, and every later
// field is zero. So a decoder reads all fields and checks once.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n int) []byte {
	if r.err == nil && n > len(r.b) {
		r.err = fmt.Errorf("ipc: a field of %d bytes with %d left", n, len(r.b))
	}
	if r.err != nil {
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) u8() uint8 {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if p := r.take(2); p != nil {
		return binary.LittleEndian.Uint16(p)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if p := r.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if p := r.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

func (r *reader) bool() bool {
	v := r.u8()
	if v > 1 && r.err == nil {
		r.err = fmt.Errorf("ipc: %d is neither true nor false", v)
	}
	return v == 1
}

func (r *reader) str() string {
	n := r.u32()
	if r.err == nil && uint64(n) > uint64(len(r.b)) {
		r.err = fmt.Errorf("ipc: a string of %d bytes with %d left", n, len(r.b))
	}
	return string(r.take(int(n)))
}

// text writes a string for people, and cuts it.
func (w *writer) text(s string) { w.cut(s, MaxText) }

func (r *reader) text() string { return r.atMost(MaxText) }

func (w *writer) cut(s string, most int) { w.str(s[:min(len(s), most)]) }

func (r *reader) atMost(most int) string {
	s := r.str()
	if r.err == nil && len(s) > most {
		r.err = fmt.Errorf("ipc: a text of %d bytes", len(s))
	}
	return s
}

// strs reads a list of strings. Each costs at least four bytes, which bounds the list before its
// allocation.
func (r *reader) strs() []string {
	n := r.u32()
	if r.err == nil && uint64(n)*4 > uint64(len(r.b)) {
		r.err = fmt.Errorf("ipc: a list of %d strings with %d bytes left", n, len(r.b))
	}
	if r.err != nil || n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = r.str()
	}
	return list
}

// u32s reads a list of numbers; the packet's length bounds it.
func (r *reader) u32s() []uint32 {
	n := r.u32()
	if r.err == nil && uint64(n)*4 > uint64(len(r.b)) {
		r.err = fmt.Errorf("ipc: a list of %d numbers with %d bytes left", n, len(r.b))
	}
	if r.err != nil || n == 0 {
		return nil
	}
	list := make([]uint32, n)
	for i := range list {
		list[i] = r.u32()
	}
	return list
}

// done returns the first error, or an error for trailing bytes.
func (r *reader) done() error {
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("ipc: %d bytes after the message", len(r.b))
	}
	return r.err
}
