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

// Caretaker serves the connection while there is no child: the sockets and the clock
// of an interim. One goroutine runs Serve and owns all but what is behind mu; others
// order it about.
type Caretaker struct {
	fd     int // the connection, the guard's again when Serve has returned
	wake   int // an eventfd
	ticker dist.Ticker
	say    *interim

	mu     sync.Mutex
	orders []Order
}

// Order is what the guard wants of a Caretaker.
type Order struct {
	Kind   OrderKind
	Reason etf.Term // OrderDown, OrderLeave
}

type OrderKind uint8

const (
	OrderDown    OrderKind = iota // the next child has failed as well: tell so
	OrderRelease                  // write what waits, then return: a child goes on
	OrderLeave                    // say the last words and close in order, then return
	OrderQuit                     // return at once
)

const (
	// leaveBound is how long the last words may take with a node that does not
	// read, closeBound how long the node's own closing is waited for, since closing a
	// socket that holds unread data destroys what the node has not read yet.
	leaveBound = 2 * time.Second
	closeBound = 300 * time.Millisecond
)

// newCaretaker keeps the connection for say; the node's net_ticktime is known, or zero.
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

// Order has the keeper do something soon.
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

// Close frees the eventfd, after Serve has returned and when nobody orders any more.
func (k *Caretaker) Close() { _ = unix.Close(k.wake) }

// Serve serves until it is released, has left or has to quit (nil), or the
// connection is lost. It tells of each wish for a new child, once all is written that
// the last one has left.
func (k *Caretaker) Serve(respawn func()) error {
	var ending *Order
	var end time.Time // of leaving
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

// wait waits for something to do, and reads what has come.
func (k *Caretaker) wait(reading bool, end time.Time) error {
	now := time.Now()
	switch k.ticker.Check(now) {
	case dist.DueSilent:
		return errors.New("the node has been silent for longer than its net_ticktime")
	case dist.DueTick:
		k.say.tick()
		k.ticker.Wrote(now) // or the socket is full: that is as good
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
