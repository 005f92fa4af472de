package childproc

import (
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"
)

// Terms of workers. Package wire/gen has the terms that main sends too.

// text makes a binary of a string.
func text(s string) etf.Binary { return etf.Binary(s) }

// Exit reasons of a worker, besides those of every process.
var (
	reasonWatchdog  = gen.Encode(etf.Atom("watchdog"))
	reasonIntensity = gen.Encode(etf.Atom("restart_intensity"))
)

// exitTerm is a program's end, as in messages and answers.
func exitTerm(e workers.Exit) etf.Tuple {
	var how etf.Atom
	switch {
	case e.OOM:
		how = "oom"
	case e.Core:
		how = "core"
	}
	return gen.Exit(e.Status, e.Signal, how)
}

// exitReason is a program's end as the worker's exit reason.
func exitReason(e workers.Exit) etf.Raw {
	if e.Signal == 0 && e.Status == 0 {
		return gen.Normal
	}
	return gen.Encode(exitTerm(e))
}
