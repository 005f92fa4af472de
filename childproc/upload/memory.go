package upload

import (
	"crypto/sha256"
	"hash"

	"erluv/eintr"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// MaxMemory is the most memory for all programs in memory of a node together, in bytes. A process
// without privileges must not keep an unbounded part of the machine's memory for others.
const MaxMemory = 256 << 20

// Budget is how much of MaxMemory is in use.
type Budget struct{ bytes int64 }

// Bytes returns that, in bytes.
func (b *Budget) Bytes() int64 { return b.bytes }

// Memory is a program in memory. Its memfd is read-only once it is complete. It owns the
// descriptor, of which processes that execute it have copies.
type Memory struct {
	Image  *workers.Image
	fd     int
	size   int64
	sum    hash.Hash
	budget *Budget
}

// mfdExec is MFD_EXEC (memfd_create(2)) of Linux 6.3. Before that, every memfd can be executed.
const mfdExec = 0x10

// NewMemory makes an empty program. The error is EACCES if this machine forbids the execution of
// memfds (vm.memfd_noexec).
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

// Write appends data. It returns ENOSPC if all programs would exceed MaxMemory.
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

// Sum returns the SHA-256 of all written data.
func (m *Memory) Sum() (sum [sha256.Size]byte) { return [sha256.Size]byte(m.sum.Sum(nil)) }

// Seal makes the memfd read-only, for all processes.
func (m *Memory) Seal() error {
	_, err := unix.FcntlInt(uintptr(m.fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	if err == nil {
		m.Image.Ready()
	}
	return err
}

// Close gives the memory back. Running copies of the program go on.
func (m *Memory) Close() {
	m.budget.bytes -= m.size
	m.size = 0
	m.Image.Close()
}
