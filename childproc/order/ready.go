package order

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"time"

	"erluv/wire/etf"
	"erluv/workers"
)

// By says how a program shows that it is ready.
type By uint8

// The ways.
const (
	ByTCP    By = iota + 1 // it listens on a port
	ByLine                 // it writes a line that matches
	ByFile                 // it makes or changes a file
	ByNotify               // it reports it (sd_notify(3))
)

// defaultReady is how long a program may take to become ready if the request sets no time.
const defaultReady = 30 * time.Second

// Ready describes how a program shows that it is ready.
type Ready struct {
	By      By // 0 means not at all
	Port    uint16
	Line    *regexp.Regexp
	Cost    int // bytes that the line's pattern needs
	File    string
	Timeout time.Duration // 0 means no limit
	Message bool          // the spawn call does not wait

	Watchdog time.Duration // longest time between two signs of life once it is ready; 0 means no limit
}

// toReady takes {tcp, Port}, {line, RegExp}, {file, Path} or notify.
func toReady(r *Ready, v etf.Term) error {
	if v == etf.Atom("notify") {
		r.By = ByNotify
		return nil
	}
	bad := errors.New("must be {tcp, Port}, {line, RegExp}, {file, Path} or notify")
	t, ok := v.(etf.Tuple)
	if !ok || len(t) != 2 {
		return bad
	}
	switch t[0] {
	case etf.Atom("tcp"):
		n, ok := t[1].(int64)
		if !ok || n < 1 || n > 65535 {
			return errors.New("must have a port from 1 to 65535")
		}
		r.By, r.Port = ByTCP, uint16(n)
	case etf.Atom("line"):
		s, ok := etf.Text(t[1])
		if !ok || len(s) > maxRegExp {
			return fmt.Errorf("must have a regular expression of at most %d bytes, as a binary or string", maxRegExp)
		}
		re, size, err := compile(s)
		if err != nil {
			return fmt.Errorf("must have a valid regular expression: %w", err)
		}
		r.By, r.Line, r.Cost = ByLine, re, size*patternCost
	case etf.Atom("file"):
		p, err := pathOf(t[1])
		if err != nil {
			return err
		}
		r.By, r.File = ByFile, p
	default:
		return bad
	}
	return nil
}

func toReadyReply(r *Ready, v etf.Term) error {
	switch v {
	case etf.Atom("call"):
		r.Message = false
	case etf.Atom("message"):
		r.Message = true
	default:
		return errors.New("must be call or message")
	}
	return nil
}

// settleReady checks and completes the options about readiness, which may come in any order.
func (r *reading) settleReady() *BadOption {
	ready, sp := &r.o.Ready, &r.o.Spec
	switch ready.By {
	case 0:
		if key, ok := r.has("ready_timeout", "ready_reply", "watchdog"); ok {
			return &BadOption{key, "goes with the option ready"}
		}
		return nil
	case ByLine:
		if sp.Terminal == nil && sp.Streams[workers.Stdout].Kind != workers.Pipe && sp.Streams[workers.Stderr].Kind != workers.Pipe {
			return &BadOption{etf.Atom("ready"), "must be another than {line, RegExp}: neither stdout nor stderr is a pipe"}
		}
	case ByFile:
		if !path.IsAbs(ready.File) {
			ready.File = sp.Dir + "/" + ready.File
		}
	case ByNotify:
		r.o.notifies()
	}
	if ready.Watchdog > 0 && ready.By != ByNotify {
		return &BadOption{etf.Atom("watchdog"), "goes with ready => notify"}
	}
	return nil
}

// notifies gives the program the variables to report that it is ready. Other values of these
// variables are removed.
func (o *Order) notifies() {
	o.Spec.Notify = true
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		o.env.put(variable{name: name, removed: true})
	}
	if o.Ready.Watchdog > 0 {
		o.env.put(variable{name: "WATCHDOG_USEC", value: strconv.FormatInt(o.Ready.Watchdog.Microseconds(), 10)})
	}
}
