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
	// acceptRate is how many connections are accepted in a second once acceptBurst of them have
	// come at once. So strangers cost a bounded share of a processor, about a tenth. The kernel
	// keeps 4,096 more (net.core.somaxconn): the last of those waits for four seconds, less than
	// the seven after which a node gives up.
	acceptRate  = 1000
	acceptBurst = 200

	// acceptPause is how long accepting rests after an error, for want of descriptors.
	acceptPause = 100 * time.Millisecond
)

// Door is where nodes connect: a listener, and what a connection that comes in there is.
type Door struct {
	net.Listener

	// Carry makes of a guest's connection the one that the handshake is done on, and the function
	// that makes a transport of it afterwards. It closes the guest's connection if it does not
	// return it. Nil: the handshake is done on the guest's connection, which is one of TCP.
	Carry func(g *guest) (net.Conn, func() (transport, error), error)

	// Cookie is that of the door; "": that of the Acceptor.
	Cookie string

	// Allow says why a node may not connect there, or nil. Its name is not proved yet.
	Allow func(conn net.Conn, peer dist.Peer) error
}

// Decide returns the status that a node is answered, of which nothing is proved but that
// its door allows the name: see dist.Accept; and why, for people, if it is refused.
type Decide func(p dist.Peer, overTLS bool) (status string, why error)

// Acceptor shakes hands with nodes that connect by themselves.
type Acceptor struct {
	Self   *Self // the first who connects settles its name, if none has
	Cookie string
	Log    *slog.Logger // of what is refused
	Trace  *slog.Logger // of what crosses its links while there is no child; nil: nobody wants it

	// Guests is how many handshakes may be under way at once. Each has a descriptor and some 20 KiB,
	// and lives for setupBound at most.
	Guests int

	Decide Decide

	// Accepted takes a link to a node that has proved the cookie.
	Accepted func(*Link)
}

// Serve accepts at the doors until ctx ends. It returns when the doors are closed and nothing
// of what it has begun is left.
func (a *Acceptor) Serve(ctx context.Context, doors []Door) {
	h := hall{acceptor: a, lobby: lobby{most: a.Guests}, refusals: refusals{log: a.Log}}
	var loops sync.WaitGroup
	for _, d := range doors {
		loops.Go(func() { h.attend(ctx, d) })
	}
	<-ctx.Done()
	for _, d := range doors {
		_ = d.Close() // what it listened at is free again
	}
	loops.Wait()
	h.guests.Wait()
	h.refusals.flush()
}

// hall is what all doors of an Acceptor share.
type hall struct {
	acceptor *Acceptor
	lobby    lobby
	guests   sync.WaitGroup
	refusals refusals
}

// attend accepts at one door.
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

// receive shakes hands with whoever has connected.
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

// pace holds a rate: of what comes more often, each after a burst waits for its turn.
type pace struct {
	every time.Duration
	burst int
	due   time.Time // of the next, if there had been no burst
}

// next is how long to wait before the next one.
func (p *pace) next(now time.Time) time.Duration {
	if ahead := now.Add(-time.Duration(p.burst) * p.every); p.due.Before(ahead) {
		p.due = ahead
	}
	p.due = p.due.Add(p.every)
	return p.due.Sub(now)
}

// giveBack: the last one has not used its turn. Otherwise a crowd of those would have everyone wait
// for as many turns.
func (p *pace) giveBack() { p.due = p.due.Add(-p.every) }

// rest waits, until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
