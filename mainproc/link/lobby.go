package link

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
)

var (
	errCrowded = errors.New("too many others connect at the same time, and this one was the slowest")
	errSlow    = errors.New("it did not shake hands in time")
)

// guest is a connection whose handshake is not done yet. The handshake ends with the guest's
// context.
type guest struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	from   string
	conn   net.Conn
}

// newGuest gives a guest setupBound for its handshake. Its owner calls end.
func newGuest(ctx context.Context, conn net.Conn) *guest {
	ctx, over := context.WithTimeoutCause(ctx, setupBound, errSlow)
	ctx, cancel := context.WithCancelCause(ctx)
	return &guest{
		ctx: ctx, cancel: func(cause error) { cancel(cause); over() },
		from: addressOf(conn), conn: conn,
	}
}

func (g *guest) end() { g.cancel(nil) }

// lobby has a bounded number of guests. It always admits a new one. If there is no room, it drops
// the oldest guest of the address with the most guests. Whether a guest has sent a name does not
// count. That costs a stranger nothing, and such strangers would stay. So strangers displace each
// other, and not a node from another address.
type lobby struct {
	most int

	mu     sync.Mutex
	guests []*guest // the oldest first
}

// enter admits a guest. The one that it drops for it ends soon.
func (l *lobby) enter(g *guest) {
	if last := l.add(g); last != nil {
		last.cancel(errCrowded)
		_ = last.conn.Close() // waits until its descriptor is closed
	}
}

// add adds a guest, and returns the one to drop for it, or nil.
func (l *lobby) add(g *guest) (last *guest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.guests) == l.most {
		i := crowded(l.guests, func(g *guest) string { return g.from })
		last = l.guests[i]
		l.guests = slices.Delete(l.guests, i, i+1)
	}
	l.guests = append(l.guests, g)
	return last
}

// leave removes a guest, so that its place is free.
func (l *lobby) leave(g *guest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.guests = slices.DeleteFunc(l.guests, func(other *guest) bool { return other == g })
}

// crowded returns the index of the element that must make room: the first one of the address with
// the most elements.
func crowded[T any](list []T, from func(T) string) int {
	number := make(map[string]int, len(list))
	most := 0
	for _, one := range list {
		number[from(one)]++
		most = max(most, number[from(one)])
	}
	return slices.IndexFunc(list, func(one T) bool { return number[from(one)] == most })
}

// addressOf returns the host that a connection comes from, for people. All connections of a Unix
// socket come from one. For IPv6 it returns the network, because a machine mostly has a network of
// its own.
func addressOf(conn net.Conn) string {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return "this machine"
	}
	if ip := tcp.IP.To4(); ip != nil {
		return ip.String()
	}
	return tcp.IP.Mask(net.CIDRMask(64, 128)).String() + "/64"
}
