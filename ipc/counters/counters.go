// Package counters is a memory which the relay shares with main. In it the relay counts
// the bytes that go through the inner stream, the Unix socket between the child and the
// relay, for which the kernel keeps no counts as it does for a TCP connection. With them
// main can say, once the child has died, how much the child had written and read. Main
// makes it (New) and reads it (Counters); the relay maps it and counts (Page).
//
// A count and the stream itself are two things, and the relay goes on while main looks. So
// each direction has a cell of two words: a sequence number, which is odd while the
// relay's system call is under way, and the bytes of all calls before. Main reads the number,
// the count, how many bytes the kernel holds, and the number again: an even number that has
// not changed says that no call came between, so count and kernel agree. The relay's calls
// never wait (the sockets do not block), so the number is odd for microseconds only.
//
// What stands here is the word of a process that is exposed to the network. A relay that
// counts wrongly spoils the one connection that it carries, which it could spoil anyway.
package counters

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// The memory has four lines of 64 bytes, so that no two are in one line of a processor's
// cache: the cells of what the relay has read from the inner stream and written to it, and
// the counts of what it has read from the node and written to it, without TLS's own bytes.
const (
	size     = 4096
	lineSize = 64

	lineRead        = 0
	lineWritten     = 1
	lineNodeRead    = 2
	lineNodeWritten = 3
)

// A cell counts one direction of the inner stream.
type cell struct{ seq, bytes atomic.Uint64 }

func cellAt(mem []byte, line int) *cell { return (*cell)(unsafe.Pointer(&mem[lineSize*line])) }

// Page is the relay's side: its mapping, which lives as long as the process.
type Page struct{ mem []byte }

// Map maps the memory that main has sent. The descriptor stays the caller's and is not
// needed any more.
func Map(fd int) (*Page, error) {
	mem, err := mapped(fd, unix.PROT_READ|unix.PROT_WRITE)
	if err != nil {
		return nil, err
	}
	return &Page{mem}, nil
}

func mapped(fd, prot int) ([]byte, error) {
	var st unix.Stat_t
	if err := eintr.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("cannot look at the counters: %w", err)
	}
	if st.Size != size {
		return nil, fmt.Errorf("descriptor %d holds no counters: it has %d bytes, not %d", fd, st.Size, size)
	}
	mem, err := unix.Mmap(fd, 0, size, prot, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("cannot map the counters: %w", err)
	}
	return mem, nil
}

// Read reads from the inner stream, whose descriptor does not block, and counts. At most
// one call may be under way.
func (p *Page) Read(fd int, b []byte) (int, error) {
	return cellAt(p.mem, lineRead).call(eintr.Read, fd, b)
}

// Write writes to the inner stream in the same way, beside a Read.
func (p *Page) Write(fd int, b []byte) (int, error) {
	return cellAt(p.mem, lineWritten).call(eintr.Write, fd, b)
}

func (c *cell) call(do func(int, []byte) (int, error), fd int, b []byte) (int, error) {
	c.seq.Add(1)
	defer c.seq.Add(1)
	n, err := do(fd, b)
	if n > 0 {
		c.bytes.Add(uint64(n))
	}
	return n, err
}

// NodeRead counts what the node has sent, NodeWritten what was sent to it.
func (p *Page) NodeRead(n int)    { cellAt(p.mem, lineNodeRead).bytes.Add(uint64(n)) }
func (p *Page) NodeWritten(n int) { cellAt(p.mem, lineNodeWritten).bytes.Add(uint64(n)) }

// Close unmaps it.
func (p *Page) Close() error { return unix.Munmap(p.mem) }

// Counters is main's side. It owns a mapping that cannot be written, and the descriptor until
// that is given away.
type Counters struct {
	fd  int
	mem []byte
}

// New makes counters for a relay, at zero. Their size is sealed.
func New() (*Counters, error) {
	const name = "erluv-counters"
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // Linux before 6.3 knows no MFD_NOEXEC_SEAL
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make a memfd for the counters: %w", err)
	}
	c := &Counters{fd: fd}
	if err = eintr.Ftruncate(fd, size); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err == nil {
		c.mem, err = mapped(fd, unix.PROT_READ)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("cannot make the counters: %w", err)
	}
	return c, nil
}

// FD is the descriptor. It stays the Counters'.
func (c *Counters) FD() int { return c.fd }

// Give gives the descriptor away, for handing over. The caller closes it.
func (c *Counters) Give() (fd int) {
	fd, c.fd = c.fd, -1
	return fd
}

// Close gives the counters up.
func (c *Counters) Close() error {
	if c.mem == nil {
		return nil
	}
	_ = unix.Munmap(c.mem)
	c.mem = nil
	if c.fd < 0 {
		return nil
	}
	return unix.Close(c.fd)
}

// Node says how many bytes the node has sent and was sent.
func (c *Counters) Node() (sent, wasSent uint64) {
	return cellAt(c.mem, lineNodeRead).bytes.Load(), cellAt(c.mem, lineNodeWritten).bytes.Load()
}

// Bound is how long Position may take. It is longer than the relay's system call by far,
// even where the relay waits for a processor; a relay that was stopped or killed in the
// midst of one leaves the number odd.
const Bound = time.Second

// Position says how many bytes have been written to the inner stream at the end near, the
// child's, and read there, since it was made. Nobody may be reading or writing there: the
// child has been reaped. The relay, which has the end far, may go on: what it reads and
// writes meanwhile alters neither number. With an error there is no saying.
func (c *Counters) Position(near, far int) (written, read uint64, err error) {
	end := time.Now().Add(Bound)
	taken, unread, err := cellAt(c.mem, lineRead).settled(far, end)
	if err != nil {
		return 0, 0, fmt.Errorf("cannot say how much was written to the relay: %w", err)
	}
	given, waiting, err := cellAt(c.mem, lineWritten).settled(near, end)
	if err != nil {
		return 0, 0, fmt.Errorf("cannot say how much was read from the relay: %w", err)
	}
	if waiting > given {
		return 0, 0, fmt.Errorf("the relay has written %d bytes, of which %d wait: it counts wrongly", given, waiting)
	}
	return taken + unread, given - waiting, nil
}

// settled gives the count and what waits to be read at fd, as they are at one moment.
func (c *cell) settled(fd int, end time.Time) (bytes, waiting uint64, err error) {
	for try := 0; ; try++ {
		if try > 100 { // else it is a matter of microseconds
			time.Sleep(50 * time.Microsecond)
		}
		before := c.seq.Load()
		bytes = c.bytes.Load()
		n, err := unix.IoctlGetInt(fd, unix.SIOCINQ)
		if err != nil {
			return 0, 0, os.NewSyscallError("SIOCINQ", err)
		}
		if before%2 == 0 && c.seq.Load() == before {
			return bytes, uint64(n), nil
		}
		if time.Now().After(end) {
			return 0, 0, fmt.Errorf("the relay was not between two system calls for a moment in %v", Bound)
		}
	}
}
