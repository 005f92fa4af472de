package relay

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"erluv/ipc"
	"erluv/ipc/counters"

	"golang.org/x/sys/unix"
)

const (
	// startTimeout bounds the conversation with main before there is something to relay.
	startTimeout = 30 * time.Second

	// lingerBound is how long the node may take to end the connection once the child has. It is
	// also how long the relay still reads from a node that accepts no more data.
	lingerBound = 5 * time.Second

	// outSize is the size of the buffer from the inner stream to TLS, in bytes. A Unix socket holds
	// some 200 KiB, and one read takes this much of it.
	outSize = 128 << 10

	// inSize is the size of the buffer from TLS to the inner stream: as many records of 16 KiB as
	// the socket's buffer holds.
	inSize = 128 << 10
)

// Main is the role: it speaks with main on descriptor 3 and relays until either side ends.
func Main() error {
	up, err := ipc.Begin(ipc.RoleRelay)
	// The role has run on the first thread until here. Without a thread of their own the relaying
	// goroutines wake faster.
	runtime.UnlockOSThread()
	if err != nil {
		return err
	}
	var asked atomic.Pointer[relay] // the relay to dump; nil: it does not serve yet
	ipc.AtQuit(func() {
		if r := asked.Load(); r != nil {
			r.log.Always("how the relay stands", "what", r.describe(), "server", r.start.Server)
		}
	})
	return serve(up, &asked)
}

// serve is the role on its conversation with main, which the caller owns. While the relay serves,
// asked has it.
func serve(up *ipc.Conn, asked *atomic.Pointer[relay]) error {
	r, err := start(up)
	if errors.Is(err, io.EOF) {
		return nil // main has given the relay up, and reports the reason
	}
	if err != nil { // mostly of unusable files
		return up.Send(ipc.Append(nil, ipc.Failed{Text: err.Error()}), startTimeout)
	}
	defer r.close()
	if err := r.handshake(); err != nil {
		// That is no failure of the relay, and main reports it.
		return up.Send(ipc.Append(nil, ipc.Failed{Text: err.Error()}), startTimeout)
	}
	if r.log.Debugs {
		r.log.Debug("the connection speaks TLS", "what", r.describe())
	}
	if err := up.Send(ipc.Append(nil, ipc.Ready{}), startTimeout); err != nil {
		return fmt.Errorf("cannot tell main that the relay is ready: %w", err)
	}
	asked.Store(r)
	listened := make(chan struct{})
	go func() { // ends with the conversation, whose reading side is shut down below
		defer close(listened)
		r.listen(up)
	}()
	why, failed := r.relay()
	cause := ipc.CauseAsked
	if failed {
		cause = ipc.CauseDisconnected
	}
	// Before the inner stream ends, so that main has the reason once the end is noticed.
	r.saying.Lock()
	_ = up.Send(ipc.Append(nil, ipc.Stopped{Cause: cause, Text: why}), startTimeout)
	r.saying.Unlock()
	_ = unix.Shutdown(up.FD(), unix.SHUT_RD)
	<-listened
	return nil
}

// relay owns the connection, the relay's end of the inner stream, and the counters.
type relay struct {
	log    *ipc.Logger
	start  ipc.StartRelay
	socket *socket
	inner  *inner
	tls    *tls.Conn

	saying sync.Mutex // held during each message to main, which two goroutines send

	ending  sync.Mutex // guards the deadlines, once the connection is up
	givenUp bool       // the deadlines have passed for good
}

// start takes over main's descriptors.
func start(up *ipc.Conn) (r *relay, err error) {
	msg, fds, log, err := ipc.Greet(up, ipc.RoleRelay, ipc.RelayFDs, startTimeout)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			ipc.CloseAll(fds)
		}
	}()
	m, ok := msg.(ipc.StartRelay)
	if !ok {
		return nil, fmt.Errorf("main sent %T instead of a start", msg)
	}
	material, err := m.Unpack(fds[3])
	if err != nil {
		return nil, err
	}
	config, err := configOf(m, material)
	if err != nil {
		return nil, err
	}
	count, err := counters.Map(fds[2])
	if err != nil {
		return nil, err
	}
	ipc.CloseAll(fds[2:])
	conn, stream := fds[0], fds[1]
	fds = nil
	ipc.Trace(up, log.Logger, "main")
	r = &relay{log: log, start: m}
	file, err := pollable(stream, "the inner stream")
	if err != nil {
		_ = unix.Close(conn)
		_ = count.Close()
		return nil, err
	}
	r.inner = &inner{file, count}
	if r.socket, err = newSocket(conn); err != nil {
		_ = file.Close()
		_ = count.Close()
		return nil, err
	}
	if m.Server {
		r.tls = tls.Server(r.socket, config)
	} else {
		r.tls = tls.Client(r.socket, config)
	}
	return r, nil
}

func (r *relay) close() {
	r.inner.shut(unix.SHUT_RDWR)
	_ = r.inner.Close()
	_ = r.socket.Close()
	_ = r.inner.count.Close()
}

// handshake does TLS's handshake. Its error is for people.
func (r *relay) handshake() error {
	bound := time.Duration(r.start.TimeoutMS) * time.Millisecond
	_ = r.socket.SetDeadline(time.Now().Add(bound))
	if err := r.tls.Handshake(); err != nil {
		return errors.New(words(err, r.socket.heard.Load(), bound))
	}
	return r.socket.SetDeadline(time.Time{})
}

// describe returns the result of the handshake, for the log.
func (r *relay) describe() string {
	s := r.tls.ConnectionState()
	text := fmt.Sprintf("%s with %s", tls.VersionName(s.Version), tls.CipherSuiteName(s.CipherSuite))
	if len(s.PeerCertificates) == 0 {
		return text + "; the node showed no certificate"
	}
	c := s.PeerCertificates[0]
	return fmt.Sprintf("%s; the node's certificate is for %s, issued by %q, valid until %s", text, names(c), c.Issuer.String(), date(c.NotAfter))
}

// listen answers main's questions whether the relay lives, and gives up when the conversation ends.
func (r *relay) listen(up *ipc.Conn) {
	buf := make([]byte, 64)
	for {
		n, fds, err := up.Recv(buf, 0)
		ipc.CloseAll(fds)
		if err == nil {
			var m ipc.Message
			if m, err = ipc.Decode(buf[:n]); err == nil && m == ipc.Message(ipc.Beat{}) {
				r.saying.Lock()
				err = up.TrySend(ipc.Append(nil, ipc.Beat{}))
				r.saying.Unlock()
			}
		}
		if err != nil {
			r.interrupt()
			return
		}
	}
}

// past is a deadline that makes all waiting calls return.
var past = time.Unix(1, 0)

// interrupt makes both directions return.
func (r *relay) interrupt() {
	r.ending.Lock()
	defer r.ending.Unlock()
	r.givenUp = true
	_ = r.socket.SetDeadline(past)
	_ = r.inner.SetDeadline(past)
}

// linger gives the node lingerBound to end the connection. The relay reads its data until then.
func (r *relay) linger() {
	r.ending.Lock()
	defer r.ending.Unlock()
	if !r.givenUp {
		_ = r.socket.SetReadDeadline(time.Now().Add(lingerBound))
	}
}

// relay relays until both directions have ended. It returns why, for people, and whether that is a
// failure.
func (r *relay) relay() (why string, failed bool) {
	out := make(chan error)
	go func() { // ends with the direction; received below
		err := r.out()
		if err != nil {
			// The node accepts no more data. Its own last data, and its reason, may still be
			// useful.
			r.linger()
		}
		out <- err
	}()
	inErr := r.in()
	if inErr != nil {
		r.interrupt()
	}
	outErr := <-out
	switch {
	case inErr != nil && !errors.Is(inErr, os.ErrDeadlineExceeded):
		return words(inErr, true, 0), true
	case outErr != nil && !errors.Is(outErr, os.ErrDeadlineExceeded):
		return words(outErr, true, 0), true
	case inErr != nil:
		return "the connection was given up", false
	}
	return "the connection has ended", false
}

// out relays from the inner stream to the node. It returns no error at the stream's end.
func (r *relay) out() error {
	b := make([]byte, outSize)
	for {
		n, err := r.inner.Read(b)
		if err != nil {
			return err
		}
		if n == 0 {
			err := r.tls.CloseWrite()
			if r.inner.forsaken() {
				r.socket.closeWrite()
				r.linger()
			}
			return err
		}
		if _, err := r.tls.Write(b[:n]); err != nil {
			return err
		}
		r.inner.count.NodeWritten(n)
	}
}

// read waits for data of the node, and also takes further records that have arrived.
func (r *relay) read(b []byte) (n int, err error) {
	n, err = r.tls.Read(b)
	r.socket.noWait = true
	for err == nil && len(b)-n >= 1<<14 && r.socket.has() {
		var more int
		more, err = r.tls.Read(b[n:])
		n += more
	}
	r.socket.noWait = false
	if errors.Is(err, errWait) { // the last record was one of TLS's own
		err = nil
	}
	return n, err
}

// in relays from the node to the inner stream. It returns no error when the node has ended the
// stream in good order.
func (r *relay) in() error {
	b := make([]byte, inSize)
	gone := false
	for {
		n, err := r.read(b)
		r.inner.count.NodeRead(n)
		if n > 0 && !gone {
			_, no := r.inner.Write(b[:n])
			if gone = errors.Is(no, errGone); no != nil && !gone {
				return no
			}
			if gone {
				// The child's remaining data still goes out. Data for the child is dropped.
				r.linger()
			}
		}
		if err == io.EOF && r.socket.ended.Load() {
			err = io.ErrUnexpectedEOF // crypto/tls accepts an end without a close_notify
		}
		if err == io.EOF {
			r.inner.shut(unix.SHUT_WR)
			return nil
		}
		if err != nil {
			return err
		}
	}
}
