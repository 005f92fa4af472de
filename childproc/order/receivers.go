package order

import (
	"fmt"

	"erluv/wire/etf"
	"erluv/workers"
)

// MaxReceivers is the maximum number of processes that get the output of one stream. Each gets its
// own copy.
const MaxReceivers = 16

// Output is stdout, stderr or another output pipe of a program.
type Output struct {
	FD workers.Stream
	To *Receivers // nil means the owner

	Kept bool // it goes to no process, and is read for the log alone
}

// Receivers are the processes that get the output of a stream, if that is not the owner alone.
type Receivers struct {
	Owner bool // the owner too, as the first
	List  []etf.Pid
}

// ReceiversOf reads owner, {pid, Pid}, or a list of these. ok is false for another value.
func ReceiversOf(v etf.Term, reachable func(etf.Pid) error) (to *Receivers, ok bool, err error) {
	var r Receivers
	list, isList := v.(etf.List)
	if !isList {
		list = etf.List{v}
	}
	if len(list) == 0 || len(list) > MaxReceivers {
		return nil, isList, fmt.Errorf("must have 1 to %d receivers", MaxReceivers)
	}
	for _, t := range list {
		if t == etf.Atom("owner") {
			if r.Owner {
				return nil, true, fmt.Errorf("has the owner twice")
			}
			r.Owner = true
			continue
		}
		tu, isTuple := t.(etf.Tuple)
		if !isTuple || len(tu) != 2 || tu[0] != etf.Atom("pid") {
			return nil, false, nil
		}
		pid, isPid := tu[1].(etf.Pid)
		if !isPid {
			return nil, false, nil
		}
		if err := reachable(pid); err != nil {
			return nil, true, err
		}
		r.List = append(r.List, pid)
	}
	if r.Owner && r.List == nil {
		return nil, true, nil
	}
	return &r, true, nil
}
