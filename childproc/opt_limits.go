package childproc

import (
	"errors"
	"fmt"

	"erluv/ipc"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"golang.org/x/sys/unix"
)

// What limits may be. Less memory than minMemory is too little for any program to
// begin; the others are the kernel's: bytes are a signed number there, and there is no
// process number above 2^22.
const (
	minMemory, maxMemory = 1 << 20, 1 << 62 // bytes
	minPIDs, maxPIDs     = 1, 1 << 22
	minCPU, maxCPUShare  = 1, 100 * 8192 // percent of one processor
)

// optLimits takes #{memory => Bytes, pids => N, cpu => Percent}, a list of pairs too.
// A limit that is not there is none, and so is infinity: the kernel's word is max.
func optLimits(to *ipc.Limits, v etf.Term) error {
	list, bad := options(v)
	if bad != nil {
		return errors.New("must be a map or list of memory, pids and cpu")
	}
	*to = ipc.Limits{}
	for _, p := range list {
		var err error
		switch key := p.Key.(etf.Atom); key {
		case "memory":
			to.Memory, err = limitIn(p.Value, minMemory, maxMemory, "memory must be a number of bytes")
		case "pids":
			var n uint64
			n, err = limitIn(p.Value, minPIDs, maxPIDs, "pids must be a number of processes and threads")
			to.PIDs = uint32(n)
		case "cpu":
			var n uint64
			n, err = limitIn(p.Value, minCPU, maxCPUShare, "cpu must be a percentage of one processor, an integer")
			to.CPU = uint32(n)
		default:
			err = fmt.Errorf("%.50s is none of memory, pids and cpu", key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// limitIn is 0 for no limit.
func limitIn(v etf.Term, low, high int64, what string) (uint64, error) {
	if v == etf.Atom("infinity") {
		return 0, nil
	}
	n, ok := v.(int64)
	if !ok || n < low || n > high {
		return 0, fmt.Errorf("%s from %d to %d, or infinity", what, low, high)
	}
	return uint64(n), nil
}

// limitsTerm is why a program cannot have a limit, or cannot enter its groups.
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
