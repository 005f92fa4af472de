package relay

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/ipc/counters"
	"erluv/relay/certtest"

	"golang.org/x/sys/unix"
)

const patience = 2 * time.Minute

// stage is a relay in this process, and the test as main and as the child.
type stage struct {
	t     *testing.T
	up    *ipc.Conn // main's end of the conversation
	near  *os.File  // main's end of the inner stream
	far   int       // the relay's end, of which main keeps a descriptor
	count *counters.Counters
	node  net.Conn // the node's end of the TCP connection
	ended chan error
}

// client is the start of most relays.
func client(name string) ipc.StartRelay {
	return ipc.StartRelay{ServerName: name, Verify: true, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13, Depth: 1, TimeoutMS: 5000}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// newStage starts a relay on a TCP connection with the test.
func newStage(t *testing.T, m ipc.StartRelay, mat ipc.Material) *stage {
	t.Helper()
	l := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	dialled := must[net.Conn](t)(net.Dial("tcp", l.Addr().String()))
	accepted := must[net.Conn](t)(l.Accept())
	file := must[*os.File](t)(dialled.(*net.TCPConn).File())
	_ = dialled.Close()
	defer file.Close()

	s := &stage{t: t, node: accepted, ended: make(chan error, 1)}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.near, s.far = os.NewFile(uintptr(ends[0]), "near"), ends[1]
	s.count = must[*counters.Counters](t)(counters.New())
	up, theirs, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	s.up = up
	go func() { // ends with the conversation; the cleanup waits
		s.ended <- serve(theirs, new(atomic.Pointer[relay]))
		_ = theirs.Close()
	}()
	t.Cleanup(func() {
		_ = s.up.Close()
		_ = s.near.Close()
		_ = s.node.Close()
		select {
		case <-s.ended:
		case <-time.After(patience):
			t.Error("the relay does not end")
		}
		_ = unix.Close(s.far)
		_ = s.count.Close()
	})
	if hello := s.hear(); hello != (ipc.Hello{Version: ipc.Version, Role: ipc.RoleRelay, PID: uint32(os.Getpid())}) {
		t.Fatalf("it says %v", hello)
	}
	memfd := must[int](t)(mat.Pack(&m))
	defer unix.Close(memfd)
	if err := up.Send(ipc.Append(nil, m), patience, int(file.Fd()), s.far, s.count.FD(), memfd); err != nil {
		t.Fatal(err)
	}
	return s
}

// hear returns the relay's next message.
func (s *stage) hear() ipc.Message {
	s.t.Helper()
	buf := make([]byte, ipc.MaxPacket)
	n, _, err := s.up.Recv(buf, patience)
	if err != nil {
		s.t.Fatal(err)
	}
	return must[ipc.Message](s.t)(ipc.Decode(buf[:n]))
}

// ready waits until the relay relays.
func (s *stage) ready() {
	s.t.Helper()
	if m := s.hear(); m != (ipc.Ready{}) {
		s.t.Fatalf("it says %#v", m)
	}
}

// failed returns why the relay cannot serve.
func (s *stage) failed() string {
	s.t.Helper()
	m, ok := s.hear().(ipc.Failed)
	if !ok {
		s.t.Fatalf("it says %#v", m)
	}
	return m.Text
}

// stopped returns why the relay has ended.
func (s *stage) stopped() string {
	s.t.Helper()
	m, ok := s.hear().(ipc.Stopped)
	if !ok {
		s.t.Fatalf("it says %#v", m)
	}
	return m.Text
}

// pki is an authority with certificates for a node called host, and for us.
type pki struct {
	ca         *certtest.Authority
	node, ours ipc.Material
}

func newPKI() pki {
	p := pki{ca: certtest.NewAuthority("the authority")}
	p.node.CA, p.ours.CA = p.ca.PEM, p.ca.PEM
	p.node.Cert, p.node.Key = p.ca.Issue(certtest.Wish{Names: []string{"host", "127.0.0.1"}})
	p.ours.Cert, p.ours.Key = p.ca.Issue(certtest.Wish{})
	return p
}

// server returns the node's configuration, which requires a certificate.
func (p pki) server(t *testing.T) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(p.node.CA)
	return &tls.Config{
		Certificates: []tls.Certificate{must[tls.Certificate](t)(tls.X509KeyPair(p.node.Cert, p.node.Key))},
		ClientCAs:    pool, ClientAuth: tls.RequireAndVerifyClientCert, SessionTicketsDisabled: true,
		RootCAs: pool, ServerName: "host", // for a node that dials
	}
}

// up starts a relay with a node that speaks TLS.
func up(t *testing.T, change func(*tls.Config)) (*stage, *tls.Conn) {
	t.Helper()
	p := newPKI()
	c := p.server(t)
	if change != nil {
		change(c)
	}
	s := newStage(t, client("host"), p.ours)
	node := tls.Server(s.node, c)
	_ = s.node.SetDeadline(time.Now().Add(patience))
	_ = s.near.SetDeadline(time.Now().Add(patience))
	if err := node.Handshake(); err != nil {
		t.Fatal(err)
	}
	s.ready()
	return s, node
}

// wantEOF requires the end of a stream.
func wantEOF(t *testing.T, r io.Reader) {
	t.Helper()
	n, err := r.Read(make([]byte, 10))
	if n != 0 || err != io.EOF {
		t.Errorf("%d, %v instead of the end", n, err)
	}
}

// wantErr requires an error and no bytes.
func wantErr(t *testing.T, r io.Reader) {
	t.Helper()
	n, err := r.Read(make([]byte, 10))
	if n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d, %v instead of an error", n, err)
	}
}
