package epmd

import (
	"context"
	"errors"
	"time"
)

const (
	// A Keeper waits for firstPause before its second attempt, and twice as long
	// before each further one, up to lastPause. That is how often a node of OTP asks
	// whether EPMD is back (erl_epmd), which costs no more than a refused connection
	// on the own machine.
	firstPause = 100 * time.Millisecond
	lastPause  = 2 * time.Second

	// attemptBound is how long EPMD may take to answer, as for a node of OTP.
	attemptBound = 10 * time.Second
)

// A Keeper registers a node and registers it again whenever EPMD has been restarted,
// or was not there yet. It belongs to the goroutine that calls Run.
type Keeper struct {
	Addr string // host:port of this machine's EPMD
	Name string // the part of the node's name before the @
	Port uint16 // at which the node listens

	// Tell is called by Run when the registration has become another one than it
	// was: with nil when the node is registered, else with the reason why not, for
	// which errors.Is(err, ErrTaken) holds when another node has the name. It is not
	// called again while attempts fail in the same way.
	Tell func(error)

	dial dialFunc // in tests, which have a clock of their own; nil otherwise
}

// errLost is why a node is not registered any more, until the next attempt.
var errLost = errors.New("EPMD has ended: the node is registered again when it is back")

// Run keeps the node registered until ctx ends, and ends the registration then.
func (k *Keeper) Run(ctx context.Context) {
	var told *state
	tell := func(s state, err error) {
		if told == nil || *told != s {
			told = &s
			k.Tell(err)
		}
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		r, err := k.attempt(ctx)
		if err == nil {
			tell(registered, nil)
			begin := time.Now()
			waitOrClose(ctx, r)
			if ctx.Err() == nil {
				tell(absent, errLost)
			}
			// An EPMD that takes the node and ends at once is none to be asked
			// again and again.
			if time.Since(begin) >= lastPause {
				pause = firstPause
			}
		} else if ctx.Err() == nil {
			tell(failure(err), err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// state is what Tell was last called for.
type state int

const (
	registered state = iota
	taken
	absent
)

func failure(err error) state {
	if errors.Is(err, ErrTaken) {
		return taken
	}
	return absent
}

func (k *Keeper) attempt(ctx context.Context) (*Registration, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptBound)
	defer cancel()
	connect := k.dial
	if connect == nil {
		connect = dial
	}
	return register(ctx, connect, k.Addr, k.Name, k.Port)
}

// waitOrClose returns when the registration is over, be it by EPMD or by ctx.
func waitOrClose(ctx context.Context, r *Registration) {
	stop := context.AfterFunc(ctx, r.Close)
	defer stop()
	r.Wait()
	r.Close()
}
