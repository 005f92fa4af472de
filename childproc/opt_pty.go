package childproc

import (
	"errors"
	"fmt"
	"math"

	"erluv/wire/etf"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// A terminal has this size unless another is given.
const (
	defaultRows = 24
	defaultCols = 80
)

// optPty takes true, false, or #{rows, cols, reopen, Mode => Value}, a list of pairs too.
func optPty(to **workers.Terminal, v etf.Term) error {
	t := &workers.Terminal{Rows: defaultRows, Cols: defaultCols}
	var settings []etf.Pair
	switch v {
	case etf.Atom("false"):
		*to = nil
		return nil
	case etf.Atom("true"):
	default:
		var bad *badOption
		if settings, bad = options(v); bad != nil {
			return fmt.Errorf("must be true, false or a map of rows, cols, reopen and terminal modes")
		}
	}
	for _, s := range settings {
		if err := terminalSetting(t, string(s.Key.(etf.Atom)), s.Value); err != nil {
			return err
		}
	}
	*to = t
	return nil
}

func terminalSetting(t *workers.Terminal, key string, v etf.Term) (err error) {
	switch key {
	case "rows":
		t.Rows, err = terminalSize(key, v)
		return err
	case "cols":
		t.Cols, err = terminalSize(key, v)
		return err
	case "reopen":
		t.Reopen = v == etf.Atom("true")
		if !t.Reopen && v != etf.Atom("false") {
			return errors.New("reopen must be true or false")
		}
		return nil
	}
	var value any = v
	if v == etf.Atom("true") || v == etf.Atom("false") {
		value = v == etf.Atom("true")
	}
	return t.Set(key, value)
}

func terminalSize(key string, v etf.Term) (uint16, error) {
	n, ok := v.(int64)
	if !ok || n < 1 || n > math.MaxUint16 {
		return 0, fmt.Errorf("%s must be 1 to %d", key, math.MaxUint16)
	}
	return uint16(n), nil
}

// onTerminal makes the order one for a program on a terminal, given all options.
func (o *order) onTerminal(opts []etf.Pair) *badOption {
	for _, opt := range opts {
		switch opt.Key {
		case etf.Atom("stdin"), etf.Atom("stdout"), etf.Atom("stderr"):
			return &badOption{opt.Key, "cannot be given with pty: all three are the terminal"}
		}
	}
	if o.spec.NoSession {
		return &badOption{etf.Atom("setsid"), "must be true with pty: a terminal is of a session"}
	}
	o.spec.Streams = [3]workers.StreamSpec{}
	if o.run && o.input == nil {
		o.input = []byte{} // then its end: nobody will ever type
	}
	return nil
}

// resize takes {resize, Rows, Cols}, for the terminals of later runs too.
func (m *manager) resize(p *proc, to from, rows, cols etf.Term) bool {
	r, err1 := terminalSize("rows", rows)
	c, err2 := terminalSize("cols", cols)
	if err1 != nil || err2 != nil {
		return false
	}
	err := p.w.Resize(r, c)
	if p.restart != nil && p.restart.spec.Terminal != nil {
		p.restart.spec.Terminal.Rows, p.restart.spec.Terminal.Cols = r, c
		if err == unix.ENOTTY {
			err = nil // it rests
		}
	}
	m.out.reply(to, outcome(err))
	return true
}
