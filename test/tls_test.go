package e2e

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/relay/certtest"
	"erluv/wire/dist"
	mapper "erluv/wire/epmd"
	"erluv/wire/etf"
)

// TestRelay: a node pings us through a relay, a large message goes each way, and the connection
// survives renewed keys, in both versions of TLS. The relay counts the bytes.
//
//erluv:releases
//erluv:users
func TestRelay(t *testing.T) {
	for name, v := range versions {
		t.Run(name, func(t *testing.T) {
			p := newPKI(t, certtest.Wish{Names: []string{"127.0.0.1"}})
			// The keys are renewed every 300 records, or 300 KB.
			renew := "{renegotiate_at, 300}"
			if v == tls.VersionTLS13 {
				renew = "{key_update_at, 300000}"
			}
			n := p.node(t, false, fmt.Sprintf("{versions, ['%s']}, %s", name, renew))
			r := startRelay(t, n.dial(t), toNode(tls.VersionTLS12, tls.VersionTLS13), p.ours())
			r.ready()
			if !strings.Contains(r.remark, "TLS 1."+name[len(name)-1:]) {
				t.Error(r.remark)
			}
			const us = "relayed@127.0.0.1"
			r.connect(us, n.name)
			self := etf.Pid{Node: us, ID: 1, Creation: 7}

			// A ping.
			pinged := make(chan string, 1)
			go func() { // received below
				got, err := n.try("net_adm:ping('"+us+"')", "-", evalTime)
				pinged <- fmt.Sprint(got, err)
			}()
			var ask dist.Message
			for ask = r.message(); ask.Op != dist.RegSend; ask = r.message() {
			}
			body := etf.NewReader(ask.Payload)
			a, ok := dist.ReadAsk(&body)
			if !ok {
				t.Fatalf("asked % x", ask.Payload)
			}
			reply, _ := etf.AppendTerm(dist.BeginReply(nil, self, a.From, a.Tag), etf.Atom("yes"))
			if _, err := r.near.Write(dist.End(reply, 0)); err != nil {
				t.Fatal(err)
			}
			if got := <-pinged; got != "pong<nil>" {
				t.Fatal(got)
			}

			// A large message each way.
			large := random(16 << 20)
			r.send(self, "echo", etf.Tuple{self, etf.Atom("sum"), etf.Binary(large)})
			sum := md5.Sum(large)
			if got := r.binary(self); !bytes.Equal(got, sum[:]) {
				t.Error("what arrives there is something else")
			}
			r.send(self, "echo", etf.Tuple{self, etf.Binary(large)})
			if !bytes.Equal(r.binary(self), large) {
				t.Error("what arrives here is something else")
			}

			// Both at once, over many renewals of the keys.
			const messages, size = 1500, 16 << 10
			go func() { // ends when all is sent; an error is noticed below
				b := dist.BeginRegSend(nil, self, "echo")
				b, _ = etf.AppendTerm(b, etf.Tuple{self, etf.Binary(large[:size])})
				dist.End(b, 0)
				_ = r.near.SetWriteDeadline(time.Now().Add(evalTime))
				for range messages {
					if _, err := r.near.Write(b); err != nil {
						return
					}
				}
			}()
			for i := range messages {
				if !bytes.Equal(r.binary(self), large[:size]) {
					t.Fatalf("message %d is something else", i)
				}
			}
			sent, was := r.count.Node()
			if sent < 16<<20+messages*size || was < 32<<20+messages*size {
				t.Errorf("the node has sent %d bytes and was sent %d", sent, was)
			}
			r.confined()
		})
	}
}

// TestRelayPosition: the child stops at any moment, while a real node sends to it. Main then knows
// the position in the inner stream.
//
//erluv:releases
func TestRelayPosition(t *testing.T) {
	p := newPKI(t, certtest.Wish{Names: []string{"127.0.0.1"}})
	n := p.node(t, false, "{versions, ['tlsv1.2', 'tlsv1.3']}")
	r := startRelay(t, n.dial(t), toNode(tls.VersionTLS12, tls.VersionTLS13), p.ours())
	r.ready()
	begin, beginRead, err := r.count.Position(r.fd, r.far)
	if err != nil || begin != 0 || beginRead != 0 {
		t.Fatalf("%d, %d, %v", begin, beginRead, err)
	}
	r.connect("relayed@127.0.0.1", n.name)
	base, baseRead, err := r.count.Position(r.fd, r.far)
	if err != nil || base == 0 || baseRead == 0 {
		t.Fatalf("%d, %d, %v", base, baseRead, err)
	}
	self := etf.Pid{Node: "relayed@127.0.0.1", ID: 1, Creation: 7}
	b := dist.BeginRegSend(nil, self, "echo")
	b, err = etf.AppendTerm(b, etf.Tuple{self, etf.Binary(random(100_000))})
	if err != nil {
		t.Fatal(err)
	}
	dist.End(b, 0)
	piece := make([]byte, 150_000)
	var wrote, got uint64
	for round := range 300 {
		for left := b[wrote%uint64(len(b)):]; len(left) > 0; { // sometimes it stops within a frame
			k, err := r.near.Write(left[:1+rand.IntN(len(left))])
			if err != nil {
				t.Fatal(err)
			}
			wrote += uint64(k)
			left = left[k:]
			if rand.IntN(4) == 0 {
				break
			}
		}
		_ = r.near.SetReadDeadline(time.Now().Add(time.Millisecond))
		k, err := r.near.Read(piece[:1+rand.IntN(len(piece))])
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		got += uint64(k)
		written, read, err := r.count.Position(r.fd, r.far)
		if err != nil || written-base != wrote || read-baseRead != got {
			t.Fatalf("round %d: written %d, read %d, %v, not %d, %d", round, written-base, read-baseRead, err, wrote, got)
		}
	}
	if got < 1<<20 {
		t.Errorf("only %d bytes were read", got)
	}
}

// TestRelayWords: an error between us and a real node is explained in words.
//
//erluv:releases
func TestRelayWords(t *testing.T) {
	p := newPKI(t, certtest.Wish{Names: []string{"127.0.0.1"}})
	stranger := certtest.NewAuthority("a stranger")
	other := p.node(t, true, "{versions, ['tlsv1.2', 'tlsv1.3']}")
	old := p.node(t, true, "{versions, ['tlsv1.2']}")
	plain := newNode(t, nodeOptions{noise: true})
	v12 := func(m *ipc.StartRelay, _ *ipc.Material) { m.MaxVersion = tls.VersionTLS12 }
	without := func(_ *ipc.StartRelay, mat *ipc.Material) { mat.Cert, mat.Key = nil, nil }
	strange := func(_ *ipc.StartRelay, mat *ipc.Material) { mat.Cert, mat.Key = stranger.Issue(certtest.Wish{}) }
	serverOnly := func(_ *ipc.StartRelay, mat *ipc.Material) {
		mat.Cert, mat.Key = p.ca.Issue(certtest.Wish{Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	}
	expired := func(_ *ipc.StartRelay, mat *ipc.Material) {
		mat.Cert, mat.Key = p.ca.Issue(certtest.Wish{From: time.Now().Add(-2 * time.Hour), To: time.Now().Add(-time.Hour)})
	}
	type change = func(*ipc.StartRelay, *ipc.Material)
	for name, tt := range map[string]struct {
		node    *node
		changes []change
		want    string
		late    bool // the error comes with the first read
	}{
		"another authority":    {other, []change{func(_ *ipc.StartRelay, mat *ipc.Material) { mat.CA = stranger.PEM }}, "is signed by none of the authorities", false},
		"another host":         {other, []change{func(m *ipc.StartRelay, _ *ipc.Material) { m.ServerName = "elsewhere" }}, "is for 127.0.0.1, not for elsewhere", false},
		"no certificate, 1.2":  {other, []change{v12, without}, "demands a certificate of ours", false},
		"no certificate, 1.3":  {other, []change{without}, "demands a certificate of ours", true},
		"unknown to it, 1.2":   {other, []change{v12, strange}, "does not know the authority", false},
		"unknown to it, 1.3":   {other, []change{strange}, "does not know the authority", true},
		"for servers only 1.2": {other, []change{v12, serverOnly}, "clientAuth", false},
		"for servers only 1.3": {other, []change{serverOnly}, "clientAuth", true},
		"expired, 1.2":         {other, []change{v12, expired}, "expired", false},
		"expired, 1.3":         {other, []change{expired}, "expired", true},
		"an older version":     {old, []change{func(m *ipc.StartRelay, _ *ipc.Material) { m.MinVersion = tls.VersionTLS13 }}, "takes none of the TLS versions", false},
		"a plain port":         {plain, nil, "without a word of TLS", false},
	} {
		t.Run(name, func(t *testing.T) {
			m, mat := toNode(tls.VersionTLS12, tls.VersionTLS13), p.ours()
			for _, c := range tt.changes {
				c(&m, &mat)
			}
			r := startRelay(t, tt.node.dial(t), m, mat)
			begin := time.Now()
			failed := r.answer()
			if tt.late && failed == "" {
				stopped, ok := r.hear().(ipc.Stopped)
				if !ok {
					t.Fatalf("%#v", stopped)
				}
				failed = stopped.Text
			} else if tt.late {
				t.Error("the handshake fails, not the first read")
			}
			t.Logf("after %v: %s", time.Since(begin).Round(time.Millisecond), failed)
			if !strings.Contains(failed, tt.want) {
				t.Errorf("%q", failed)
			}
		})
	}
	t.Run("a TLS port", func(t *testing.T) { // for a node without
		ctx, cancel := context.WithTimeout(t.Context(), startTime)
		defer cancel()
		conn := other.dial(t)
		defer conn.Close()
		us := local("plain@127.0.0.1")
		us.TLS = false
		if _, err := dist.Connect(ctx, conn, us, other.name); err == nil || !strings.Contains(err.Error(), "it speaks TLS") {
			t.Error(err)
		}
	})
	// The nodes live on.
	for _, n := range []*node{other, old, plain} {
		n.expect(t, "[]", "nodes(hidden)")
	}
}

// TestRelayAccepts: a node that does not know us connects over TLS.
//
//erluv:releases
func TestRelayAccepts(t *testing.T) {
	for name, v := range versions {
		t.Run(name, func(t *testing.T) {
			p := newPKI(t, certtest.Wish{Names: []string{"127.0.0.1"}})
			n := p.node(t, false, fmt.Sprintf("{versions, ['%s']}", name))
			listener, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			ctx, cancel := context.WithTimeout(t.Context(), evalTime)
			defer cancel()
			us := fmt.Sprintf("listens%d", serial.Add(1))
			reg, err := mapper.Register(ctx, epmd.String(), us, uint16(listener.Addr().(*net.TCPAddr).Port))
			if err != nil {
				t.Fatal(err)
			}
			defer reg.Close()
			full := us + "@127.0.0.1"
			connected := make(chan string, 1)
			go func() { // received below
				got, err := n.try("{ok, true} = {ok, net_kernel:connect_node('"+full+"')}, {echo, '"+full+"'} ! hello, ok", "-", evalTime)
				connected <- fmt.Sprint(got, err)
			}()
			_ = listener.(*net.TCPListener).SetDeadline(time.Now().Add(startTime))
			conn, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			m, mat := toNode(v, v), p.ours()
			m.Server, m.ServerName = true, ""
			// A node that dials looks up the host part of our name. OTP 25 treats an address as a
			// DNS name, 27 and 29 treat it as an address.
			mat.Cert, mat.Key = p.ca.Issue(certtest.Wish{DNSNames: []string{"127.0.0.1"}, Names: []string{"127.0.0.1"}})
			r := startRelay(t, conn, m, mat)
			r.ready()
			peer, err := dist.Accept(ctx, r.near, local(full), func(dist.Peer) string { return dist.StatusOK })
			if err != nil || peer.Name != n.name {
				t.Fatal(peer, err)
			}
			if got := <-connected; got != "ok<nil>" {
				t.Fatal(got)
			}
			if m := r.message(); m.Op != dist.RegSend || m.Name != "echo" {
				t.Errorf("%+v", m)
			}
		})
	}
}
