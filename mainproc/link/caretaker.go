package link

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"erluv/eintr"
	"erluv/wire/dist"
	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

// Caretaker serves the connection while there is no child. It has the sockets and the clock of an
// interim. The goroutine of Serve owns all of it, except the fields behind mu. Other goroutines
// give it orders.
type Caretaker struct {
	fd     int // the connection, which is the guard's again when Serve has returned
	wake   int // an eventfd
	ticker dist.Ticker
	say    *interim

	mu     sync.Mutex
	orders []Order
}

// Order is an order of the guard to a Caretaker.
type Order struct {
	Kind   OrderKind
	Reason etf.Term // OrderDown, OrderLeave
}

// OrderKind is the kind of an Order.
type OrderKind uint8

const (
	OrderDown    OrderKind = iota // the next child has failed too: report it
	OrderRelease                  // write what waits, then return: a child takes over
	OrderLeave                    // send the last messages and close in order, then return
	OrderQuit                     // return at once
)

const (
	// leaveBound is how long the last messages may take if the node does not read. Then the
	// Caretaker waits for the node to close, for closeBound. Closing a socket with unread data
	// destroys data that the node has not read yet.
	leaveBound = 2 * time.Second
	closeBound = 300 * time.Millisecond
)

// newCaretaker keeps the connection for say. ticktime is the node's net_ticktime, or zero if it is
// unknown.
func newCaretaker(t transport, say *interim, ticktime time.Duration) (*Caretaker, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("cannot make an eventfd: %w", err)
	}
	if ticktime <= 0 {
		ticktime = dist.DefaultNetTicktime
	}
	return &Caretaker{fd: t.descriptor(), wake: wake, say: say, ticker: dist.NewTicker(time.Now(), ticktime)}, nil
}

// Order gives the keeper an order, which it soon follows.
func (k *Caretaker) Order(o Order) {
	k.mu.Lock()
	k.orders = append(k.orders, o)
	k.mu.Unlock()
	one := [8]byte{1}
	_, _ = eintr.Write(k.wake, one[:])
}

func (k *Caretaker) ordered() []Order {
	var b [8]byte
	_, _ = eintr.Read(k.wake, b[:])
	k.mu.Lock()
	defer k.mu.Unlock()
	list := k.orders
	k.orders = nil
	return list
}

// Close frees the eventfd. Serve must have returned, and no order may follow.
func (k *Caretaker) Close() { _ = unix.Close(k.wake) }

// Serve serves until it is released, has left, has to quit (nil), or loses the connection. It calls
// respawn for each request of a new child, once everything is written that the last child has left.
func (k *Caretaker) Serve(respawn func()) error {
	var ending *Order
	var end time.Time // of OrderLeave
	for {
		for _, o := range k.ordered() {
			switch o.Kind {
			case OrderDown:
				k.say.reason = o.Reason
				k.say.fill()
			case OrderQuit:
				return nil
			case OrderLeave:
				k.say.leave(o.Reason)
				end = time.Now().Add(leaveBound)
				fallthrough
			case OrderRelease:
				ending = &o
			}
		}
		if err := k.write(); err != nil {
			return err
		}
		idle := len(k.say.out) == 0
		switch {
		case ending != nil && ending.Kind == OrderRelease && idle:
			k.say.handOver()
			return nil
		case ending != nil && ending.Kind == OrderLeave && (idle || time.Now().After(end)):
			return k.part()
		case ending == nil && idle && k.say.respawn:
			k.say.respawn = false
			respawn()
		}
		if err := k.wait(ending == nil, end); err != nil {
			return err
		}
	}
}

// wait waits for something to do, and reads from the node.
func (k *Caretaker) wait(reading bool, end time.Time) error {
	now := time.Now()
	switch k.ticker.Check(now) {
	case dist.DueSilent:
		return errors.New("the node has been silent for longer than its net_ticktime")
	case dist.DueTick:
		k.say.tick()
		k.ticker.Wrote(now) // also if the socket is full, which is as good
	}
	next := k.ticker.Next()
	if !end.IsZero() && end.Before(next) {
		next = end
	}
	fds := []unix.PollFd{{Fd: int32(k.fd)}, {Fd: int32(k.wake), Events: unix.POLLIN}}
	if reading = reading && k.say.reading(); reading {
		fds[0].Events |= unix.POLLIN
	}
	if len(k.say.out) > 0 {
		fds[0].Events |= unix.POLLOUT
	}
	if _, err := unix.Poll(fds, int(max(0, next.Sub(now)).Milliseconds())+1); err != nil && err != unix.EINTR {
		return fmt.Errorf("cannot wait for the node: %w", err)
	}
	switch seen := fds[0].Revents &^ unix.POLLOUT; {
	case seen == 0:
		return nil
	case !reading:
		return errors.New("the connection is broken") // closed both ways, or an error
	}
	n, err := unix.Read(k.fd, k.say.space())
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err != nil:
		return fmt.Errorf("the connection is broken: %w", err)
	case n == 0:
		return errors.New("the node has closed the connection")
	}
	k.ticker.Read(time.Now())
	k.say.read(n)
	if k.say.ticked && k.ticker.ReadTick(time.Now()) {
		k.say.tick()
	}
	k.say.ticked = false
	return nil
}

// write writes what waits, as far as the socket takes it.
func (k *Caretaker) write() error {
	for len(k.say.out) > 0 {
		k.say.trace()
		n, err := unix.Write(k.fd, k.say.out)
		if n > 0 {
			k.ticker.Wrote(time.Now())
			k.say.wrote(n)
		}
		switch {
		case err == unix.EAGAIN:
			return nil
		case err != nil && err != unix.EINTR:
			return fmt.Errorf("the connection is broken: %w", err)
		}
	}
	return nil
}

// part closes our side of the connection and waits for the node's.
func (k *Caretaker) part() error {
	if err := unix.Shutdown(k.fd, unix.SHUT_WR); err != nil {
		return nil // it is closed
	}
	fds := []unix.PollFd{{Fd: int32(k.fd), Events: unix.POLLIN}}
	for end := time.Now().Add(closeBound); time.Now().Before(end); {
		if n, err := unix.Poll(fds, int(time.Until(end).Milliseconds())+1); err != nil && err != unix.EINTR || n == 0 {
			continue
		}
		n, err := unix.Read(k.fd, k.say.buf)
		if n == 0 || err != nil && err != unix.EAGAIN && err != unix.EINTR {
			break
		}
	}
	return nil
}
