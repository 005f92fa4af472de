package order

import (
	"fmt"
	"time"

	"erluv/wire/etf"
)

// When says after which ends a program is started again.
type When uint8

// The ends.
const (
	Temporary When = iota // never
	Transient             // not after exit status 0
	Permanent             // always
)

// String is the value of the option restart.
func (w When) String() string { return [...]string{"temporary", "transient", "permanent"}[w] }

// Restart says whether and when a program is started again.
type Restart struct {
	When     When
	Most     int // after more restarts within the window, the worker gives up
	Window   time.Duration
	From, To time.Duration // the longest delays: of the first restart, and of any
}

var defaultRestart = Restart{Most: 5, Window: 10 * time.Second, From: 100 * time.Millisecond, To: 30 * time.Second}

func toRestart(to *When, v etf.Term) error {
	switch v {
	case etf.Atom("temporary"):
		*to = Temporary
	case etf.Atom("transient"):
		*to = Transient
	case etf.Atom("permanent"):
		*to = Permanent
	default:
		return fmt.Errorf("must be temporary, transient or permanent")
	}
	return nil
}

// maxRestarts is the maximum number of restarts that are remembered for a worker.
const maxRestarts = 1000

// toMaxRestarts takes {N, Milliseconds}.
func toMaxRestarts(r *Restart, v etf.Term) error {
	if t, ok := v.(etf.Tuple); ok && len(t) == 2 {
		n, ok := t[0].(int64)
		if ok && n >= 0 && n <= maxRestarts && toMillis(&r.Window, t[1]) == nil {
			r.Most = int(n)
			return nil
		}
	}
	return fmt.Errorf("must be {N, Milliseconds}, N up to %d", maxRestarts)
}

// toBackoff takes {From, To} in milliseconds.
func toBackoff(r *Restart, v etf.Term) error {
	if t, ok := v.(etf.Tuple); ok && len(t) == 2 {
		if toMillis(&r.From, t[0]) == nil && toMillis(&r.To, t[1]) == nil && r.From <= r.To {
			return nil
		}
	}
	return fmt.Errorf("must be {From, To} in milliseconds, From not above To")
}
