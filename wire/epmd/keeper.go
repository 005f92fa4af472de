package epmd

import (
	"context"
	"errors"
	"time"
)

const (
	// A Keeper waits for firstPause before its second attempt. Each further pause is twice as long,
	// up to lastPause, the interval of OTP's erl_epmd. An attempt costs one refused connection on
	// this machine.
	firstPause = 100 * time.Millisecond
	lastPause  = 2 * time.Second

	// attemptBound is the time for EPMD's answer, as in erl_epmd.
	attemptBound = 10 * time.Second
)

// A Keeper registers a node, and again whenever EPMD has been restarted. EPMD may also
// start after the Keeper. A Keeper belongs to the goroutine that calls Run.
type Keeper struct {
	Addr string // host:port of this machine's EPMD
	Name string // the part of the node's name before the @
	Port uint16 // at which the node listens

	// Run calls Tell with nil when the node is registered, or else with the reason why it is not.
	// If another node has the name, errors.Is(err, ErrTaken) holds. Run calls Tell once for each
	// change between registered, taken and absent.
	Tell func(error)

	dial dialFunc // in tests, which have a clock of their own; nil otherwise
}

// errLost is why a node is no longer registered, until the next attempt.
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
			// The pauses keep growing for an EPMD that ends right after each registration.
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

// state is one of the states between which Tell is called.
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

// waitOrClose returns when EPMD or the end of ctx has ended the registration.
func waitOrClose(ctx context.Context, r *Registration) {
	stop := context.AfterFunc(ctx, r.Close)
	defer stop()
	r.Wait()
	r.Close()
}
