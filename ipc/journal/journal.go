// Package journal is a memory which the child shares with main: the child composes
// every frame in it before it writes it to the node, and reads every frame from the
// node into it. Main looks at it only after the child's end. The kernel then tells
// how many bytes were written and read; the journal tells which. Main makes it (New)
// and reads it (Journal); the child maps it (Map) and writes it (Pages).
package journal

import (
	"encoding/binary"
	"fmt"
	"math"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// The memory is sparse: it costs memory where it was used. It begins with a header of
// headSize bytes: a generation, at 0, and two records, at 64 and 128. The
// record of the generation's parity holds; the next is written beside it, and the
// one store of the generation puts it in force.
const (
	// OutSize is the room for frames to the node, in bytes. The largest frame is
	// the answer to a run; all others are small or bounded by the number of workers.
	OutSize = 96 << 20

	// InSize is the room for what was read from the node, in bytes: one frame of
	// the largest size that is not passed over (64 MiB), what was handled before it,
	// and what is read behind it.
	InSize = 65 << 20

	headSize   = 64 << 10 // a multiple of every page size
	memSize    = headSize + OutSize + InSize
	recordSize = 64

	// maxSkip is the longest frame there is, its length included.
	maxSkip = 4 + math.MaxUint32
)

// Record is where the child stands between two frames. Positions count the bytes of
// each direction since the child was given the connection; what was handed over to
// it as read already counts as the first.
type Record struct {
	// Whole frames stand in the out room at OutOff, OutLen bytes of them. The first
	// begins at OutPos of the stream. How much of them was written, only the kernel
	// knows.
	OutPos         uint64
	OutOff, OutLen int

	// What was read and not handled begins at InPos of the stream and at InOff of
	// the in room. There were InLen bytes of it, and there may be more since. The
	// first InSkip of them, which may be still to come, belong to a frame that is
	// passed over; without them a frame begins at InPos.
	InPos        uint64
	InOff, InLen int
	InSkip       int

	// Over: the child has given the connection up.
	Over bool
}

// words is the record as it stands in the journal.
func (r *Record) words() [recordSize / 8]uint64 {
	w := [...]uint64{r.OutPos, uint64(r.OutOff), uint64(r.OutLen), r.InPos, uint64(r.InOff), uint64(r.InLen), uint64(r.InSkip), 0}
	if r.Over {
		w[7] = 1
	}
	return w
}

// recordOf reads a record of somebody who is not trusted.
func recordOf(w [recordSize / 8]uint64) (Record, error) {
	switch {
	case w[1] > OutSize || w[2] > OutSize-w[1]:
		return Record{}, fmt.Errorf("journal: the journal has frames of %d bytes at %d, the room ends at %d", w[2], w[1], OutSize)
	case w[4] > InSize || w[5] > InSize-w[4]:
		return Record{}, fmt.Errorf("journal: the journal has read %d bytes to %d, the room ends at %d", w[5], w[4], InSize)
	case w[6] > maxSkip:
		return Record{}, fmt.Errorf("journal: the journal passes over %d bytes, a frame has at most %d", w[6], uint64(maxSkip))
	case w[6] > 0 && w[5] > 0:
		return Record{}, fmt.Errorf("journal: the journal keeps %d bytes and passes over %d", w[5], w[6])
	case w[7] > 1:
		return Record{}, fmt.Errorf("journal: the journal is neither over nor not: %d", w[7])
	}
	return Record{
		OutPos: w[0], OutOff: int(w[1]), OutLen: int(w[2]),
		InPos: w[3], InOff: int(w[4]), InLen: int(w[5]), InSkip: int(w[6]),
		Over: w[7] == 1,
	}, nil
}

// Journal is main's side. It is not mapped there: main takes copies, which nobody
// can change after they were checked. It owns the descriptor.
type Journal struct{ fd int }

// New makes one for a child that is to begin with bytes which were read
// from the node and not handled, or that passes over the next skip bytes from there.
// Its size is sealed.
func New(in []byte, skip int) (*Journal, error) {
	if len(in) > InSize {
		return nil, fmt.Errorf("cannot make a journal: %d bytes were read, the room is %d", len(in), InSize)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err == nil && limit.Cur < memSize {
		// Beyond it there would be a SIGXFSZ.
		return nil, fmt.Errorf("cannot make a journal of %d bytes: the limit for the size of files is %d bytes (ulimit -f)", memSize, limit.Cur)
	}
	fd, err := unix.MemfdCreate("erluv-journal", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // Linux before 6.3 knows no MFD_NOEXEC_SEAL
		fd, err = unix.MemfdCreate("erluv-journal", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make a memfd for the journal: %w", err)
	}
	j := &Journal{fd}
	if err := j.begin(in, skip); err != nil {
		_ = j.Close()
		return nil, err
	}
	return j, nil
}

// begin gives the journal its size and its first record.
func (j *Journal) begin(in []byte, skip int) error {
	if err := eintr.Ftruncate(j.fd, memSize); err != nil {
		return fmt.Errorf("cannot make a journal of %d bytes: %w", memSize, err)
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(j.fd), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("cannot seal the size of the journal: %w", err)
	}
	first := Record{InLen: len(in), InSkip: skip}
	var head [2 * recordSize]byte // generation 0, and its record
	for i, w := range first.words() {
		binary.NativeEndian.PutUint64(head[recordSize+8*i:], w)
	}
	for _, p := range []struct {
		b  []byte
		at int64
	}{{head[:], 0}, {in, headSize + OutSize}} {
		for b, at := p.b, p.at; len(b) > 0; {
			n, err := eintr.Pwrite(j.fd, b, at)
			if err != nil {
				return fmt.Errorf("cannot write to the journal: %w", err)
			}
			b, at = b[n:], at+int64(n)
		}
	}
	return nil
}

// FD is the descriptor, for handing over. It stays the Journal's.
func (j *Journal) FD() int { return j.fd }

// Close gives the journal up; its memory goes with the last who holds it.
func (j *Journal) Close() error {
	if j.fd < 0 {
		return nil
	}
	fd := j.fd
	j.fd = -1
	return unix.Close(fd)
}

// Read reads the record that is in force, and checks that it lies within the
// journal. It is meant for after the child's end.
func (j *Journal) Read() (Record, error) {
	head, err := j.read(0, 3*recordSize)
	if err != nil {
		return Record{}, err
	}
	at := recordSize * (1 + binary.NativeEndian.Uint64(head)&1)
	var w [recordSize / 8]uint64
	for i := range w {
		w[i] = binary.NativeEndian.Uint64(head[at+8*uint64(i):])
	}
	return recordOf(w)
}

// Out copies n bytes at off of the out room, In of the in room.
func (j *Journal) Out(off, n int) ([]byte, error) {
	return j.room("out", headSize, OutSize, off, n)
}

// In copies n bytes at off of the in room.
func (j *Journal) In(off, n int) ([]byte, error) {
	return j.room("in", headSize+OutSize, InSize, off, n)
}

func (j *Journal) room(name string, at, size, off, n int) ([]byte, error) {
	if off < 0 || n < 0 || off > size || n > size-off {
		return nil, fmt.Errorf("journal: %d bytes at %d of the journal's %s room, which ends at %d", n, off, name, size)
	}
	return j.read(at+off, n)
}

func (j *Journal) read(at, n int) ([]byte, error) {
	b := make([]byte, n)
	for done := 0; done < n; {
		k, err := unix.Pread(j.fd, b[done:], int64(at+done))
		if err == unix.EINTR {
			continue
		}
		if err != nil || k == 0 {
			return nil, fmt.Errorf("journal: cannot read %d bytes at %d of the journal, only %d: %w", n, at, done, err)
		}
		done += k
	}
	return b, nil
}
