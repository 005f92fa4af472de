package crew

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
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
// The descriptors are Start's. Main keeps the far end alone, as long as the Relay is not closed.
func (r *Relays) Start(ctx context.Context, m ipc.StartRelay, fds ...int) (*Relay, error) {
	far, others := fds[farFD], slices.Concat(fds[:farFD], fds[farFD+1:])
	p, err := r.starter.start(ipc.RoleRelay, r.id, containment{})
	if err != nil {
		ipc.CloseAll(fds)
		return nil, err
	}
	relay := &Relay{p: p, of: r, far: far, said: make(chan struct{}), ended: make(chan struct{}), gone: make(chan struct{})}
	err = during(ctx, p.kill, func() error {
		err := p.greet(r.id)
		if err == nil {
			if end, ok := ctx.Deadline(); ok {
				m.TimeoutMS = uint32(max(1, (time.Until(end) - wordBound).Milliseconds()))
			}
			err = p.send(m, fds...)
		}
		ipc.CloseAll(others) // before the handshake, for whose time a stranger holds what is open
		if err != nil {
			return err
		}
		return relay.begin(time.Duration(m.TimeoutMS) * time.Millisecond)
	})
	if err != nil {
		p.discard()
		_ = unix.Close(far)
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
	p   *process
	of  *Relays
	far int // the relay's end of the inner stream; open until gone

	closing sync.Once
	said    chan struct{} // closed: why is known
	ended   chan struct{} // closed: the process was reaped
	gone    chan struct{} // closed: nothing is left of it
	why     string        // set before said is closed; "": in good order
}

// begin waits for the relay's handshake with the node, for which the relay has a bound.
func (r *Relay) begin(bound time.Duration) error {
	r.p.heard.At = permit.AtStart
	msg, err := r.p.hear(bound + answerBound)
	if err != nil {
		return err
	}
	if failed, ok := msg.(ipc.Failed); ok {
		return &RelayError{permit.Printable(failed.Text)}
	}
	if err := unix.SetNonblock(r.p.conn.FD(), true); err != nil { // the runtime waits for it, without a thread
		return fmt.Errorf("cannot listen to the relay: %w", err)
	}
	r.p.file = os.NewFile(uintptr(r.p.conn.FD()), "relay")
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
	close(r.ended)
}

// listen returns when the relay's end of the conversation is closed, or must be.
func (r *Relay) listen() {
	p := r.p
	raw, err := p.file.SyscallConn()
	if err != nil {
		return // it cannot be: the file is open until r.ended is closed
	}
	for {
		_ = p.file.SetReadDeadline(p.pulse.next)
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
// the node has closed the connection; or at once when hurry is closed. It does not wait: the
// channel is closed when nothing is left of the relay. Only the first call counts.
func (r *Relay) Close(hurry <-chan struct{}) (gone <-chan struct{}) {
	r.closing.Do(func() { go r.part(hurry) }) // ends with the relay: Relays.Close waits
	return r.gone
}

func (r *Relay) part(hurry <-chan struct{}) {
	defer r.of.living.Done()
	defer close(r.gone)
	for _, end := range []func(){r.p.hangUp, r.p.kill} {
		select {
		case <-r.ended:
		case <-hurry:
			r.p.kill()
		case <-time.After(partBound):
			end()
		}
	}
	<-r.ended
	r.p.close()
	_ = unix.Close(r.far)
}
