package gen

import (
	"bytes"
	"errors"
	"strings"

	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

// Append appends a term of erluv, which can always be encoded. Its Raw parts have been read before,
// so only a defect of erluv can make it fail. Then it panics.
func Append(b []byte, t etf.Term) []byte {
	b, err := etf.AppendTerm(b, t)
	if err != nil {
		panic("gen: cannot encode a term of ours: " + err.Error())
	}
	return b
}

// Encode encodes a term of erluv.
func Encode(t etf.Term) etf.Raw { return Append(nil, t) }

// Error returns {error, Reason}.
func Error(reason etf.Term) etf.Term { return etf.Tuple{etf.Atom("error"), reason} }

// OK returns {ok, Value}.
func OK(v etf.Term) etf.Term { return etf.Tuple{etf.Atom("ok"), v} }

// BadRequest is the answer to an unknown request.
func BadRequest(req etf.Raw) etf.Term { return Error(etf.Tuple{etf.Atom("bad_request"), req}) }

// TooLarge is the answer to something beyond a limit. Size and limit are in bytes, or in workers
// for the list of all workers.
func TooLarge(size, limit int) etf.Term {
	return Error(etf.Tuple{etf.Atom("too_large"), int64(size), int64(limit)})
}

// Second returns the second element of {Tag, Term}, not decoded.
func Second(tag etf.Atom, term etf.Raw) (second etf.Raw, ok bool) {
	r := etf.NewReader(term)
	if n, err := r.Tuple(); err != nil || n != 2 {
		return nil, false
	}
	if a, err := r.Atom(); err != nil || a != tag {
		return nil, false
	}
	second, err := r.Raw()
	return second, err == nil
}

// IsAtom reports whether an encoded term is the same atom as another, in any form.
func IsAtom(t, atom etf.Raw) bool {
	if bytes.Equal(t, atom) {
		return true
	}
	r, w := etf.NewReader(t), etf.NewReader(atom)
	a, err := r.Atom()
	b, _ := w.Atom()
	return err == nil && a == b
}

// Reasons of exits and exit signals of erluv's processes.
var (
	Normal       = Encode(etf.Atom("normal"))
	Kill         = Encode(etf.Atom("kill"))
	Killed       = Encode(etf.Atom("killed"))
	Noproc       = Encode(etf.Atom("noproc"))
	Badsig       = Encode(etf.Atom("badsig"))
	Shutdown     = Encode(etf.Atom("shutdown"))
	Timeout      = Encode(etf.Atom("timeout"))
	SystemLimit  = Encode(etf.Atom("system_limit"))
	Noconnection = Encode(etf.Atom("noconnection"))
)

// Exit returns the end of a program: {exit_status, N}, {signal, S}, or {signal, S, How}, where How
// is core or oom. If there is no signal, the status counts.
func Exit(status int, s unix.Signal, how etf.Atom) etf.Tuple {
	switch {
	case s == 0:
		return etf.Tuple{etf.Atom("exit_status"), int64(status)}
	case how == "":
		return etf.Tuple{etf.Atom("signal"), Signal(s)}
	}
	return etf.Tuple{etf.Atom("signal"), Signal(s), how}
}

// Signal returns the name of a signal as an atom, or the number of a real-time signal.
func Signal(s unix.Signal) etf.Term {
	if name := unix.SignalName(s); name != "" {
		return etf.Atom(strings.ToLower(name))
	}
	return int64(s)
}

// Errno returns the name of a system error as in Erlang, such as enoent.
func Errno(e unix.Errno) etf.Term {
	if name := unix.ErrnoName(e); name != "" {
		return etf.Atom(strings.ToLower(name))
	}
	return int64(e)
}

// maxSignal is the last signal of Linux.
const maxSignal = 64

// ReadSignal reads a signal: sigterm and the like, or a number from 1.
func ReadSignal(t etf.Term) (unix.Signal, error) {
	switch v := t.(type) {
	case etf.Atom:
		if s := unix.SignalNum(strings.ToUpper(string(v))); s != 0 && strings.HasPrefix(string(v), "sig") {
			return s, nil
		}
	case int64:
		if v >= 1 && v <= maxSignal {
			return unix.Signal(v), nil
		}
	}
	return 0, errors.New("must be a signal, such as sigterm, or its number")
}
