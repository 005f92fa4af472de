package ring

import "slices"

// Room is the memory of all rings. When it is in use, the rings of programs that have ended go
// first, the oldest before the others. When there is none of these a ring becomes no larger: it
// holds less than it might.
type Room struct {
	total, used int
	over        []*Ring // of programs that have ended, in their order
}

// NewRoom makes one of so many bytes.
func NewRoom(total int) *Room { return &Room{total: total} }

// New makes a ring of so many bytes at most. It takes memory as output comes.
func (m *Room) New(size int) *Ring { return &Ring{room: m, size: size, last: -1} }

// Close says that nothing more comes: the program has ended for good.
func (r *Ring) Close() {
	if r.over {
		return
	}
	r.over = true
	if r.memory > 0 {
		r.room.over = append(r.room.over, r)
	}
}

// Drop gives the memory back. What was there is lost.
func (r *Ring) Drop() {
	r.start, r.last = r.end, -1
	r.chunks, r.spare = nil, nil
	r.room.used -= r.memory
	r.memory = 0
	if i := slices.Index(r.room.over, r); i >= 0 {
		r.room.over = slices.Delete(r.room.over, i, i+1)
	}
}

// take takes n bytes. False: rings of programs that run have all.
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
