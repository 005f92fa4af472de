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

// Relays starts relays, one for each connection with TLS. They do not belong to a crew, because a
// connection outlives it.
type Relays struct {
	starter *starter
	own     bool // only these relays use the starter
	id      sandbox.Identity
	living  sync.WaitGroup // relays that still run, or are not closed
}

// NewRelays makes Relays without crews.
func NewRelays(id sandbox.Identity, parts sandbox.Parts) (*Relays, error) {
	s, err := newStarter(parts)
	if err != nil {
		return nil, err
	}
	return newRelays(s, true, id), nil
}

func newRelays(s *starter, own bool, id sandbox.Identity) *Relays {
	id.Keeper = 0 // a relay does not use control groups
	return &Relays{starter: s, own: own, id: id}
}

// Close waits until all relays have ended. Each must have been closed.
func (r *Relays) Close() {
	r.living.Wait()
	if r.own {
		r.starter.close()
	}
}

// farFD is the index of the relay's end of the inner stream in the descriptors of an
// ipc.StartRelay.
const farFD = 1

// wordBound is how long before the end of a start the relay gives up the handshake, so that it has
// time to report why.
const wordBound = 500 * time.Millisecond

// Start starts a relay with these descriptors (ipc.StartRelay), and returns when it relays. Its
// handshake ends with ctx. An error of type RelayError comes from the relay itself. Start owns the
// descriptors. Of these main keeps only the far end, until the Relay is closed.
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
		ipc.CloseAll(others) // before the handshake: during it a stranger would hold them open
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

// A RelayError says, for people, why a relay could not speak TLS with the node.
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

// begin waits for the relay's handshake with the node, which the relay itself bounds.
func (r *Relay) begin(bound time.Duration) error {
	r.p.heard.At = permit.AtStart
	msg, err := r.p.hear(bound + answerBound)
	if err != nil {
		return err
	}
	if failed, ok := msg.(ipc.Failed); ok {
		return &RelayError{permit.Printable(failed.Text)}
	}
	if err := unix.SetNonblock(r.p.conn.FD(), true); err != nil { // the runtime then waits for it without a thread
		return fmt.Errorf("cannot listen to the relay: %w", err)
	}
	r.p.file = os.NewFile(uintptr(r.p.conn.FD()), "relay")
	return nil
}

// watch reads the relay's messages and asks whether it lives, until it has ended. Then watch shuts
// the inner stream down. Main has descriptors of both ends, so the child would not notice the
// relay's end otherwise.
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
		return // impossible: the file is open until r.ended is closed
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
			return // later messages do not matter
		}
		if err != nil {
			r.say(err.Error())
			p.kill()
			return
		}
	}
}

// say notes why the relay ends. Only the first reason counts.
func (r *Relay) say(why string) {
	select {
	case <-r.said:
	default:
		r.why = why
		close(r.said)
	}
}

// Why returns why the relay has ended, or "" if it ended in good order or not at all. The relay's
// report may come shortly after the end of the connection, so Why waits for it.
func (r *Relay) Why(wait time.Duration) string {
	select {
	case <-r.said:
		return r.why
	case <-time.After(wait):
		return ""
	}
}

// partBound is how long a relay may take to send the rest of the inner stream, once main and child
// have closed it.
const partBound = 2 * time.Second

// Close makes the relay end soon. It ends by itself when the inner stream is closed and the node
// has closed the connection, and at once when hurry is closed. Close does not wait: the channel is
// closed when nothing is left of the relay. Only the first call counts.
func (r *Relay) Close(hurry <-chan struct{}) (gone <-chan struct{}) {
	r.closing.Do(func() { go r.part(hurry) }) // ends with the relay, and Relays.Close waits
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
