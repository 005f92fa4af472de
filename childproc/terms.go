package childproc

import (
	"bytes"
	"errors"
	"strings"

	"erluv/wire/etf"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// Terms that are made here, in the few forms that the contract has.

func errorTerm(reason etf.Term) etf.Term { return etf.Tuple{etf.Atom("error"), reason} }

func okTerm(v etf.Term) etf.Term { return etf.Tuple{etf.Atom("ok"), v} }

func badRequest(req etf.Raw) etf.Term {
	return errorTerm(etf.Tuple{etf.Atom("bad_request"), req})
}

// stopRequest reads {stop, Reason}, whose reason need not be built.
func stopRequest(req etf.Raw) (reason etf.Raw, ok bool) { return pairOf("stop", req) }

// pairOf is the second element of {Tag, Term}, undecoded.
func pairOf(tag etf.Atom, term etf.Raw) (second etf.Raw, ok bool) {
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

// text is a binary made of a string.
func text(s string) etf.Binary { return etf.Binary(s) }

func boolTerm(v bool) etf.Term {
	if v {
		return etf.Atom("true")
	}
	return etf.Atom("false")
}

// raw encodes a term; it is used for terms that are kept.
func raw(t etf.Term) etf.Raw {
	b, err := etf.AppendTerm(nil, t)
	if err != nil {
		panic("childproc: " + err.Error())
	}
	return b
}

// Reasons with which a process of ours ends.
var (
	reasonNormal   = raw(etf.Atom("normal"))
	reasonKill     = raw(etf.Atom("kill"))
	reasonKilled   = raw(etf.Atom("killed"))
	reasonNoproc   = raw(etf.Atom("noproc"))
	reasonBadsig   = raw(etf.Atom("badsig"))
	reasonShutdown = raw(etf.Atom("shutdown"))
	reasonTimeout  = raw(etf.Atom("timeout"))
	reasonWatchdog = raw(etf.Atom("watchdog"))
	reasonLimit    = raw(etf.Atom("system_limit"))

	reasonIntensity    = raw(etf.Atom("restart_intensity"))
	reasonNoconnection = raw(etf.Atom("noconnection"))
)

// isAtom says whether an encoded term is the atom of another, in whichever form
// the node has sent it.
func isAtom(t, atom etf.Raw) bool {
	if bytes.Equal(t, atom) {
		return true
	}
	r, w := etf.NewReader(t), etf.NewReader(atom)
	a, err := r.Atom()
	b, _ := w.Atom()
	return err == nil && a == b
}

// exitTerm is how a program ended, as in messages and answers.
func exitTerm(e workers.Exit) etf.Tuple {
	if e.Signal == 0 {
		return etf.Tuple{etf.Atom("exit_status"), int64(e.Status)}
	}
	if e.OOM {
		return etf.Tuple{etf.Atom("signal"), signalTerm(e.Signal), etf.Atom("oom")}
	}
	if e.Core {
		return etf.Tuple{etf.Atom("signal"), signalTerm(e.Signal), etf.Atom("core")}
	}
	return etf.Tuple{etf.Atom("signal"), signalTerm(e.Signal)}
}

// exitReason is how a program ended, as the worker's exit reason.
func exitReason(e workers.Exit) etf.Raw {
	if e.Signal == 0 && e.Status == 0 {
		return reasonNormal
	}
	return raw(exitTerm(e))
}

// signalTerm names a signal: an atom, or the number of a real-time signal.
func signalTerm(s unix.Signal) etf.Term {
	if name := unix.SignalName(s); name != "" {
		return etf.Atom(strings.ToLower(name))
	}
	return int64(s)
}

// errnoTerm names an error of the system as Erlang does: enoent.
func errnoTerm(e unix.Errno) etf.Term {
	if name := unix.ErrnoName(e); name != "" {
		return etf.Atom(strings.ToLower(name))
	}
	return int64(e)
}

// maxSignal is the last signal of Linux.
const maxSignal = 64

// signalOf reads a signal: sigterm and the like, or a number from 1.
func signalOf(t etf.Term) (unix.Signal, error) {
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
