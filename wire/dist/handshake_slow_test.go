package dist_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"erluv/wire/dist"
	"erluv/wire/dist/disttest"
)

// handshakeBytes is how much the accepting side sends in a whole handshake.
var handshakeBytes = 2 + len("sok") + 2 + 19 + len(good.Name) + 2 + 17

// cutConn writes only left more bytes, one at a time. Then it either ends the connection or leaves
// it open and silent.
type cutConn struct {
	net.Conn
	left int
	end  bool
}

func (c *cutConn) Write(b []byte) (int, error) {
	for i := range b {
		if c.left == 0 {
			if c.end {
				c.Conn.Close()
			}
			return i, io.ErrClosedPipe
		}
		c.left--
		if _, err := c.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// A connection that ends after any byte of the handshake is an error. One that ends after the last
// byte is not. Only an end in place of the proof means that the cookie is wrong.
func TestConnectTruncated(t *testing.T) {
	for n := 0; n <= handshakeBytes; n++ {
		o := shake(t, func(conn net.Conn) (disttest.Client, error) {
			return good.Accept(&cutConn{conn, n, true})
		})
		if (o.err == nil) != (n == handshakeBytes) {
			t.Errorf("ended after %d of %d bytes: error %v", n, handshakeBytes, o.err)
		}
		if errors.Is(o.err, dist.ErrCookie) != (n == handshakeBytes-19) {
			t.Errorf("ended after %d of %d bytes: %v", n, handshakeBytes, o.err)
		}
	}
}

// Connect waits for a peer that falls silent after any byte exactly as long as the context allows.
func TestConnectSilent(t *testing.T) {
	const patience = 7 * time.Second
	for n := range handshakeBytes {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			ours, theirs := net.Pipe()
			go func() { _, _ = good.Accept(&cutConn{theirs, n, false}) }()
			start := time.Now()
			_, err := dist.Connect(ctx, ours, local, good.Name)
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, dist.ErrCookie) {
				t.Errorf("silent after %d bytes: %v", n, err)
			}
			if took := time.Since(start); took != patience {
				t.Errorf("silent after %d bytes: gave up after %v", n, took)
			}
			ours.Close()
			theirs.Close()
		})
	}
}

func TestConnectCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("SIGTERM")
		ctx, cancel := context.WithCancelCause(t.Context())
		ours, theirs := net.Pipe() // the name is never read
		time.AfterFunc(time.Second, func() { cancel(why) })
		if _, err := dist.Connect(ctx, ours, local, good.Name); !errors.Is(err, why) {
			t.Errorf("cancelled: %v", err)
		}
		ours.Close()
		theirs.Close()
	})
}
