package link

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"erluv/wire/dist"
)

const (
	// acceptRate is how many connections are accepted in a second, after acceptBurst of them at
	// once. So strangers cost a bounded share of a processor, about a tenth. The kernel keeps 4,096
	// more (net.core.somaxconn). The last of those waits for four seconds, less than the seven
	// after which a node gives up.
	acceptRate  = 1000
	acceptBurst = 200

	// acceptPause is the pause in accepting after an error, such as a lack of descriptors.
	acceptPause = 100 * time.Millisecond
)

// Door is where nodes connect: a listener, and the kind of its connections.
type Door struct {
	net.Listener

	// Carry returns the connection for a guest's handshake, and a function that makes its transport
	// afterwards. It closes the guest's connection unless it returns that. Nil: the handshake uses
	// the guest's connection, which is a TCP connection.
	Carry func(g *guest) (net.Conn, func() (transport, error), error)

	// Cookie is the door's cookie; "": the Acceptor's.
	Cookie string

	// Allow returns an error if a node may not connect there. Its name is not proved yet.
	Allow func(conn net.Conn, peer dist.Peer) error
}

// Decide returns the status for a node (see dist.Accept) and, if it refuses the node, the reason
// for people. The node has proved nothing yet; only its door has allowed the name.
type Decide func(p dist.Peer, overTLS bool) (status string, why error)

// Acceptor shakes hands with nodes that connect to erluv.
type Acceptor struct {
	Self   *Self // the first node settles its name, if it is not settled
	Cookie string
	Log    *slog.Logger // for refused connections
	Trace  *slog.Logger // traces messages on links without a child; nil: none

	// Guests is how many handshakes may be under way at once. Each has a descriptor and some 20
	// KiB, and lives for at most setupBound.
	Guests int

	Decide Decide

	// Accepted takes a link to a node that has proved the cookie.
	Accepted func(*Link)
}

// Serve accepts connections at the doors until ctx ends. When it returns, the doors are closed and
// nothing that it started is left.
func (a *Acceptor) Serve(ctx context.Context, doors []Door) {
	h := hall{acceptor: a, lobby: lobby{most: a.Guests}, refusals: refusals{log: a.Log}}
	var loops sync.WaitGroup
	for _, d := range doors {
		loops.Go(func() { h.attend(ctx, d) })
	}
	<-ctx.Done()
	for _, d := range doors {
		_ = d.Close() // the address is free again
	}
	loops.Wait()
	h.guests.Wait()
	h.refusals.flush()
}

// hall is shared by all doors of an Acceptor.
type hall struct {
	acceptor *Acceptor
	lobby    lobby
	guests   sync.WaitGroup
	refusals refusals
}

// attend accepts connections at one door.
func (h *hall) attend(ctx context.Context, d Door) {
	pace := pace{every: time.Second / acceptRate, burst: acceptBurst}
	for ctx.Err() == nil {
		conn, err := d.Accept()
		if err != nil {
			if ctx.Err() == nil {
				h.refusals.note("a listener", fmt.Errorf("cannot accept connections for a moment: %w", err))
				rest(ctx, acceptPause)
			}
			continue
		}
		guest := newGuest(ctx, conn)
		h.lobby.enter(guest)
		h.guests.Go(func() { // ends within setupBound
			defer guest.end()
			defer h.lobby.leave(guest)
			h.receive(d, guest)
		})
		rest(ctx, pace.next(time.Now()))
	}
}

// receive shakes hands with a guest.
func (h *hall) receive(d Door, g *guest) {
	l, err := h.shake(d, g)
	if err != nil {
		h.refusals.note(g.from, err)
		return
	}
	h.acceptor.Accepted(l)
}

// shake makes a link of a connection, or closes it.
func (h *hall) shake(d Door, g *guest) (*Link, error) {
	ctx, conn := g.ctx, g.conn
	make := func() (transport, error) { return newPlain(conn) }
	if d.Carry != nil {
		var err error
		if conn, make, err = d.Carry(g); err != nil {
			return nil, err
		}
	}
	defer conn.Close()
	a := h.acceptor
	local := dist.Local{
		Name: a.Self.Proposed(), Creation: a.Self.creation, Cookie: cmp.Or(d.Cookie, a.Cookie), Flags: dist.Default, TLS: OverTLS(conn),
	}
	var no error
	peer, err := dist.Accept(ctx, conn, local, func(p dist.Peer) string {
		if no = d.Allow(conn, p); no != nil {
			return dist.StatusNotAllowed
		}
		var status string
		status, no = a.Decide(p, local.TLS)
		return status
	})
	if no != nil {
		return nil, fmt.Errorf("%w: %w", err, no)
	}
	if err != nil {
		return nil, whyRefused(conn, err)
	}
	if !a.Self.settle(local.Name) {
		return nil, errors.New("the own name was taken, and another one drawn meanwhile")
	}
	t, err := make()
	if err != nil {
		return nil, err
	}
	local.Cookie = ""
	return &Link{Local: local, Peer: peer, transport: t, accepted: true, self: a.Self, log: a.Trace}, nil
}

// pace limits a rate: after a burst, each event waits for its turn.
type pace struct {
	every time.Duration
	burst int
	due   time.Time // time of the next event without a burst
}

// next returns how long to wait before the next event.
func (p *pace) next(now time.Time) time.Duration {
	if ahead := now.Add(-time.Duration(p.burst) * p.every); p.due.Before(ahead) {
		p.due = ahead
	}
	p.due = p.due.Add(p.every)
	return p.due.Sub(now)
}

// giveBack returns the last turn, which was not used. Otherwise a crowd of unused turns would delay
// all others.
func (p *pace) giveBack() { p.due = p.due.Add(-p.every) }

// rest waits, at most until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
