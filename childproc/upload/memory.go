package upload

import (
	"crypto/sha256"
	"hash"

	"erluv/eintr"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// MaxMemory bounds the programs in memory that a node has, all together, in bytes: what a process
// without privileges keeps of the machine's memory for others must end somewhere.
const MaxMemory = 256 << 20

// Budget is how much of MaxMemory is in use.
type Budget struct{ bytes int64 }

// Bytes is how much that is.
func (b *Budget) Bytes() int64 { return b.bytes }

// Memory is a program in memory: a memfd, which nobody can write to once it is whole. It owns its
// descriptor, which processes that execute it have copies of.
type Memory struct {
	Image  *workers.Image
	fd     int
	size   int64
	sum    hash.Hash
	budget *Budget
}

// mfdExec is MFD_EXEC (memfd_create(2)), of Linux 6.3: before that every memfd can be executed.
const mfdExec = 0x10

// NewMemory makes one. EACCES: this machine lets nobody execute what is in memory
// (vm.memfd_noexec).
func NewMemory(b *Budget) (*Memory, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("erluv-program", flags|mfdExec)
	if err == unix.EINVAL {
		fd, err = unix.MemfdCreate("erluv-program", flags)
	}
	if err != nil {
		return nil, err
	}
	return &Memory{Image: workers.NewImage(fd), fd: fd, sum: sha256.New(), budget: b}, nil
}

// Write appends to it. ENOSPC: together with others it would be more than MaxMemory.
func (m *Memory) Write(data []byte) error {
	if int64(len(data)) > MaxMemory-m.budget.bytes {
		return unix.ENOSPC
	}
	m.sum.Write(data)
	for len(data) > 0 {
		n, err := eintr.Pwrite(m.fd, data, m.size)
		if err != nil {
			return err
		}
		m.size += int64(n)
		m.budget.bytes += int64(n)
		data = data[n:]
	}
	return nil
}

// Sum is that of all that was written.
func (m *Memory) Sum() (sum [sha256.Size]byte) { return [sha256.Size]byte(m.sum.Sum(nil)) }

// Seal ends the writing, for everybody.
func (m *Memory) Seal() error {
	_, err := unix.FcntlInt(uintptr(m.fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	if err == nil {
		m.Image.Ready()
	}
	return err
}

// Close gives the memory back. What runs of it goes on.
func (m *Memory) Close() {
	m.budget.bytes -= m.size
	m.size = 0
	m.Image.Close()
}
