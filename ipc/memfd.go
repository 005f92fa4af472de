package ipc

import (
	"fmt"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// MaxSpawn bounds a Spawn, in bytes. Linux accepts at most 6 MiB of arguments and environment
// (execve(2)), less with an ordinary stack limit.
const MaxSpawn = 8 << 20

// SpawnInMemfd replaces a Spawn with the same Seq that does not fit into a packet. Its last
// descriptor is a memfd of Size bytes with that Spawn.
type SpawnInMemfd struct{ Seq, Size uint32 }

// PackSpawn takes an encoded Spawn with seq. It writes m to a memfd if m is too large for a packet.
// It returns the packet, and the memfd or -1. The caller sends the memfd as the last descriptor and
// then closes it.
func PackSpawn(seq uint32, m []byte) (packet []byte, memfd int, err error) {
	if len(m) <= MaxPacket {
		return m, -1, nil
	}
	if len(m) > MaxSpawn {
		return nil, -1, unix.E2BIG
	}
	fd, err := unix.MemfdCreate("erluv-spawn", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, -1, fmt.Errorf("cannot make a memfd: %w", err)
	}
	for off := 0; off < len(m); {
		n, err := eintr.Pwrite(fd, m[off:], int64(off))
		if err != nil {
			_ = unix.Close(fd)
			return nil, -1, fmt.Errorf("cannot write %d bytes to a memfd: %w", len(m), err)
		}
		off += n
	}
	return Append(nil, SpawnInMemfd{Seq: seq, Size: uint32(len(m))}), fd, nil
}

// UnpackSpawn reads the Spawn from its memfd.
func UnpackSpawn(m SpawnInMemfd, memfd int) (*Spawn, error) {
	if m.Size > MaxSpawn {
		return nil, fmt.Errorf("ipc: a spawn request of %d bytes, the limit is %d", m.Size, MaxSpawn)
	}
	b := make([]byte, m.Size)
	for off := 0; off < len(b); {
		n, err := eintr.Pread(memfd, b[off:], int64(off))
		if err != nil {
			return nil, fmt.Errorf("ipc: cannot read a spawn request: %w", err)
		}
		if n == 0 {
			return nil, fmt.Errorf("ipc: a spawn request of %d bytes ends after %d", len(b), off)
		}
		off += n
	}
	msg, err := Decode(b)
	if err != nil {
		return nil, err
	}
	s, ok := msg.(*Spawn)
	if !ok {
		return nil, fmt.Errorf("ipc: a memfd holds a message of kind %d instead of a spawn request", msg.kind())
	}
	return s, nil
}
