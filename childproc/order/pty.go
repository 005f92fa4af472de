package order

import (
	"errors"
	"fmt"
	"math"

	"erluv/wire/etf"
	"erluv/workers"
)

// The size of a terminal if the request sets none.
const (
	defaultRows = 24
	defaultCols = 80
)

// toPty takes true, false, or #{rows, cols, reopen, Mode => Value}, or such pairs in a list.
func toPty(to **workers.Terminal, v etf.Term) error {
	t := &workers.Terminal{Rows: defaultRows, Cols: defaultCols}
	var settings []etf.Pair
	switch v {
	case etf.Atom("false"):
		*to = nil
		return nil
	case etf.Atom("true"):
	default:
		var bad *BadOption
		if settings, bad = Options(v); bad != nil {
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
		t.Rows, err = TerminalSize(key, v)
		return err
	case "cols":
		t.Cols, err = TerminalSize(key, v)
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

// TerminalSize reads the number of rows or columns of a terminal.
func TerminalSize(key string, v etf.Term) (uint16, error) {
	n, ok := v.(int64)
	if !ok || n < 1 || n > math.MaxUint16 {
		return 0, fmt.Errorf("%s must be 1 to %d", key, math.MaxUint16)
	}
	return uint16(n), nil
}

// settlePty adapts the order to a program with a terminal.
func (r *reading) settlePty() *BadOption {
	o := r.o
	if o.Spec.Terminal == nil {
		return nil
	}
	if key, ok := r.has("stdin", "stdout", "stderr"); ok {
		return &BadOption{key, "cannot be given with pty: all three are the terminal"}
	}
	if o.Spec.Attributes.NoSession {
		return &BadOption{etf.Atom("setsid"), "must be true with pty: a terminal is of a session"}
	}
	o.Spec.Streams = [3]workers.StreamSpec{}
	if r.request == ForRun && o.Input == nil {
		o.Input = []byte{} // then its end, because no more input will come
	}
	return nil
}
