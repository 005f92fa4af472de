package journal

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// Pages is the child's side of the journal: its mapping, which lives as long as the process. One
// thread uses it.
type Pages struct {
	Out, In []byte // the rooms
	mem     []byte
	gen     uint64
}

// Map maps the journal that main has sent. The caller keeps the descriptor, and may close it.
func Map(fd int) (*Pages, error) {
	var st unix.Stat_t
	if err := eintr.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("cannot look at the journal: %w", err)
	}
	if st.Size != memSize {
		return nil, fmt.Errorf("descriptor %d is no journal: it has %d bytes, not %d", fd, st.Size, memSize)
	}
	mem, err := unix.Mmap(fd, 0, memSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("cannot map the journal of %d bytes: %w", memSize, err)
	}
	const in = headSize + OutSize
	p := &Pages{Out: mem[headSize:in:in], In: mem[in:], mem: mem}
	p.gen = atomic.LoadUint64(p.generation())
	return p, nil
}

func (p *Pages) generation() *uint64 { return (*uint64)(unsafe.Pointer(&p.mem[0])) }

func (p *Pages) slot(gen uint64) *[recordSize / 8]uint64 {
	return (*[recordSize / 8]uint64)(unsafe.Pointer(&p.mem[recordSize*(1+gen&1)]))
}

// First returns the journal's first record, from main.
func (p *Pages) First() (Record, error) { return recordOf(*p.slot(p.gen)) }

// Commit makes r the valid record, by its last store; until then the previous record is valid. The
// bytes that r describes must be in their places, and those of the previous record must be
// untouched. It makes no system call.
func (p *Pages) Commit(r *Record) {
	p.gen++
	*p.slot(p.gen) = r.words()
	atomic.StoreUint64(p.generation(), p.gen)
}

// Free gives memory back. b is a part of a room, and begins and ends with a page or with the room.
// It reads as zeros afterwards.
func (p *Pages) Free(b []byte) {
	if len(b) > 0 {
		_ = unix.Madvise(b, unix.MADV_REMOVE)
	}
}

// Close unmaps the journal. The rooms must not be used any more.
func (p *Pages) Close() error { return unix.Munmap(p.mem) }
