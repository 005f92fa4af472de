// Package dnstest is a name server for tests. It answers from a zone that the tests change
// between questions.
package dnstest

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"sync"
)

// Records are a name server's data for a name.
type Records struct {
	Addresses []string
	Services  []net.SRV
	Code      byte // RCODE: 2 SERVFAIL, 3 NXDOMAIN
}

// A Server may be used by several goroutines. Its zero value has no names.
type Server struct {
	mu    sync.Mutex
	zone  map[string]Records
	asked map[string]int
}

// Set replaces the data for a name, which must end with a dot.
func (s *Server) Set(name string, r Records) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.zone == nil {
		s.zone = map[string]Records{}
	}
	s.zone[name] = r
}

// Asked returns how many questions about a name were answered.
func (s *Server) Asked(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[name]
}

// Serve answers questions that arrive by UDP, until the connection is closed.
func (s *Server) Serve(conn net.PacketConn) {
	query := make([]byte, 512)
	for {
		n, from, err := conn.ReadFrom(query)
		if err != nil {
			return
		}
		_, _ = conn.WriteTo(s.Answer(query[:n]), from)
	}
}

const (
	typeA    = 1
	typeAAAA = 28
	typeSRV  = 33
)

// Answer answers one question.
func (s *Server) Answer(query []byte) []byte {
	var labels []string
	at := 12
	for query[at] != 0 {
		n := int(query[at])
		labels = append(labels, string(query[at+1:at+1+n]))
		at += 1 + n
	}
	kind := binary.BigEndian.Uint16(query[at+1:])
	question := query[12 : at+5]
	r := s.look(strings.Join(labels, ".") + ".")
	var data [][]byte
	switch kind {
	case typeA, typeAAAA:
		for _, a := range r.Addresses {
			if ip := netip.MustParseAddr(a); ip.Is4() == (kind == typeA) {
				data = append(data, ip.AsSlice())
			}
		}
	case typeSRV:
		for _, v := range r.Services {
			data = append(data, service(v))
		}
	}
	m := append([]byte{query[0], query[1], 0x81, 0x80 | r.Code, 0, 1}, byte(len(data)>>8), byte(len(data)), 0, 0, 0, 0)
	m = append(m, question...)
	for _, d := range data { // the name is that of the question, at 12; a TTL of 0
		m = append(m, 0xc0, 12, byte(kind>>8), byte(kind), 0, 1, 0, 0, 0, 0)
		m = append(binary.BigEndian.AppendUint16(m, uint16(len(d))), d...)
	}
	return m
}

func (s *Server) look(name string) Records {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == nil {
		s.asked = map[string]int{}
	}
	s.asked[name]++
	r, known := s.zone[name]
	if !known {
		r.Code = 3
	}
	return r
}

func service(v net.SRV) []byte {
	d := binary.BigEndian.AppendUint16(nil, v.Priority)
	d = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(d, v.Weight), v.Port)
	for label := range strings.FieldsFuncSeq(v.Target, func(r rune) bool { return r == '.' }) {
		d = append(append(d, byte(len(label))), label...)
	}
	return append(d, 0)
}
