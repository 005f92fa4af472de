package history

import (
	"erluv/eintr"
	"erluv/ipc"
)

// memory is a memfd that main makes and gives to each child. Main never reads it. It consists of
// slots, each empty or with an entry. One system call writes a slot, so each is whole whenever the
// child ends.
type memory struct {
	fd    int // -1: there is none
	slots int
	empty []int
}

func newMemory(fd, slots int) *memory { return &memory{fd: fd, slots: slots} }

// read returns the entries in the slots. It clears a slot with anything else.
func (m *memory) read() (list []*Entry) {
	buf := make([]byte, ipc.HistorySlot)
	for i := range m.slots {
		if e := m.at(i, buf); e != nil {
			e.slot = i
			list = append(list, e)
		} else {
			m.empty = append(m.empty, i)
		}
	}
	return list
}

// at returns the entry in a slot, nil if it is or becomes empty.
func (m *memory) at(slot int, buf []byte) *Entry {
	if m.fd < 0 {
		return nil
	}
	n, err := eintr.Pread(m.fd, buf, int64(slot)*ipc.HistorySlot)
	if err != nil || n < ipc.HistorySlot || buf[0] == 0 && buf[1] == 0 {
		return nil
	}
	e, err := decode(buf)
	if err != nil {
		m.clear(slot)
	}
	return e
}

// place gives an entry a slot, if one is empty.
func (m *memory) place(e *Entry) {
	e.slot = -1
	if last := len(m.empty) - 1; last >= 0 {
		e.slot, m.empty = m.empty[last], m.empty[:last]
	}
}

// write writes an entry to its slot. If that fails, the next child will not know the entry.
func (m *memory) write(e *Entry) {
	if m.fd >= 0 && e.slot >= 0 {
		_, _ = eintr.Pwrite(m.fd, e.encode(), int64(e.slot)*ipc.HistorySlot)
	}
}

// free gives back the slot of an entry.
func (m *memory) free(e *Entry) {
	if e.slot >= 0 {
		m.clear(e.slot)
		m.empty = append(m.empty, e.slot)
		e.slot = -1
	}
}

func (m *memory) clear(slot int) {
	if m.fd >= 0 {
		_, _ = eintr.Pwrite(m.fd, []byte{0, 0}, int64(slot)*ipc.HistorySlot)
	}
}
