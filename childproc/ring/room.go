package ring

import "slices"

// Room is the memory of all rings. When it is used up, the rings of ended programs go, the oldest
// first. If there are none, rings cannot grow, and hold less than they might.
type Room struct {
	total, used int
	over        []*Ring // of programs that have ended, in their order
}

// NewRoom makes a room of total bytes.
func NewRoom(total int) *Room { return &Room{total: total} }

// New makes a ring of at most size bytes. It takes memory as output comes.
func (m *Room) New(size int) *Ring { return &Ring{room: m, size: size, last: -1} }

// Close marks the ring of a program that has ended for good: no more output will come.
func (r *Ring) Close() {
	if r.over {
		return
	}
	r.over = true
	if r.memory > 0 {
		r.room.over = append(r.room.over, r)
	}
}

// Drop gives the memory back. The output is lost.
func (r *Ring) Drop() {
	r.start, r.last = r.end, -1
	r.chunks, r.spare = nil, nil
	r.room.used -= r.memory
	r.memory = 0
	if i := slices.Index(r.room.over, r); i >= 0 {
		r.room.over = slices.Delete(r.room.over, i, i+1)
	}
}

// take takes n bytes. It returns false if rings of running programs have all memory.
func (m *Room) take(n int) bool {
	for m.used+n > m.total {
		if len(m.over) == 0 {
			return false
		}
		m.over[0].Drop()
	}
	m.used += n
	return true
}
