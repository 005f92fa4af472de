package ipc

import (
	"fmt"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// StartRelay gives the relay the connection for which it speaks TLS. It has RelayFDs descriptors,
// in this order:
//
//	the TCP connection, on which nothing has been read or written
//	the relay's end of the inner stream, a Unix socket of type SOCK_STREAM
//	the memory for its counters (package ipc/counters)
//	a memfd with the Material
//
// The relay answers Ready once the TLS handshake has succeeded, or Failed. It sends Stopped when
// either side has ended, before it closes the inner stream. The cause is CauseAsked after an end in
// good order, else CauseDisconnected.
type StartRelay struct {
	Server       bool   // the node has dialled, so the relay is TLS's server
	ServerName   string // the name that the node's certificate must have; "": any. For a client
	Verify       bool   // the node's certificate must be signed by one of the CAs
	CertOptional bool   // a node that dials need not show a certificate. For a server
	MinVersion   uint16 // TLS's number: 0x0303 is 1.2, 0x0304 is 1.3
	MaxVersion   uint16
	Depth        uint8 // the most intermediate certificates in a chain
	TimeoutMS    uint32

	// The sizes of the parts of the Material, in bytes.
	CA, Cert, Key uint32
}

// RelayFDs is how many descriptors come with a StartRelay.
const RelayFDs = 4

// Material is the relay's own identity, and the authorities that it checks the node's by. Each part
// is the contents of a file of PEM blocks that main has read.
type Material struct {
	CA   []byte // certificates of authorities
	Cert []byte // our certificate, then intermediate ones; may be empty for a client
	Key  []byte // its private key
}

// MaxMaterial bounds a Material, in bytes. A system's whole list of authorities has about 220 KiB.
const MaxMaterial = 4 << 20

// Pack writes the material to a memfd, which the caller owns, and its sizes to m.
func (mat Material) Pack(m *StartRelay) (memfd int, err error) {
	all := append(append(append([]byte(nil), mat.CA...), mat.Cert...), mat.Key...)
	if len(all) > MaxMaterial {
		return -1, fmt.Errorf("certificates and key have %d bytes, the limit is %d", len(all), MaxMaterial)
	}
	fd, err := unix.MemfdCreate("erluv-material", unix.MFD_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("cannot make a memfd: %w", err)
	}
	for off := 0; off < len(all); {
		n, err := eintr.Pwrite(fd, all[off:], int64(off))
		if err != nil {
			_ = unix.Close(fd)
			return -1, fmt.Errorf("cannot write %d bytes to a memfd: %w", len(all), err)
		}
		off += n
	}
	m.CA, m.Cert, m.Key = uint32(len(mat.CA)), uint32(len(mat.Cert)), uint32(len(mat.Key))
	return fd, nil
}

// Unpack reads the material of m from its memfd, which the caller keeps.
func (m StartRelay) Unpack(memfd int) (Material, error) {
	size := uint64(m.CA) + uint64(m.Cert) + uint64(m.Key)
	if size > MaxMaterial {
		return Material{}, fmt.Errorf("ipc: certificates and key of %d bytes, the limit is %d", size, MaxMaterial)
	}
	b := make([]byte, size)
	for off := 0; off < len(b); {
		n, err := eintr.Pread(memfd, b[off:], int64(off))
		if err != nil {
			return Material{}, fmt.Errorf("ipc: cannot read certificates and key: %w", err)
		}
		if n == 0 {
			return Material{}, fmt.Errorf("ipc: certificates and key of %d bytes end after %d", len(b), off)
		}
		off += n
	}
	ca, cert := int(m.CA), int(m.CA)+int(m.Cert)
	return Material{CA: b[:ca:ca], Cert: b[ca:cert:cert], Key: b[cert:]}, nil
}

func (m StartRelay) write(w *writer) {
	w.bool(m.Server)
	w.str(m.ServerName)
	w.bool(m.Verify)
	w.bool(m.CertOptional)
	w.u16(m.MinVersion)
	w.u16(m.MaxVersion)
	w.u8(m.Depth)
	w.u32(m.TimeoutMS)
	w.u32(m.CA)
	w.u32(m.Cert)
	w.u32(m.Key)
}

func readStartRelay(r *reader) StartRelay {
	return StartRelay{
		Server: r.bool(), ServerName: r.str(), Verify: r.bool(), CertOptional: r.bool(),
		MinVersion: r.u16(), MaxVersion: r.u16(), Depth: r.u8(), TimeoutMS: r.u32(),
		CA: r.u32(), Cert: r.u32(), Key: r.u32(),
	}
}
