package relay

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/relay/certtest"

	"golang.org/x/sys/unix"
)

// TestBothWays: megabytes pass in both directions at once, in both versions.
func TestBothWays(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			s, node := up(t, func(c *tls.Config) { c.MaxVersion = version })
			there, back := random(8<<20), random(8<<20)
			done := make(chan error, 2)
			go func() { _, err := s.near.Write(there); done <- err }() // ends with the stream
			go func() { _, err := node.Write(back); done <- err }()
			got := make(chan []byte)
			go func() { b := make([]byte, len(there)); _, _ = io.ReadFull(node, b); got <- b }()
			b := make([]byte, len(back))
			_, _ = io.ReadFull(s.near, b)
			if !bytes.Equal(<-got, there) || !bytes.Equal(b, back) {
				t.Error("bytes have changed")
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			written, read, err := s.count.Position(int(s.near.Fd()), s.far)
			if err != nil || written != uint64(len(there)) || read != uint64(len(back)) {
				t.Errorf("%d written, %d read, %v", written, read, err)
			}
			// The last bytes are counted after they are written.
			for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
				sent, was := s.count.Node()
				if sent == uint64(len(back)) && was == uint64(len(there)) {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("the node has sent %d and was sent %d", sent, was)
				}
			}
		})
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

// TestPosition: whenever the near end is not in use, main knows its position, while the node still
// sends and reads.
func TestPosition(t *testing.T) {
	s, node := up(t, nil)
	go func() { _, _ = io.Copy(io.Discard, node) }() // ends with the node's end
	go func() {                                      // the same
		for b := random(50_000); ; {
			if _, err := node.Write(b[:1+rand.IntN(len(b))]); err != nil {
				return
			}
		}
	}()
	var wrote, got uint64
	b := random(100_000)
	for round := range 500 {
		for range 1 + rand.IntN(3) {
			n, err := s.near.Write(b[:1+rand.IntN(len(b))])
			if err != nil {
				t.Fatal(err)
			}
			wrote += uint64(n)
			if n, err = s.near.Read(b[:1+rand.IntN(len(b))]); err != nil {
				t.Fatal(err)
			}
			got += uint64(n)
		}
		written, read, err := s.position()
		if err != nil || written != wrote || read != got {
			t.Fatalf("round %d: written %d, read %d, %v, not %d, %d", round, written, read, err, wrote, got)
		}
	}
}

func (s *stage) position() (written, read uint64, err error) {
	raw, err := s.near.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	_ = raw.Control(func(fd uintptr) { written, read, err = s.count.Position(int(fd), s.far) })
	return written, read, err
}

// TestBackPressure: a side that does not read stops the other one, with bounded memory between
// them, and nothing is lost.
func TestBackPressure(t *testing.T) {
	s, node := up(t, nil)
	const bound = 16 << 20 // mostly the buffers of TCP
	for name, d := range map[string]struct {
		from, to io.ReadWriter
		deadline func(time.Time) error
	}{
		"to the node":   {s.near, node, s.near.SetWriteDeadline},
		"from the node": {node, s.near, s.node.SetWriteDeadline},
	} {
		total := 0
		b := random(1 << 20)
		for {
			_ = d.deadline(time.Now().Add(time.Second))
			n, err := d.from.Write(b)
			total += n
			if err != nil {
				break
			}
			if total > bound {
				t.Fatalf("%s: %d bytes are taken that nobody reads", name, total)
			}
		}
		if name == "from the node" {
			// A Write of crypto/tls that was cut short ends its connection.
			continue
		}
		_ = d.deadline(time.Now().Add(patience))
		var got int
		for got < total {
			n, err := d.to.Read(b)
			if err != nil {
				t.Fatalf("%s: %v after %d of %d bytes", name, err, got, total)
			}
			got += n
		}
	}
}

// TestHalfClose: each direction ends by itself, and the other continues.
func TestHalfClose(t *testing.T) {
	t.Run("the child first", func(t *testing.T) {
		s, node := up(t, nil)
		if _, err := s.near.Write([]byte("last")); err != nil {
			t.Fatal(err)
		}
		_ = unix.Shutdown(int(s.near.Fd()), unix.SHUT_WR)
		got, err := io.ReadAll(node)
		if string(got) != "last" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if _, err := node.Write([]byte("answer")); err != nil {
			t.Fatal(err)
		}
		_ = node.CloseWrite()
		_ = unix.SetNonblock(int(s.near.Fd()), false) // Fd has removed it from the poller
		got, err = io.ReadAll(s.near)
		if string(got) != "answer" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if why := s.stopped(); why != "the connection has ended" {
			t.Error(why)
		}
	})
	t.Run("the node first", func(t *testing.T) {
		s, node := up(t, nil)
		_, _ = node.Write([]byte("last"))
		_ = node.CloseWrite()
		got, err := io.ReadAll(s.near)
		if string(got) != "last" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if _, err := s.near.Write([]byte("answer")); err != nil {
			t.Fatal(err)
		}
		_ = s.near.Close()
		got, err = io.ReadAll(node)
		if string(got) != "answer" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if why := s.stopped(); why != "the connection has ended" {
			t.Error(why)
		}
	})
	t.Run("the child closes", func(t *testing.T) { // all that it wrote arrives, in spite of the node's data
		s, node := up(t, nil)
		_, _ = node.Write(random(1 << 20)) // the child does not read it
		last := random(150_000)
		_, _ = s.near.Write(last)
		_ = s.near.Close()
		begin := time.Now()
		got, err := io.ReadAll(node)
		if !bytes.Equal(got, last) || err != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if took := time.Since(begin); took > lingerBound/2 {
			t.Errorf("the node is told after %v", took)
		}
		_ = node.Close()
		s.stopped()
	})
}

// TestEnds: the child notices the end of its stream, and main gets the reason.
func TestEnds(t *testing.T) {
	t.Run("killed", func(t *testing.T) {
		s, _ := up(t, nil)
		_ = s.node.Close() // without a close_notify
		if why := s.stopped(); !strings.Contains(why, "without a close_notify") {
			t.Error(why)
		}
		wantEOF(t, s.near)
	})
	t.Run("reset", func(t *testing.T) {
		s, _ := up(t, nil)
		_ = s.node.(*net.TCPConn).SetLinger(0)
		_ = s.node.Close()
		if why := s.stopped(); !strings.Contains(why, "broken the connection off") {
			t.Error(why)
		}
		wantEOF(t, s.near)
	})
	t.Run("junk", func(t *testing.T) {
		s, _ := up(t, nil)
		_, _ = s.node.Write([]byte{23, 3, 3, 0, 20, 19: 0, 24: 0})
		if why := s.stopped(); !strings.Contains(why, "bad record MAC") {
			t.Error(why)
		}
		wantEOF(t, s.near)
	})
	t.Run("main", func(t *testing.T) { // main gives it up while the child's side is full
		s, node := up(t, nil)
		go func() { _, _ = node.Write(random(1 << 24)) }() // ends with the connection
		if _, err := s.near.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		_ = s.up.Close()
		_, err := io.Copy(io.Discard, s.near)
		if took := time.Since(begin); err != nil || took > lingerBound/2 {
			t.Errorf("%v after %v", err, took)
		}
	})
	t.Run("both at once", func(t *testing.T) { // the child and main
		for range 20 {
			s, _ := up(t, nil)
			begin := time.Now()
			_ = s.up.Close()
			_ = s.near.Close()
			s.ended <- <-s.ended
			if took := time.Since(begin); took > lingerBound/2 {
				t.Fatalf("it ends after %v", took)
			}
		}
	})
	t.Run("main, in the handshake", func(t *testing.T) {
		m := client("host")
		m.TimeoutMS = 1000
		s := newStage(t, m, newPKI().ours)
		_ = s.up.Close()
		wantErr(t, s.near)
	})
}

// TestBeat: the relay answers main's question whether it lives.
func TestBeat(t *testing.T) {
	s, _ := up(t, nil)
	for range 3 {
		if err := s.up.Send(ipc.Append(nil, ipc.Beat{}), patience); err != nil {
			t.Fatal(err)
		}
		if m := s.hear(); m != ipc.Message(ipc.Beat{}) {
			t.Fatalf("%#v", m)
		}
	}
}

// TestAccept: the node dials, and the relay is the server.
func TestAccept(t *testing.T) {
	p := newPKI()
	p.ours.Cert, p.ours.Key = p.ca.Issue(certtest.Wish{Names: []string{"host"}})
	stranger := newPKI()
	for name, tt := range map[string]struct {
		config   func(*tls.Config)
		optional bool
		want     string // a part of its failure; "": it works
	}{
		"as it should be": {},
		"no certificate":  {config: func(c *tls.Config) { c.Certificates = nil }, want: "showed no certificate"},
		"optional":        {config: func(c *tls.Config) { c.Certificates = nil }, optional: true},
		"a stranger":      {config: func(c *tls.Config) { c.Certificates = stranger.server(t).Certificates }, want: "is signed by none of the authorities"},
		"a stranger, optional": {
			config: func(c *tls.Config) { c.Certificates = stranger.server(t).Certificates }, optional: true, want: "is signed by none of the authorities",
		},
		"an old version": {config: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, want: "offers none of the TLS versions"},
	} {
		t.Run(name, func(t *testing.T) {
			m := client("")
			m.Server, m.CertOptional = true, tt.optional
			s := newStage(t, m, p.ours)
			c := p.server(t)
			if tt.config != nil {
				tt.config(c)
			}
			// With 1.2 both sides know at the end of the handshake.
			if c.MaxVersion == 0 {
				c.MaxVersion = tls.VersionTLS12
			}
			// A stranger would otherwise see the list of authorities and show nothing.
			if len(c.Certificates) > 0 {
				cert := c.Certificates[0]
				c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
			}
			_ = s.node.SetDeadline(time.Now().Add(patience))
			node := tls.Client(s.node, c)
			err := node.Handshake()
			if tt.want != "" {
				if why := s.failed(); err == nil || !strings.Contains(why, tt.want) {
					t.Errorf("%s; %v", why, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			s.ready()
			_, _ = node.Write([]byte("hello"))
			b := make([]byte, 5)
			if _, err := io.ReadFull(s.near, b); err != nil || string(b) != "hello" {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}

// TestWords: the error explains what is wrong and names the remedy.
func TestWords(t *testing.T) {
	p, stranger := newPKI(), newPKI()
	issue := func(w certtest.Wish) func(*testing.T, *tls.Config) {
		return func(t *testing.T, c *tls.Config) {
			cert, key := p.ca.Issue(w)
			c.Certificates = []tls.Certificate{must[tls.Certificate](t)(tls.X509KeyPair(cert, key))}
		}
	}
	hour := func(n int) time.Time { return time.Now().Add(time.Duration(n) * time.Hour) }
	deep := func(t *testing.T, c *tls.Config) {
		second := p.ca.Below("second")
		third := second.Below("third")
		cert, key := third.Issue(certtest.Wish{Names: []string{"host"}})
		chain := bytes.Join([][]byte{cert, third.PEM, second.PEM}, nil)
		c.Certificates = []tls.Certificate{must[tls.Certificate](t)(tls.X509KeyPair(chain, key))}
	}
	for name, tt := range map[string]struct {
		node  func(*testing.T, *tls.Config)
		ours  func(*ipc.StartRelay, *ipc.Material)
		plain string // what the node sends instead of TLS
		want  string // "": it works
		late  bool   // with TLS 1.3 it comes with the first read
	}{
		"all is well": {},
		"an address":  {ours: func(m *ipc.StartRelay, _ *ipc.Material) { m.ServerName = "127.0.0.1" }},
		"an address as OTP wants it": {
			ours: func(m *ipc.StartRelay, _ *ipc.Material) { m.ServerName = "10.0.0.1" },
			node: issue(certtest.Wish{DNSNames: []string{"10.0.0.1"}}),
		},
		"another host":    {ours: func(m *ipc.StartRelay, _ *ipc.Material) { m.ServerName = "other" }, want: "is for host, 127.0.0.1, not for other"},
		"any host":        {ours: func(m *ipc.StartRelay, _ *ipc.Material) { m.ServerName = "" }},
		"many hosts":      {node: issue(certtest.Wish{Names: strings.Fields(strings.Repeat("a ", 1000))}), want: "is for a, a, a, a, a, a, a, a and 992 more, not for host"},
		"no host":         {node: issue(certtest.Wish{}), want: "is for no host (it has no subjectAltName), not for host"},
		"unknown":         {ours: func(_ *ipc.StartRelay, mat *ipc.Material) { mat.CA = stranger.ca.PEM }, want: "is signed by none of the authorities in tls_ca"},
		"unknown, any":    {ours: func(m *ipc.StartRelay, mat *ipc.Material) { mat.CA, m.ServerName = stranger.ca.PEM, "" }, want: "is signed by none of the authorities in tls_ca"},
		"not verified":    {ours: func(m *ipc.StartRelay, mat *ipc.Material) { mat.CA, m.Verify = nil, false }},
		"expired":         {node: issue(certtest.Wish{Names: []string{"host"}, To: hour(-1), From: hour(-2)}), want: "has expired: it was valid until"},
		"too early":       {node: issue(certtest.Wish{Names: []string{"host"}, From: hour(1), To: hour(2)}), want: "is not valid before"},
		"for clients":     {node: issue(certtest.Wish{Names: []string{"host"}, Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}), want: "lacks serverAuth"},
		"a chain of four": {node: deep, want: "there are 2 certificates between it and its authority, and depth is 1"},
		"deeper":          {node: deep, ours: func(m *ipc.StartRelay, _ *ipc.Material) { m.Depth = 2 }},
		"no authority":    {ours: func(_ *ipc.StartRelay, mat *ipc.Material) { mat.CA = nil }, want: "there is no authority"},
		"no PEM":          {ours: func(_ *ipc.StartRelay, mat *ipc.Material) { mat.CA = []byte("junk") }, want: "has no certificate that can be read"},
		"another key":     {ours: func(_ *ipc.StartRelay, mat *ipc.Material) { mat.Key = stranger.ours.Key }, want: "tls_key, keyfile) cannot be used: tls: private key does not match"},
		"one file":        {ours: func(_ *ipc.StartRelay, mat *ipc.Material) { mat.Cert, mat.Key = append(mat.Cert, mat.Key...), nil }},
		"password": {
			ours: func(_ *ipc.StartRelay, mat *ipc.Material) {
				mat.Key = []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
			},
			want: "has a password",
		},
		"server without":   {ours: func(m *ipc.StartRelay, mat *ipc.Material) { m.Server, mat.Cert = true, nil }, want: "need a certificate of ours"},
		"no certificate":   {ours: func(_ *ipc.StartRelay, mat *ipc.Material) { mat.Cert = nil }, want: "the node demands a certificate of ours", late: true},
		"no certificate 2": {ours: func(m *ipc.StartRelay, mat *ipc.Material) { mat.Cert, m.MaxVersion = nil, tls.VersionTLS12 }, want: "demands a certificate of ours"},
		"we are unknown":   {ours: func(_ *ipc.StartRelay, mat *ipc.Material) { mat.Cert, mat.Key = stranger.ours.Cert, stranger.ours.Key }, want: "does not know the authority that has signed our certificate", late: true},
		"too old for us":   {node: func(_ *testing.T, c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, ours: func(m *ipc.StartRelay, _ *ipc.Material) { m.MinVersion = tls.VersionTLS13 }, want: "takes none of the TLS versions"},
		"silence":          {plain: "-", want: "did not say a word of TLS within 500ms"},
		"closed":           {plain: "", node: nil, want: "closed the connection without a word of TLS"},
		"something else":   {plain: "HTTP/1.1 400 Bad Request\r\n", want: "does not speak TLS: it begins with 48 54 54 50 2f"},
		"a name":           {plain: "\x00\x20N\x00\x00\x00\x00\x00", ours: func(m *ipc.StartRelay, _ *ipc.Material) { m.Server = true }, want: "handshake of a node without -proto_dist"},
	} {
		t.Run(name, func(t *testing.T) {
			m, mat := client("host"), p.ours
			if tt.ours != nil {
				tt.ours(&m, &mat)
			}
			isPlain := tt.plain != "" || name == "closed"
			if tt.plain == "-" {
				m.TimeoutMS = 500
			}
			s := newStage(t, m, mat)
			switch {
			case tt.plain == "-":
			case isPlain:
				_, _ = s.node.Write([]byte(tt.plain))
				if tt.plain == "" {
					_ = s.node.Close()
				}
			default:
				c := p.server(t)
				if tt.node != nil {
					tt.node(t, c)
				}
				_ = s.node.SetDeadline(time.Now().Add(patience))
				go func() { // ends with the connection
					node := tls.Server(s.node, c)
					if node.Handshake() == nil {
						_, _ = io.Copy(node, node)
					}
				}()
			}
			switch {
			case tt.want == "":
				s.ready()
				_, _ = s.near.Write([]byte("hello"))
				b := make([]byte, 5)
				_ = s.near.SetReadDeadline(time.Now().Add(patience))
				if _, err := io.ReadFull(s.near, b); err != nil || string(b) != "hello" {
					t.Errorf("%q, %v", b, err)
				}
			case tt.late:
				s.ready()
				if why := s.stopped(); !strings.Contains(why, tt.want) {
					t.Error(why)
				}
				wantErr(t, s.near)
			default:
				if why := s.failed(); !strings.Contains(why, tt.want) {
					t.Error(why)
				}
			}
		})
	}
}
