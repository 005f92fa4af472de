package childproc

import (
	"erluv/ipc"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"golang.org/x/sys/unix"
)

// short reports whether a failure is a shortage of the system, or of the user's share, rather than
// the request's fault. The answer then has no option's key. There are two exceptions: a full disk
// on which a file was to be made, and terminals. Linux reports the same error if it has no more of
// those (pty(7), kernel.pty.max).
func short(f ipc.Refusal) bool {
	switch f.Errno {
	case unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EAGAIN, unix.ETOOMANYREFS:
		return true
	case unix.ENOSPC, unix.EDQUOT:
		switch f.Stage {
		case ipc.StageStdin, ipc.StageStdout, ipc.StageStderr, ipc.StageFD, ipc.StageTerminal:
			return false
		}
		return true
	}
	return false
}

// failureTerm is the reason why a program was not started.
func failureTerm(f ipc.Refusal) etf.Term {
	if f.Errno == unix.ECANCELED {
		return etf.Atom("stopping")
	}
	e := gen.Errno(f.Errno)
	if short(f) {
		return e
	}
	switch f.Stage {
	case ipc.StageDir:
		return etf.Tuple{etf.Atom("cd"), e}
	case ipc.StageStdin:
		return etf.Tuple{etf.Atom("stdin"), e}
	case ipc.StageStdout:
		return etf.Tuple{etf.Atom("stdout"), e}
	case ipc.StageStderr:
		return etf.Tuple{etf.Atom("stderr"), e}
	case ipc.StageFD:
		return etf.Tuple{int64(f.FD), e}
	case ipc.StageAttribute:
		return etf.Tuple{etf.Atom(f.Attribute.String()), e}
	case ipc.StageNotify:
		return etf.Tuple{etf.Atom("notify"), e}
	case ipc.StageLimits:
		return limitsTerm(f.Limit, f.Errno)
	case ipc.StageConfine:
		return etf.Tuple{etf.Atom("sandbox"), e}
	case ipc.StageUser:
		return userFailure(f.Errno)
	case ipc.StageTerminal:
		return etf.Tuple{etf.Atom("pty"), e}
	}
	return e
}

// decline answers the caller that requested a process. Processes that knew it by its name before
// its start get the signals of a process that does not exist.
func (m *manager) decline(p proc, why etf.Term) {
	m.forget(p)
	e := p.self().told()
	answers := append([]answer{{p.self().asked.waiting, why}}, e.answers(gen.Error(etf.Atom("noproc")))...)
	m.bid(p, answers, gen.Noproc, e.kept)
	m.endIfEmpty()
}

// limitsTerm is the reason why a program cannot have a limit, or cannot enter its groups.
func limitsTerm(which ipc.Limit, e unix.Errno) etf.Term {
	why := gen.Errno(e)
	if e == unix.ENOTSUP {
		why = etf.Atom("not_supported")
	}
	if which < ipc.NumLimits {
		why = etf.Tuple{etf.Atom(which.String()), why}
	}
	return etf.Tuple{etf.Atom("limits"), why}
}
