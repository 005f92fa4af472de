package link

import (
	"crypto/rand"
	"encoding/binary"
	"sync"

	"erluv/config"
	"erluv/wire/gen"
)

// Self is what erluv is on all of its connections, from its start to its end: a node with one
// name and one creation. So a pid of ours is the same term on every node. All links of a
// guard, and their dialers, share it.
type Self struct {
	creation uint32
	draw     func() string // another name

	mu      sync.Mutex
	name    string
	settled bool   // a node has accepted the name, or it is a fixed one
	serial  uint32 // of the pids of the next child
}

// NewSelf makes one with the configuration's name, or a first random one.
func NewSelf(cfg *config.Config) *Self {
	s := &Self{draw: cfg.NodeName, name: cfg.NodeName(), settled: cfg.Name != ""}
	for s.creation < 4 { // 1 to 3 are what old nodes cycle through
		s.creation = random32()
	}
	return s
}

func random32() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails, see its document
	return binary.LittleEndian.Uint32(b[:])
}

// proposed is the name to connect with.
func (s *Self) proposed() (name string, settled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.name, s.settled
}

// settle: a node has accepted a name, which is ours from now on. False: another one is.
func (s *Self) settle(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.name == name {
		s.settled = true
	}
	return s.name == name
}

// Proposed is the name to connect with, or to listen under.
func (s *Self) Proposed() string {
	name, _ := s.proposed()
	return name
}

// Settle makes the proposed name ours, and returns it: who listens under a name keeps it.
func (s *Self) Settle() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled = true
	return s.name
}

// Redraw draws another name in place of one that is taken, unless that was done already, or
// another node has accepted it.
func (s *Self) Redraw(taken string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.name == taken && !s.settled {
		s.name = s.draw()
	}
}

// next is the serial of the pids of a child that begins now.
func (s *Self) next() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.serial
}

// used: a child has given pids with a serial, and it, or the next, may give no more of them.
// Serials come round again: of two, the one less than half a round ahead is the later.
func (s *Self) used(serial uint32) {
	const round = 1 << gen.SerialBits
	s.mu.Lock()
	defer s.mu.Unlock()
	if next := (serial + 1) % round; (next-s.serial)%round < round/2 {
		s.serial = next
	}
}
