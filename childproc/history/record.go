package history

import (
	"encoding/binary"
	"errors"
	"time"

	"erluv/ipc"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// texts are the text fields. longest bounds each in bytes, so that they fit into a slot together. A
// name is kept whole or not at all.
func (e *Entry) texts() [4]*string {
	cause := (*string)(&e.Cause)
	return [4]*string{&e.Name, &e.Command, &e.User, cause}
}

var longest = [4]int{100, CutCommand, 32, 32}

// numbers are the other fields.
func (e *Entry) numbers() [13]int64 {
	flags := int64(0)
	for i, f := range []bool{e.Exit.Core, e.Exit.OOM, e.Kept} {
		if f {
			flags |= 1 << i
		}
	}
	return [13]int64{
		int64(e.ID), int64(e.Serial), int64(e.Creation), int64(e.OSPID), milli(e.Started), int64(e.Restarts), milli(e.Ended),
		int64(e.Exit.Status), int64(e.Exit.Signal), flags, int64(e.CPU), e.MemoryPeak, int64(e.seq),
	}
}

func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func ofMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// encode returns the entry as it is written to a slot.
func (e *Entry) encode() []byte {
	b := make([]byte, 2, ipc.HistorySlot)
	for _, n := range e.numbers() {
		b = binary.AppendVarint(b, n)
	}
	for i, s := range e.texts() {
		text := *s
		if len(text) > longest[i] {
			if text = text[:longest[i]] + "..."; i == 0 {
				text = ""
			}
		}
		b = append(b, byte(len(text)))
		b = append(b, text...)
	}
	binary.NativeEndian.PutUint16(b, uint16(len(b)))
	return b
}

var errRecord = errors.New("history: no record")

// decode reads a slot. Another child may have left anything there, so decode trusts none of it.
func decode(slot []byte) (*Entry, error) {
	if len(slot) < 2 {
		return nil, errRecord
	}
	n := int(binary.NativeEndian.Uint16(slot))
	if n < 2 || n > len(slot) {
		return nil, errRecord
	}
	b := slot[2:n]
	var num [13]int64
	for i := range num {
		v, size := binary.Varint(b)
		if size <= 0 {
			return nil, errRecord
		}
		num[i], b = v, b[size:]
	}
	e := &Entry{
		ID: uint32(num[0]), Serial: uint32(num[1]), Creation: uint32(num[2]), OSPID: int(num[3]), Started: ofMilli(num[4]),
		Restarts: int(num[5]), Ended: ofMilli(num[6]),
		Exit: workers.Exit{Status: int(num[7]), Signal: unix.Signal(num[8]), Core: num[9]&1 != 0, OOM: num[9]&2 != 0},
		Kept: num[9]&4 != 0, CPU: time.Duration(num[10]), MemoryPeak: num[11], seq: uint64(num[12]),
	}
	if num[12] < 0 {
		return nil, errRecord
	}
	for _, s := range e.texts() {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return nil, errRecord
		}
		*s, b = string(b[1:1+int(b[0])]), b[1+int(b[0]):]
	}
	if len(b) > 0 {
		return nil, errRecord
	}
	return e, nil
}
