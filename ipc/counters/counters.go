// Package counters is a memory that the relay shares with main. The inner stream is the Unix socket
// between the child and the relay. The kernel counts the bytes of a TCP connection, but not those
// of a Unix socket, so the relay counts them in this memory. After the child's death main can then
// tell how much the child had written and read. Main makes the memory (New) and reads it
// (Counters). The relay maps it and counts (Page).
//
// The relay continues while main reads, so the count and the stream can differ. Each direction
// therefore has a cell of two words. One is a sequence number, which is odd during the relay's
// system call. The other is the number of bytes of all earlier calls. Main reads the sequence
// number, the count, the number of bytes that the kernel holds, and the sequence number again. If
// it is even and unchanged, no call came between, so count and kernel agree. The relay's calls
// never wait (the sockets do not block), so the number is odd for microseconds only.
//
// The relay is exposed to the network, so main does not trust its counts. A relay that counts
// wrongly spoils only the one connection that it carries, which it could spoil anyway.
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

// The memory has four lines of 64 bytes, each in a cache line of its own. Two are the cells of the
// inner stream: the bytes that the relay has read and written there. The other two count the bytes
// that it has exchanged with the node, without TLS's own bytes.
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

// Map maps the memory that main has sent. The caller keeps the descriptor, and may close it.
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

// Read reads from the inner stream, whose descriptor does not block, and counts. At most one Read
// may be under way.
func (p *Page) Read(fd int, b []byte) (int, error) {
	return cellAt(p.mem, lineRead).call(eintr.Read, fd, b)
}

// Write does the same for writing; it may run beside a Read.
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

// NodeRead counts bytes from the node, and NodeWritten bytes to it.
func (p *Page) NodeRead(n int)    { cellAt(p.mem, lineNodeRead).bytes.Add(uint64(n)) }
func (p *Page) NodeWritten(n int) { cellAt(p.mem, lineNodeWritten).bytes.Add(uint64(n)) }

// Close unmaps the memory.
func (p *Page) Close() error { return unix.Munmap(p.mem) }

// Counters is main's side. It owns a read-only mapping, and the descriptor until Give.
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

// FD returns the descriptor, which the Counters keep.
func (c *Counters) FD() int { return c.fd }

// Give returns the descriptor, for handing over. The caller then owns it.
func (c *Counters) Give() (fd int) {
	fd, c.fd = c.fd, -1
	return fd
}

// Close releases the mapping and the descriptor.
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

// Node returns how many bytes the node has sent and received.
func (c *Counters) Node() (sent, wasSent uint64) {
	return cellAt(c.mem, lineNodeRead).bytes.Load(), cellAt(c.mem, lineNodeWritten).bytes.Load()
}

// Bound is how long Position may take. It is far longer than a system call of the relay, even where
// the relay waits for a processor. A relay that was stopped or killed within a call leaves the
// number odd.
const Bound = time.Second

// Position returns how many bytes were written to and read from the inner stream since its start,
// at near, the child's end. The child must have been reaped, so that no process uses that end. The
// relay, which has the end far, may continue: its reads and writes alter neither number. After an
// error neither number is known.
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

// settled returns the count and the bytes that wait at fd, both of the same moment.
func (c *cell) settled(fd int, end time.Time) (bytes, waiting uint64, err error) {
	for try := 0; ; try++ {
		if try > 100 { // otherwise it takes only microseconds
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
