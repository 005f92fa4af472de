package dist_test

import (
	"context"
	"errors"
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
	local = dist.Local{Name: "erluv_1@host", Creation: 7, Cookie: "secret", Flags: dist.Default}
	good  = disttest.Node{Name: "n@host", Cookie: "secret", Creation: 0xfeedbeef, Challenge: 0xffffffff}
)

// outcome has the results of both sides of a handshake.
type outcome struct {
	peer      dist.Peer
	err       error
	client    disttest.Client
	acceptErr error
	after     []byte // bytes that the connecting side has read afterwards
}

// shake runs Connect against accept over a pipe, for at most 10 s.
func shake(t *testing.T, accept func(net.Conn) (disttest.Client, error)) (o outcome) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() { // ends with the pipe
		defer close(done)
		o.client, o.acceptErr = accept(theirs)
		theirs.Close()
	}()
	var err error
	o.peer, err = dist.Connect(ctx, ours, local, good.Name)
	if err == nil {
		o.after, _ = io.ReadAll(ours)
	}
	ours.Close()
	<-done
	o.err = err
	return o
}

func TestConnect(t *testing.T) {
	for _, status := range []string{"", "ok", "ok_simultaneous"} {
		node := good
		node.Status = status
		o := shake(t, node.Accept)
		if o.err != nil || o.acceptErr != nil {
			t.Fatalf("status %q: %v, %v", status, o.err, o.acceptErr)
		}
		if want := (dist.Peer{Name: "n@host", Flags: disttest.OTP27, Creation: 0xfeedbeef}); o.peer != want {
			t.Errorf("status %q: peer %+v, want %+v", status, o.peer, want)
		}
		if want := (disttest.Client{Name: local.Name, Flags: 0x4074F5FBC, Creation: 7}); o.client != want {
			t.Errorf("status %q: client %+v, want %+v", status, o.client, want)
		}
	}
}

// The bytes after the handshake belong to the child.
func TestConnectReadsNotAhead(t *testing.T) {
	node := good
	node.AfterName = []byte("what a later version adds")
	node.AfterAck = []byte("\x00\x00\x00\x00 and frames")
	o := shake(t, node.Accept)
	if o.err != nil {
		t.Fatal(o.err)
	}
	if string(o.after) != string(node.AfterAck) {
		t.Errorf("after the handshake %q is read, want %q", o.after, node.AfterAck)
	}
}

func TestConnectLeavesNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ours, theirs := net.Pipe()
		go func() {
			_, _ = good.Accept(theirs)
			<-time.After(time.Hour) // of the bubble
			_, _ = theirs.Write([]byte{1})
		}()
		if _, err := dist.Connect(ctx, ours, local, good.Name); err != nil {
			t.Fatal(err)
		}
		if _, err := ours.Read(make([]byte, 1)); err != nil {
			t.Errorf("an hour later: %v", err)
		}
	})
}

func TestConnectRefused(t *testing.T) {
	for status, advice := range map[string]string{
		dist.StatusNotOK:      "try again",
		dist.StatusNotAllowed: "net_kernel:allow/1",
		dist.StatusAlive:      "choose another name",
	} {
		node := good
		node.Status = status
		o := shake(t, node.Accept)
		var refused *dist.Refused
		if !errors.As(o.err, &refused) {
			t.Fatalf("status %q: %v", status, o.err)
		}
		if want := (dist.Refused{Status: status, Local: local.Name, Peer: good.Name}); *refused != want {
			t.Errorf("status %q: %+v, want %+v", status, *refused, want)
		}
		if !strings.Contains(o.err.Error(), advice) || !strings.Contains(o.err.Error(), good.Name) {
			t.Errorf("status %q: %q says neither what to do (%s) nor who refuses", status, o.err, advice)
		}
		if o.acceptErr != nil {
			t.Errorf("status %q: the other side: %v", status, o.acceptErr)
		}
		if status == dist.StatusAlive && o.client.Answer != "false" {
			t.Errorf("alive was answered by %q", o.client.Answer)
		}
	}
}

func TestConnectCookie(t *testing.T) {
	wrong, flipped := good, good
	wrong.Cookie = "secret2"
	flipped.AckDigest = make([]byte, 16)
	for name, node := range map[string]disttest.Node{"ends": wrong, "wrong proof": flipped} {
		o := shake(t, node.Accept)
		if !errors.Is(o.err, dist.ErrCookie) {
			t.Errorf("%s: %v", name, o.err)
		}
		if o.err != nil && strings.Contains(o.err.Error(), local.Cookie) {
			t.Errorf("%s: the error shows the cookie: %v", name, o.err)
		}
	}
}

// Connect refuses a node's forbidden behaviour with an explanation.
func TestConnectWrong(t *testing.T) {
	with := func(change func(*disttest.Node)) disttest.Node {
		node := good
		change(&node)
		return node
	}
	for want, node := range map[string]disttest.Node{
		`unknown status "ok\x00"`:       with(func(n *disttest.Node) { n.Status = "ok\x00" }),
		`unknown status "Ok"`:           with(func(n *disttest.Node) { n.Status = "Ok" }),
		`wants to name us`:              with(func(n *disttest.Node) { n.Status = "named:\x00\x01x\x00\x00\x00\x01" }),
		`calls itself "m@host"`:         with(func(n *disttest.Node) { n.Name = "m@host" }),
		`lacks the capabilities V4_NC:`: with(func(n *disttest.Node) { n.Flags = disttest.OTP27 &^ dist.FlagV4NC }),
		`EXIT_PAYLOAD UNLINK_ID`: with(func(n *disttest.Node) {
			n.Flags = disttest.OTP27 &^ dist.FlagUnlinkID &^ dist.FlagExitPayload
		}),
		`a digest of 15 bytes`: with(func(n *disttest.Node) { n.AckDigest = make([]byte, 15) }),
		`a digest of 17 bytes`: with(func(n *disttest.Node) { n.AckDigest = make([]byte, 17) }),
		`a digest of 0 bytes`:  with(func(n *disttest.Node) { n.AckDigest = []byte{} }),
		`a message of 4097 bytes`: with(func(n *disttest.Node) {
			n.AfterName = make([]byte, 4097-19-len(n.Name))
		}),
	} {
		o := shake(t, node.Accept)
		if o.err == nil || !strings.Contains(o.err.Error(), want) {
			t.Errorf("error %v, want one with %q", o.err, want)
		}
		if errors.Is(o.err, dist.ErrCookie) {
			t.Errorf("%v counts as a wrong cookie", o.err)
		}
	}
}

func TestConnectDigestFlag(t *testing.T) {
	node := good
	node.Flags = disttest.OTP27 &^ dist.Mandatory25
	if o := shake(t, node.Accept); o.err != nil || o.peer.Flags != disttest.OTP27 {
		t.Errorf("flags that MANDATORY_25_DIGEST stands for: %v, %v", o.peer.Flags, o.err)
	}
	node.Flags &^= dist.FlagMandatory25Digest
	if o := shake(t, node.Accept); o.err == nil {
		t.Error("a node without the mandatory flags was taken")
	}
}

// Connect refuses bytes that are no handshake without waiting for more.
func TestConnectJunk(t *testing.T) {
	for want, junk := range map[string]string{
		"a message of 65535 bytes":       "\xff\xff",
		"a message of 4097 bytes":        "\x10\x01",
		"a message of 0 bytes":           "\x00\x00",
		`type 'n' instead of 's'`:        "\x00\x03nok",
		"a message of 18516 bytes":       "HTTP/1.1 400 Bad Request\r\n",
		`a challenge of only 17 bytes`:   "\x00\x03sok\x00\x12N.................",
		`a challenge of only 18 bytes`:   "\x00\x03sok\x00\x13N................\x00\x01",
		`type 's' instead of 'N'`:        "\x00\x03sok\x00\x03sok",
		`at the answer to our name`:      "",
		`ended the connection at its ch`: "\x00\x03sok\x00\x17N",
	} {
		o := shake(t, func(conn net.Conn) (disttest.Client, error) {
			if _, err := io.ReadFull(conn, make([]byte, 2+15+len(local.Name))); err != nil {
				return disttest.Client{}, err
			}
			_, err := conn.Write([]byte(junk))
			return disttest.Client{}, err
		})
		if o.err == nil || !strings.Contains(o.err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", junk, o.err, want)
		}
	}
}

func TestConnectBadArguments(t *testing.T) {
	long := strings.Repeat("x", 1020)
	for name, c := range map[string]struct {
		local dist.Local
		peer  string
	}{
		"no creation":    {dist.Local{Name: "a@b", Cookie: "c"}, "n@host"},
		"no cookie":      {dist.Local{Name: "a@b", Creation: 1}, "n@host"},
		"no host":        {dist.Local{Name: "a", Cookie: "c", Creation: 1}, "n@host"},
		"empty host":     {dist.Local{Name: "a@", Cookie: "c", Creation: 1}, "n@host"},
		"empty name":     {dist.Local{Name: "@b", Cookie: "c", Creation: 1}, "n@host"},
		"two hosts":      {dist.Local{Name: "a@b@c", Cookie: "c", Creation: 1}, "n@host"},
		"long":           {dist.Local{Name: "a@" + long, Cookie: "c", Creation: 1}, "n@host"},
		"peer's no host": {local, "n"},
		"peer's long":    {local, long + "@x"},
		"own name":       {local, local.Name},
	} {
		// Connect must not use the nil connection.
		if _, err := dist.Connect(t.Context(), nil, c.local, c.peer); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestConnectAny: without a name Connect accepts any node with a valid name.
func TestConnectAny(t *testing.T) {
	for name, fine := range map[string]bool{"n@host": true, "m@other": true, "n": false, "": false, "@host": false} {
		node := good
		node.Name = name
		ours, theirs := net.Pipe()
		go func() { // ends with the pipe
			_, _ = node.Accept(theirs)
			theirs.Close()
		}()
		peer, err := dist.Connect(t.Context(), ours, local, "")
		ours.Close()
		if fine && (err != nil || peer.Name != name) || !fine && err == nil {
			t.Errorf("%q: %+v, %v", name, peer, err)
		}
	}
}
