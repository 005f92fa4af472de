package discover

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// Package net makes what it keeps for all look-ups at the first one, which must not
	// be in a bubble of synctest.
	_, _ = (&net.Resolver{PreferGo: true, Dial: refuse}).LookupHost(context.Background(), "warm.example")
	status := m.Run()
	if err := goleak.Find(); status == 0 && err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		status = 1
	}
	os.Exit(status)
}

func refuse(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED }

// records is what a name server knows of a name, or how it behaves.
type records struct {
	addresses []string
	services  []net.SRV
	code      byte // RCODE: 2 SERVFAIL, 3 NXDOMAIN
	refused   bool // nobody listens
	stalled   bool // it takes a minute until a connection is refused
}

// A nameServer answers from its zone, in which the tests write between questions.
type nameServer struct {
	mu   sync.Mutex
	zone map[string]records // with a dot at the end
}

func (s *nameServer) set(name string, r records) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone = map[string]records{name: r}
}

const (
	typeA    = 1
	typeAAAA = 28
	typeSRV  = 33
)

// answer answers one question.
func (s *nameServer) answer(query []byte) []byte {
	var labels []string
	at := 12
	for query[at] != 0 {
		n := int(query[at])
		labels = append(labels, string(query[at+1:at+1+n]))
		at += 1 + n
	}
	kind := binary.BigEndian.Uint16(query[at+1:])
	question := query[12 : at+5]
	s.mu.Lock()
	r, known := s.zone[strings.Join(labels, ".")+"."]
	s.mu.Unlock()
	if !known {
		r.code = 3
	}
	var data [][]byte
	for _, a := range r.addresses {
		if ip := netip.MustParseAddr(a); ip.Is4() == (kind == typeA) && kind != typeSRV {
			data = append(data, ip.AsSlice())
		}
	}
	for _, v := range r.services {
		if kind == typeSRV {
			d := binary.BigEndian.AppendUint16(nil, v.Priority)
			d = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(d, v.Weight), v.Port)
			for label := range strings.FieldsFuncSeq(v.Target, func(r rune) bool { return r == '.' }) {
				d = append(append(d, byte(len(label))), label...)
			}
			data = append(data, append(d, 0))
		}
	}
	m := append([]byte{query[0], query[1], 0x81, 0x80 | r.code, 0, 1}, byte(len(data)>>8), byte(len(data)), 0, 0, 0, 0)
	m = append(m, question...)
	for _, d := range data { // the name is that of the question, at 12; a TTL of 0
		m = append(m, 0xc0, 12, byte(kind>>8), byte(kind), 0, 1, 0, 0, 0, 0)
		m = append(binary.BigEndian.AppendUint16(m, uint16(len(d))), d...)
	}
	return m
}

// pipes is a resolver that asks s without sockets, so that it works on virtual time.
// Package net speaks over what is no packet connection as over TCP.
func (s *nameServer) pipes() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		s.mu.Lock()
		var now records
		for _, r := range s.zone {
			now = r
		}
		s.mu.Unlock()
		if now.stalled {
			// How long package net waits for each name server, and how many there
			// are, is in the machine's resolv.conf. This is longer than any of it.
			<-time.After(time.Minute)
		}
		if now.stalled || now.refused {
			return refuse(ctx, network, address)
		}
		ours, theirs := net.Pipe()
		go func() { // ends with the connection
			defer theirs.Close()
			for {
				var size [2]byte
				_, err := io.ReadFull(theirs, size[:])
				query := make([]byte, binary.BigEndian.Uint16(size[:]))
				_, err2 := io.ReadFull(theirs, query)
				if errors.Join(err, err2) != nil {
					return
				}
				m := s.answer(query)
				_, _ = theirs.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...))
			}
		}()
		return ours, nil
	}}
}

// packets is a resolver that asks s over UDP, as a real one.
func (s *nameServer) packets(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends with the socket
		defer close(done)
		query := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(s.answer(query[:n]), from)
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, conn.LocalAddr().String())
	}}
}
