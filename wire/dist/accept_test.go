package dist_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"erluv/wire/dist"
	"erluv/wire/dist/disttest"
)

var (
	// server accepts, and caller connects to it.
	server = dist.Local{Name: "erluv_1@host", Creation: 7, Cookie: "secret", Flags: dist.Default}
	caller = disttest.Caller{Name: "n@host", Cookie: "secret", Creation: 0xfeedbeef, Challenge: 0xffffffff}
)

func ok(dist.Peer) string { return dist.StatusOK }

// meeting has the results of both sides of a handshake.
type meeting struct {
	peer       dist.Peer
	err        error
	asked      []dist.Peer // the arguments of decide
	host       disttest.Host
	connectErr error
}

// meet runs Accept, which answers status, against connect over a pipe, for at most 10 s.
func meet(t *testing.T, status string, connect func(net.Conn) (disttest.Host, error)) (m meeting) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() { // ends with the pipe
		defer close(done)
		m.host, m.connectErr = connect(theirs)
		theirs.Close()
	}()
	m.peer, m.err = dist.Accept(ctx, ours, server, func(p dist.Peer) string {
		m.asked = append(m.asked, p)
		return status
	})
	ours.Close()
	<-done
	return m
}

func TestAccept(t *testing.T) {
	for _, status := range []string{dist.StatusOK, dist.StatusOKSimultaneous, dist.StatusAlive} {
		m := meet(t, status, caller.Connect)
		if m.err != nil || m.connectErr != nil {
			t.Fatalf("status %q: %v, %v", status, m.err, m.connectErr)
		}
		want := dist.Peer{Name: "n@host", Flags: disttest.OTP27, Creation: 0xfeedbeef}
		if m.peer != want || len(m.asked) != 1 || m.asked[0] != want {
			t.Errorf("status %q: peer %+v, decided about %+v, want %+v", status, m.peer, m.asked, want)
		}
		if want := (disttest.Host{Status: status, Name: server.Name, Flags: 0x4074F5FBC, Creation: 7, Challenge: m.host.Challenge}); m.host != want {
			t.Errorf("status %q: host %+v, want %+v", status, m.host, want)
		}
	}
}

// An overheard proof proves nothing the next time.
func TestAcceptChallenges(t *testing.T) {
	seen := map[uint32]bool{}
	for range 10 {
		seen[meet(t, dist.StatusOK, caller.Connect).host.Challenge] = true
	}
	if len(seen) < 9 { // two of 2^32 are the same once in 100 million runs
		t.Errorf("%d challenges for 10 nodes", len(seen))
	}
}

// Our own two sides understand each other.
func TestAcceptConnect(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ours, theirs := net.Pipe()
	defer ours.Close()
	done := make(chan error, 1)
	go func() { // ends with the handshake
		defer theirs.Close()
		peer, err := dist.Connect(ctx, theirs, dist.Local{Name: "n@host", Creation: 9, Cookie: "secret", Flags: dist.Default}, server.Name)
		if want := (dist.Peer{Name: server.Name, Flags: dist.Default, Creation: 7}); err == nil && peer != want {
			t.Errorf("the connecting side: %+v, want %+v", peer, want)
		}
		done <- err
	}()
	peer, err := dist.Accept(ctx, ours, server, ok)
	if want := (dist.Peer{Name: "n@host", Flags: dist.Default, Creation: 9}); err != nil || peer != want {
		t.Errorf("the accepting side: %+v, %v, want %+v", peer, err, want)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The bytes after the handshake belong to the child.
func TestAcceptReadsNotAhead(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // a pipe would block a side that writes ahead
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := caller
	c.AfterName = []byte("what a later version adds")
	c.AfterReply = []byte("\x00\x00\x00\x00 and frames")
	connected := make(chan error, 1)
	go func() { // ends with the handshake
		conn, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			_, err = c.Connect(conn)
			conn.Close()
		}
		connected <- err
	}()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := dist.Accept(ctx, conn, server, ok); err != nil {
		t.Fatal(err)
	}
	if after, _ := io.ReadAll(conn); string(after) != string(c.AfterReply) {
		t.Errorf("after the handshake %q is read, want %q", after, c.AfterReply)
	}
	if err := <-connected; err != nil {
		t.Error(err)
	}
}

func TestAcceptLeavesNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ours, theirs := net.Pipe()
		go func() {
			_, _ = caller.Connect(theirs)
			<-time.After(time.Hour) // of the bubble
			_, _ = theirs.Write([]byte{1})
		}()
		if _, err := dist.Accept(ctx, ours, server, ok); err != nil {
			t.Fatal(err)
		}
		if _, err := ours.Read(make([]byte, 1)); err != nil {
			t.Errorf("an hour later: %v", err)
		}
	})
}

func TestAcceptDeclined(t *testing.T) {
	c := caller
	c.Answer = "false"
	for _, status := range []string{dist.StatusNotOK, dist.StatusNotAllowed, dist.StatusAlive} {
		m := meet(t, status, c.Connect)
		var declined *dist.Declined
		if !errors.As(m.err, &declined) || *declined != (dist.Declined{Status: status, Peer: "n@host"}) {
			t.Errorf("status %q: %v", status, m.err)
		}
		if m.host.Status != status || m.connectErr != nil {
			t.Errorf("status %q: the other side hears %q, %v", status, m.host.Status, m.connectErr)
		}
		if !strings.Contains(m.err.Error(), "n@host") {
			t.Errorf("status %q: %q does not say who", status, m.err)
		}
	}
}

func TestAcceptCookie(t *testing.T) {
	wrong, flipped := caller, caller
	wrong.Cookie = "secret2"
	flipped.ReplyDigest = make([]byte, 16)
	for name, c := range map[string]disttest.Caller{"another cookie": wrong, "wrong proof": flipped} {
		m := meet(t, dist.StatusOK, c.Connect)
		if !errors.Is(m.err, dist.ErrCookie) || strings.Contains(m.err.Error(), server.Cookie) {
			t.Errorf("%s: %v", name, m.err)
		}
		if !errors.Is(m.connectErr, disttest.ErrDigest) { // nothing is proved to it
			t.Errorf("%s: the other side: %v", name, m.connectErr)
		}
	}
}

// Accept refuses a node that is never acceptable before it calls decide.
func TestAcceptWrongCaller(t *testing.T) {
	with := func(change func(*disttest.Caller)) disttest.Caller {
		c := caller
		change(&c)
		return c
	}
	named := func(name string) disttest.Caller {
		return with(func(c *disttest.Caller) { c.Name = name })
	}
	for want, c := range map[string]disttest.Caller{
		"has the form name@host":           named("n"),
		"the form name@host ":              named(""),
		"the connection of \"@h\"":         named("@h"),
		"the connection of \"n@\"":         named("n@"),
		"the connection of \"n@h@h\"":      named("n@h@h"),
		`"n\n@h": a name with characters`:  named("n\n@h"),
		`"n @h": a name with characters`:   named("n @h"),
		`"n\xe9@h": a name with char`:      named("n\xe9@h"), // é in Latin-1, as OTP sends it here
		"\"n\u00e9@h\": a name with":       named("n\u00e9@h"),
		"a name of 256 characters":         named("n@" + strings.Repeat("x", 254)),
		"a name of 1021 bytes":             named("n@" + strings.Repeat("x", 1019)),
		"our own name":                     named(server.Name),
		"lacks the capabilities V4_NC:":    with(func(c *disttest.Caller) { c.Flags = disttest.OTP27 &^ dist.FlagV4NC }),
		"wants to be given a name":         with(func(c *disttest.Caller) { c.Name = "vm"; c.Flags = disttest.OTP27 | dist.FlagNameMe }),
		"EXTENDED_REFERENCES FUN_TAGS NEW": with(func(c *disttest.Caller) { c.Flags = disttest.OTP27 &^ dist.Mandatory25 &^ dist.FlagMandatory25Digest }),
	} {
		m := meet(t, dist.StatusOK, c.Connect)
		if m.err == nil || !strings.Contains(m.err.Error(), strings.TrimSpace(want)) {
			t.Errorf("error %v, want one with %q", m.err, want)
		}
		if m.host.Status != dist.StatusNotAllowed || m.connectErr != nil {
			t.Errorf("%s: it hears %q, %v", want, m.host.Status, m.connectErr)
		}
		if len(m.asked) > 0 {
			t.Errorf("%s: decided about %+v", want, m.asked)
		}
	}
	long := named("n@" + strings.Repeat("x", 253))
	if m := meet(t, dist.StatusOK, long.Connect); m.err != nil || m.peer.Name != long.Name {
		t.Errorf("the longest name: %v", m.err)
	}
	digest := caller
	digest.Flags = disttest.OTP27 &^ dist.Mandatory25
	if m := meet(t, dist.StatusOK, digest.Connect); m.err != nil || m.peer.Flags != disttest.OTP27 {
		t.Errorf("flags that MANDATORY_25_DIGEST stands for: %v, %v", m.peer.Flags, m.err)
	}
}

func TestAcceptBadArguments(t *testing.T) {
	for name, local := range map[string]dist.Local{
		"no creation": {Name: "a@b", Cookie: "c"},
		"no cookie":   {Name: "a@b", Creation: 1},
		"no host":     {Name: "a", Cookie: "c", Creation: 1},
	} {
		// Accept must not use the nil connection.
		if _, err := dist.Accept(t.Context(), nil, local, ok); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSimultaneous(t *testing.T) {
	for _, c := range []struct{ local, peer, want string }{
		{"b@h", "a@h", dist.StatusNotOK},
		{"a@h", "b@h", dist.StatusOKSimultaneous},
		{"a@h", "a@h2", dist.StatusOKSimultaneous},
		{"a@h", "B@h", dist.StatusNotOK}, // bytes, not letters
	} {
		if got := dist.Simultaneous(c.local, c.peer); got != c.want {
			t.Errorf("%s is dialled by %s: %q, want %q", c.local, c.peer, got, c.want)
		}
	}
}

// script is a connection on which the bytes b arrive. If proof is set, the right answer to the last
// challenge follows them.
type script struct {
	flood
	in    bytes.Buffer
	out   bytes.Buffer
	proof bool
}

func (s *script) Read(b []byte) (int, error) {
	if s.in.Len() == 0 && s.proof {
		s.proof = false
		s.in.Write(s.reply())
	}
	n, err := s.in.Read(b)
	s.read += n
	return n, err
}

func (s *script) Write(b []byte) (int, error) { return s.out.Write(b) }

// reply answers the last message, if it is a challenge.
func (s *script) reply() []byte {
	var last []byte
	for out := s.out.Bytes(); len(out) > 2; {
		n := int(binary.BigEndian.Uint16(out))
		last, out = out[2:2+n], out[2+n:]
	}
	if len(last) < 19 || last[0] != 'N' {
		return nil
	}
	m := append([]byte{0, 21, 'r'}, 1, 2, 3, 4)
	sum := md5.Sum(fmt.Appendf(nil, "%s%d", server.Cookie, binary.BigEndian.Uint32(last[9:])))
	return append(m, sum[:]...)
}

// TestLengthsInTLS: one or both sides know that they are in TLS.
func TestLengthsInTLS(t *testing.T) {
	for _, tt := range []struct{ calls, accepts bool }{{true, true}, {true, false}, {false, true}} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		ours, theirs := net.Pipe()
		var seen bytes.Buffer // the bytes of the connecting side
		done := make(chan error)
		go func() { // ends with the pipe
			from := server
			from.Name, from.TLS = "n@host", tt.calls
			_, err := dist.Connect(ctx, tee{theirs, &seen}, from, server.Name)
			theirs.Close()
			done <- err
		}()
		to := server
		to.TLS = tt.accepts
		peer, err := dist.Accept(ctx, ours, to, ok)
		ours.Close()
		callErr := <-done
		cancel()
		if tt.calls != tt.accepts {
			if err == nil || callErr == nil {
				t.Errorf("%v: %v, %v", tt, err, callErr)
			}
			continue
		}
		if err != nil || callErr != nil || peer.Name != "n@host" {
			t.Errorf("%v, %v, %+v", err, callErr, peer)
		}
		if !bytes.HasPrefix(seen.Bytes(), []byte("\x00\x00\x00\x15N")) {
			t.Errorf("it begins with % x", seen.Bytes()[:min(5, seen.Len())])
		}
	}
}

// tee keeps written bytes.
type tee struct {
	net.Conn
	seen *bytes.Buffer
}

func (c tee) Write(b []byte) (int, error) {
	c.seen.Write(b)
	return c.Conn.Write(b)
}
