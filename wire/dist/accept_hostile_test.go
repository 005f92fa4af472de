package dist_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"erluv/wire/dist"
	"erluv/wire/dist/disttest"
)

// greeting is the first message of a node in its encoded form.
func greeting(name string, after ...byte) string {
	m := binary.BigEndian.AppendUint64([]byte{'N'}, uint64(disttest.OTP27))
	m = binary.BigEndian.AppendUint32(m, 1)
	m = binary.BigEndian.AppendUint16(m, uint16(len(name)))
	m = append(append(m, name...), after...)
	return string(binary.BigEndian.AppendUint16(nil, uint16(len(m)))) + string(m)
}

// Accept refuses bytes that are no handshake without waiting for more. Each string is everything
// that the other side sends. It does not end the connection, unless the wanted text says so.
func TestAcceptJunk(t *testing.T) {
	good := greeting("n@host")
	for _, c := range []struct{ status, junk, want string }{
		{"", "", "a connection: it ended before its name"},
		{"", good[:1], "it ended before its name"},
		{"", good[:20], "it ended before its name"},
		{"", "\x00\x00", "a message of 0 bytes"},
		{"", "\xff\xff", "a message of 65535 bytes"},
		{"", "\x08\x01", "a message of 2049 bytes instead of 1 to 2048"},
		{"", "GET / HTTP/1.1\r\n", "a message of 18245 bytes"},
		{"", "SSH-2.0-OpenSSH\r\n", "is it a distribution port?"},
		{"", "\x16\x03\x01\x02\x00\x01", "it speaks TLS"},
		{"", "\x00\x0dn\x00\x05\x00\x00\x00\x00n@host", "type 'n' instead of 'N'"}, // version 5, of OTP 22
		{"", "\x00\x03sok", "type 's' instead of 'N'"},
		{"", "\x00\x01N", "a name in a message of only 1 bytes"},
		{"", "\x00\x0eN.............", "a name in a message of only 14 bytes"},
		{"", "\x00\x0fN............\x00\x01", "a name in a message of only 15 bytes"},
		{"", "\x00\x0fN............\xff\xff", "a name in a message of only 15 bytes"},
		{"ok", good, `the connection of "n@host": it ended before its answer to our challenge`},
		{"ok", good + "\x00\x00", "a message of 0 bytes"},
		{"ok", good + "\x00\x16r", "a message of 22 bytes instead of 1 to 21"},
		{"ok", good + "\x00\x01r", "a digest of 0 bytes"},
		{"ok", good + "\x00\x14r...................", "a digest of 15 bytes"},
		{"ok", good + "\x00\x15c....................", "type 'c' instead of 'r'"},
		{"ok", good + "\x00\x05strue", "type 's' instead of 'r'"},
		{"ok", good + "\x00\x15r....................", "the cookies differ"},
		{"alive", good, "it ended before the answer whether the old connection is given up"},
		{"alive", good + "\x00\x05sTrue", `it answers the status alive with "True"`},
		{"alive", good + "\x00\x01s", `it answers the status alive with ""`},
		{"alive", good + "\x00\x07sfalse.", "a message of 7 bytes instead of 1 to 6"},
		{"alive", good + "\x00\x05rtrue", "type 'r' instead of 's'"},
		{"maybe", good, `"maybe" is no status`},
	} {
		m := meet(t, c.status, func(conn net.Conn) (disttest.Host, error) {
			written := make(chan error, 1)
			go func() { // ends with the pipe
				_, err := io.WriteString(conn, c.junk)
				written <- err
			}()
			if strings.Contains(c.want, "it ended") {
				answered := map[string]int{"ok": 2 + len("sok") + 2 + 19 + len(server.Name), "alive": 2 + len("salive")}
				_, err := io.ReadFull(conn, make([]byte, answered[c.status]))
				if c.status == "" {
					err = <-written
				}
				conn.Close()
				return disttest.Host{}, err
			}
			_, err := io.Copy(io.Discard, conn)
			return disttest.Host{}, err
		})
		if m.err == nil || !strings.Contains(m.err.Error(), c.want) {
			t.Errorf("%q: error %v, want one with %q", c.junk, m.err, c.want)
		}
	}
}

// callerBytes is how much the connecting side sends in a whole handshake.
var callerBytes = 2 + 15 + len(caller.Name) + 2 + len("strue") + 2 + 21

// A connection that ends after any byte of the handshake is an error. One that ends after the last
// byte is not.
func TestAcceptTruncated(t *testing.T) {
	for n := 0; n <= callerBytes; n++ {
		m := meet(t, dist.StatusAlive, func(conn net.Conn) (disttest.Host, error) {
			return caller.Connect(&cutConn{conn, n, true})
		})
		if (m.err == nil) != (n == callerBytes) || errors.Is(m.err, dist.ErrCookie) {
			t.Errorf("ended after %d of %d bytes: error %v", n, callerBytes, m.err)
		}
	}
}

// Accept waits for a peer that falls silent after any byte, or reads nothing. It waits exactly as
// long as the context allows.
func TestAcceptSilent(t *testing.T) {
	const patience = 7 * time.Second
	for n := range callerBytes {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			ours, theirs := net.Pipe()
			go func() { _, _ = caller.Connect(&cutConn{theirs, n, false}) }()
			start := time.Now()
			_, err := dist.Accept(ctx, ours, server, func(dist.Peer) string { return dist.StatusAlive })
			if !errors.Is(err, context.DeadlineExceeded) {
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

// A byte now and then does not extend the time.
func TestAcceptSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() { // ends with the pipe
			defer close(done)
			for _, b := range []byte(greeting("n@host")) {
				if _, err := theirs.Write([]byte{b}); err != nil {
					return
				}
				<-time.After(time.Second)
			}
		}()
		start := time.Now()
		if _, err := dist.Accept(ctx, ours, server, ok); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a byte a second: %v", err)
		}
		if took := time.Since(start); took != 7*time.Second {
			t.Errorf("a byte a second: gave up after %v", took)
		}
		ours.Close()
		theirs.Close()
		<-done
	})
}

// flood is the connection of a stranger that sends as much as Accept reads. It counts the bytes.
type flood struct {
	net.Conn
	next io.Reader
	read int
}

func (f *flood) Read(b []byte) (int, error) {
	n, err := f.next.Read(b)
	f.read += n
	return n, err
}
func (*flood) Write(b []byte) (int, error)   { return len(b), nil }
func (*flood) SetDeadline(_ time.Time) error { return nil }

// Strangers send the longest messages, or random bytes. Accept reads at most 4,096 bytes of each,
// and they cost little more memory than that.
func TestAcceptHostile(t *testing.T) {
	const strangers = 2000
	full := greeting("n@host", make([]byte, 2048-15-6)...)
	for name, sent := range map[string]string{
		"gives up":      full + "\x00\x06sfalse",
		"goes on":       full + "\x00\x05strue\x00\x15r" + strings.Repeat(".", 1<<20),
		"only the most": strings.Repeat("\x08\x00N", 1<<20),
		"junk":          random(1 << 20),
		"lengths":       strings.Repeat("\xff", 1<<20),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range strangers {
			f := &flood{next: strings.NewReader(sent)}
			_, err := dist.Accept(t.Context(), f, server, func(dist.Peer) string { return dist.StatusAlive })
			if err == nil {
				t.Fatalf("%s: a stranger is taken for a node", name)
			}
			if f.read > 4096 {
				t.Fatalf("%s: %d bytes are read: %v", name, f.read, err)
			}
		}
		runtime.ReadMemStats(&after)
		if each := (after.TotalAlloc - before.TotalAlloc) / strangers; each > 8<<10 {
			t.Errorf("%s: a stranger costs %d bytes of memory", name, each)
		}
	}
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // the same each time
	return string(b)
}
