package crew

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"erluv/ipc"
	"erluv/mainproc/permit"
	"erluv/sandbox"

	"golang.org/x/sys/unix"
)

// Relays starts relays, one for each connection with TLS. They are no part of a crew, since
// a connection outlives those.
type Relays struct {
	starter *starter
	own     bool // the starter is nobody else's
	id      sandbox.Identity
	living  sync.WaitGroup // relays that have not ended, and been let go of
}

// NewRelays makes what starts relays without crews.
func NewRelays(id sandbox.Identity, parts sandbox.Parts) (*Relays, error) {
	s, err := newStarter(parts)
	if err != nil {
		return nil, err
	}
	return newRelays(s, true, id), nil
}

func newRelays(s *starter, own bool, id sandbox.Identity) *Relays {
	id.Keeper = 0 // it has nothing to do with control groups
	return &Relays{starter: s, own: own, id: id}
}

// Close waits until all relays have ended, of which each has been closed.
func (r *Relays) Close() {
	r.living.Wait()
	if r.own {
		r.starter.close()
	}
}

// farFD is the relay's end of the inner stream in what comes with an ipc.StartRelay.
const farFD = 1

// wordBound is how long before the end of a start the relay gives the handshake up, so that
// there is time to say why.
const wordBound = 500 * time.Millisecond

// Start starts a relay with these descriptors (ipc.StartRelay), and returns when it relays;
// its handshake ends with ctx. An error that is a RelayError is the relay's word of it.
func (r *Relays) Start(ctx context.Context, m ipc.StartRelay, fds ...int) (*Relay, error) {
	p, err := r.starter.start(ipc.RoleRelay, r.id, containment{})
	if err != nil {
		return nil, err
	}
	relay := &Relay{p: p, of: r, said: make(chan struct{}), ended: make(chan struct{})}
	err = during(ctx, p.kill, func() error {
		if err := p.greet(r.id); err != nil {
			return err
		}
		if end, ok := ctx.Deadline(); ok {
			m.TimeoutMS = uint32(max(1, (time.Until(end) - wordBound).Milliseconds()))
		}
		return relay.begin(m, fds)
	})
	if err != nil {
		p.discard()
		r.starter.forget(p.pid)
		return nil, err
	}
	r.living.Add(1)
	go relay.watch() // ends with the relay, which Close ends
	return relay, nil
}

// A RelayError is why a relay could not speak TLS with the node, in words for people.
type RelayError struct{ Text string }

func (e *RelayError) Error() string { return e.Text }

// Relay is a relay that serves. It ends with the connection, and by Close.
type Relay struct {
	p    *process
	of   *Relays
	file *os.File // owns a descriptor of the conversation, in the runtime's poller
	far  int      // the relay's end of the inner stream; watch's

	closing sync.Once
	said    chan struct{} // closed: why is known
	ended   chan struct{} // closed: the process was reaped
	why     string        // set before said is closed; "": in good order
}

// begin hands over what the relay serves with, and waits for its handshake with the node.
func (r *Relay) begin(m ipc.StartRelay, fds []int) error {
	if err := r.p.send(m, fds...); err != nil {
		return err
	}
	r.p.heard.At = permit.AtStart
	// The relay has a bound of its own for the handshake.
	msg, err := r.p.hear(time.Duration(m.TimeoutMS)*time.Millisecond + answerBound)
	if err != nil {
		return err
	}
	if failed, ok := msg.(ipc.Failed); ok {
		return &RelayError{permit.Printable(failed.Text)}
	}
	if r.far, err = unix.FcntlInt(uintptr(fds[farFD]), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		return fmt.Errorf("cannot keep the relay's end of a connection: %w", err)
	}
	fd, err := unix.FcntlInt(uintptr(r.p.conn.FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true) // the runtime waits for it, without a thread
	}
	if err != nil {
		_ = unix.Close(r.far)
		return fmt.Errorf("cannot listen to the relay: %w", err)
	}
	r.file = os.NewFile(uintptr(fd), "relay")
	return nil
}

// watch listens to the relay and asks whether it lives, until it has ended. Then the inner
// stream ends: main has descriptors of both of its ends, so the relay's own end tells the
// child nothing.
func (r *Relay) watch() {
	r.listen()
	if !r.p.ended(exitBound) {
		r.p.kill()
	}
	_ = r.p.reap()
	r.of.starter.forget(r.p.pid)
	r.say(r.p.end.Error())
	_ = unix.Shutdown(r.far, unix.SHUT_RDWR)
	_ = unix.Close(r.far)
	_ = r.file.Close()
	close(r.ended)
}

// listen returns when the relay's end of the conversation is closed, or must be.
func (r *Relay) listen() {
	raw, err := r.file.SyscallConn()
	if err != nil {
		return // it cannot be: nobody else closes the file
	}
	p := r.p
	for {
		_ = r.file.SetReadDeadline(p.pulse.next)
		var n int
		no := raw.Read(func(uintptr) bool {
			n, _, err = p.conn.TryRecv(p.buf)
			return !errors.Is(err, ipc.ErrEmpty)
		})
		if errors.Is(no, os.ErrDeadlineExceeded) {
			if p.asks(time.Now()) == beatAbort {
				r.say("the relay did not answer")
			}
			continue
		}
		if no != nil || errors.Is(err, io.EOF) {
			return
		}
		var m ipc.Message
		if err == nil {
			m, err = p.heard.Hear(p.buf[:n])
		}
		switch m := m.(type) {
		case ipc.Beat:
			p.pulse.heard()
		case ipc.Stopped:
			if m.Cause == ipc.CauseAsked {
				m.Text = ""
			}
			r.say(permit.Printable(m.Text))
			return // what it may still answer is of no interest
		}
		if err != nil {
			r.say(err.Error())
			p.kill()
			return
		}
	}
}

// say says why the relay ends, once.
func (r *Relay) say(why string) {
	select {
	case <-r.said:
	default:
		r.why = why
		close(r.said)
	}
}

// Why is why the relay has ended, "" if in good order or not at all. What it has said may
// come a moment after the end of the connection, so Why waits for it.
func (r *Relay) Why(wait time.Duration) string {
	select {
	case <-r.said:
		return r.why
	case <-time.After(wait):
		return ""
	}
}

// partBound is how long a relay may take to send what the inner stream still holds, when
// main and child have closed it.
const partBound = 2 * time.Second

// Close has the relay end soon, which it does by itself when the inner stream is closed and
// the node has closed the connection. It does not wait.
func (r *Relay) Close() {
	r.closing.Do(func() { go r.part() }) // ends with the relay: Relays.Close waits
}

func (r *Relay) part() {
	defer r.of.living.Done()
	for _, end := range []func(){r.p.hangUp, r.p.kill} {
		select {
		case <-r.ended:
		case <-time.After(partBound):
			end()
		}
	}
	<-r.ended
	r.p.close()
}
