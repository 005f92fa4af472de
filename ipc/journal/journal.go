// Package journal is a memory that the child shares with main. The child composes every frame in it
// before it writes the frame to the node, and reads every frame from the node into it. Main looks
// at it only after the child's end. The kernel then tells how many bytes were written and read, and
// the journal tells which bytes. Main makes it (New) and reads it (Journal); the child maps it
// (Map) and writes it (Pages).
package journal

import (
	"encoding/binary"
	"fmt"
	"math"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// The memory is sparse: only used pages cost memory. It begins with a header of headSize bytes: a
// generation, at 0, and two records, at 64 and 128. The generation's parity selects the valid
// record. The child writes the next record to the other place; a single store of the generation
// makes it valid.
const (
	// OutSize is the room for frames to the node, in bytes. The largest frame is the answer to a
	// run. All others are small or bounded by the number of workers.
	OutSize = 96 << 20

	// InSize is the room for bytes from the node. It holds one frame of the largest size that the
	// child does not skip (64 MiB). It also has room for handled bytes before that frame, and for
	// bytes read behind it.
	InSize = 65 << 20

	headSize   = 64 << 10 // a multiple of every page size
	memSize    = headSize + OutSize + InSize
	recordSize = 64

	// maxSkip is the length of the longest possible frame, with its length field.
	maxSkip = 4 + math.MaxUint32
)

// Record is the child's position between two frames. Positions count the bytes of each direction
// since the child got the connection. Bytes that main had already read, and handed over, are the
// first to be counted.
type Record struct {
	// The out room has OutLen bytes of whole frames at OutOff. The first of them begins at position
	// OutPos. Only the kernel knows how many of these bytes were written.
	OutPos         uint64
	OutOff, OutLen int

	// Bytes that were read and not handled begin at position InPos, and at InOff in the in room.
	// There were InLen of them, and more may have come since. The first InSkip of them, which may
	// not have come yet, belong to a frame that the child skips. If InSkip is 0, a frame begins at
	// InPos.
	InPos        uint64
	InOff, InLen int
	InSkip       int

	// Over says that the child has given the connection up.
	Over bool
}

// words returns the record in its form in the journal.
func (r *Record) words() [recordSize / 8]uint64 {
	w := [...]uint64{r.OutPos, uint64(r.OutOff), uint64(r.OutLen), r.InPos, uint64(r.InOff), uint64(r.InLen), uint64(r.InSkip), 0}
	if r.Over {
		w[7] = 1
	}
	return w
}

// recordOf decodes a record from an untrusted process, and checks it.
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

// Journal is main's side, which owns the descriptor. Main does not map the memory, but copies from
// it: no process can change a copy after the check.
type Journal struct{ fd int }

// New makes a journal for a new child. The child begins with the bytes in, which were read from the
// node and not handled, or skips the next skip bytes. The size of the memory is sealed.
func New(in []byte, skip int) (*Journal, error) {
	if len(in) > InSize {
		return nil, fmt.Errorf("cannot make a journal: %d bytes were read, the room is %d", len(in), InSize)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err == nil && limit.Cur < memSize {
		// Writing beyond it would raise SIGXFSZ.
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

// begin sets the journal's size and its first record.
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

// FD returns the descriptor, for handing over. The Journal keeps it.
func (j *Journal) FD() int { return j.fd }

// Close closes the descriptor. The memory is freed with its last holder.
func (j *Journal) Close() error {
	if j.fd < 0 {
		return nil
	}
	fd := j.fd
	j.fd = -1
	return unix.Close(fd)
}

// Read reads the valid record, and checks that it lies within the journal. It must be called only
// after the child's end.
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

// Out copies n bytes at off of the out room.
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
