package discover

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"erluv/discover/dnstest"
)

func TestMain(m *testing.M) {
	// Package net creates shared state at its first look-up, which must not be in a bubble of
	// synctest.
	_, _ = (&net.Resolver{PreferGo: true, Dial: refuse}).LookupHost(context.Background(), "warm.example")
	status := m.Run()
	if err := goleak.Find(); status == 0 && err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		status = 1
	}
	os.Exit(status)
}

func refuse(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED }

// records are a name server's data for a name, or its behaviour.
type records struct {
	addresses []string
	services  []net.SRV
	code      byte // RCODE: 2 SERVFAIL, 3 NXDOMAIN
	refused   bool // no server listens
	stalled   bool // it takes a minute until a connection is refused
}

// A nameServer is asked about one name.
type nameServer struct {
	dnstest.Server
	mu  sync.Mutex
	now records
}

func (s *nameServer) set(name string, r records) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = r
	s.Set(name, dnstest.Records{Addresses: r.addresses, Services: r.services, Code: r.code})
}

// pipes returns a resolver that asks s without sockets, so that it works in virtual time. Package
// net speaks the protocol of TCP over a connection that is not a packet connection.
func (s *nameServer) pipes() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		s.mu.Lock()
		now := s.now
		s.mu.Unlock()
		if now.stalled {
			// The machine's resolv.conf determines how long package net waits for each name server,
			// and how many there are. This is longer in any case.
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
				m := s.Answer(query)
				_, _ = theirs.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...))
			}
		}()
		return ours, nil
	}}
}

// packets returns a resolver that asks s over UDP, like a real one.
func (s *nameServer) packets(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends with the socket
		defer close(done)
		s.Serve(conn)
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
