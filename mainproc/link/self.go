package link

import (
	"crypto/rand"
	"encoding/binary"
	"sync"

	"erluv/config"
	"erluv/wire/gen"
)

// Self is erluv's identity on all connections, from its start to its end: a node with one name and
// one creation. So each of our pids is the same term on every node. All links and dialers of a
// guard share it.
type Self struct {
	creation uint32
	draw     func() string // returns another name

	mu      sync.Mutex
	name    string
	settled bool   // a node has accepted the name, or it is a fixed one
	serial  uint32 // of the pids of the next child
}

// NewSelf makes a Self with the configured name, or a first random one.
func NewSelf(cfg *config.Config) *Self {
	s := &Self{draw: cfg.NodeName, name: cfg.NodeName(), settled: cfg.Name != ""}
	for s.creation < 4 { // old nodes use 1 to 3
		s.creation = random32()
	}
	return s
}

func random32() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails, see its documentation
	return binary.LittleEndian.Uint32(b[:])
}

// proposed returns the name to connect with.
func (s *Self) proposed() (name string, settled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.name, s.settled
}

// settle notes that a node has accepted a name, which is then ours. It returns false if another
// name is.
func (s *Self) settle(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.name == name {
		s.settled = true
	}
	return s.name == name
}

// Proposed returns the name to connect with, or to listen under.
func (s *Self) Proposed() string {
	name, _ := s.proposed()
	return name
}

// Settle makes the proposed name ours, and returns it. A node that listens under a name keeps it.
func (s *Self) Settle() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled = true
	return s.name
}

// Redraw draws another name in place of a taken one, unless that was done already, or another node
// has accepted the name.
func (s *Self) Redraw(taken string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.name == taken && !s.settled {
		s.name = s.draw()
	}
}

// next returns the serial for the pids of a child that begins now.
func (s *Self) next() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.serial
}

// used notes that a child has given pids with a serial. No later child may use that serial. Serials
// are cyclic: of two, the one that is less than half a cycle ahead is the later.
func (s *Self) used(serial uint32) {
	const round = 1 << gen.SerialBits
	s.mu.Lock()
	defer s.mu.Unlock()
	if next := (serial + 1) % round; (next-s.serial)%round < round/2 {
		s.serial = next
	}
}
