package childproc

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"erluv/ipc"
	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

// The options that are attributes of the process.

func optNice(to *ipc.Attributes, v etf.Term) error {
	n, ok := v.(int64)
	if !ok || n < -20 || n > 19 {
		return fmt.Errorf("must be a number from -20 to 19")
	}
	to.SetNice, to.Nice = true, int8(n)
	return nil
}

func optUmask(to *uint32, v etf.Term) error {
	n, ok := v.(int64)
	if !ok || n < 0 || n > 0o777 {
		return fmt.Errorf("must be a number up to 8#777")
	}
	*to = uint32(n)
	return nil
}

func optOOM(to *ipc.Attributes, v etf.Term) error {
	n, ok := v.(int64)
	if !ok || n < -1000 || n > 1000 {
		return fmt.Errorf("must be a number from -1000 to 1000")
	}
	to.SetOOM, to.OOMScoreAdj = true, int16(n)
	return nil
}

// maxCPU is the highest number of a processor: glibc's cpu_set_t ends there.
const maxCPU = 1023

func optCPUs(to *ipc.Attributes, v etf.Term) error {
	bad := fmt.Errorf("must be a list of processors, numbers from 0 to %d", maxCPU)
	list, ok := etf.Elements(v)
	if !ok || len(list) == 0 {
		return bad
	}
	var cpus []uint16
	for _, t := range list {
		n, ok := t.(int64)
		if !ok || n < 0 || n > maxCPU {
			return bad
		}
		if !slices.Contains(cpus, uint16(n)) {
			cpus = append(cpus, uint16(n))
		}
	}
	to.CPUs = cpus
	return nil
}

// rlimits are all limits of Linux by the names of getrlimit(2).
var rlimits = map[etf.Atom]uint8{
	"as":         unix.RLIMIT_AS,
	"core":       unix.RLIMIT_CORE,
	"cpu":        unix.RLIMIT_CPU,
	"data":       unix.RLIMIT_DATA,
	"fsize":      unix.RLIMIT_FSIZE,
	"locks":      unix.RLIMIT_LOCKS,
	"memlock":    unix.RLIMIT_MEMLOCK,
	"msgqueue":   unix.RLIMIT_MSGQUEUE,
	"nice":       unix.RLIMIT_NICE,
	"nofile":     unix.RLIMIT_NOFILE,
	"nproc":      unix.RLIMIT_NPROC,
	"rss":        unix.RLIMIT_RSS,
	"rtprio":     unix.RLIMIT_RTPRIO,
	"rttime":     unix.RLIMIT_RTTIME,
	"sigpending": unix.RLIMIT_SIGPENDING,
	"stack":      unix.RLIMIT_STACK,
}

// optRlimits takes #{Name => Limit | {Soft, Hard}} or such a list of pairs.
func optRlimits(to *ipc.Attributes, v etf.Term) error {
	list, bad := options(v)
	if bad != nil {
		return fmt.Errorf("must be a map or list of names and limits")
	}
	var all []ipc.Rlimit
	for _, p := range list {
		name := p.Key.(etf.Atom)
		n, ok := rlimits[name]
		if !ok {
			return fmt.Errorf("there is no limit of this name: %.50q; there are %s", name, limitNames())
		}
		l := ipc.Rlimit{Resource: n}
		soft, hard := p.Value, p.Value
		if t, ok := p.Value.(etf.Tuple); ok && len(t) == 2 {
			soft, hard = t[0], t[1]
		}
		var ok1, ok2 bool
		l.Soft, ok1 = limitOf(soft)
		l.Hard, ok2 = limitOf(hard)
		if !ok1 || !ok2 || l.Soft > l.Hard {
			return fmt.Errorf("%s must be a number, infinity, or {Soft, Hard} of these, Soft not above Hard", name)
		}
		all = append(all, l)
	}
	to.Rlimits = all
	return nil
}

func limitOf(t etf.Term) (uint64, bool) {
	if t == etf.Atom("infinity") {
		return math.MaxUint64, true
	}
	n, ok := t.(int64)
	return uint64(n), ok && n >= 0
}

func limitNames() string {
	var names []string
	for n := range rlimits {
		names = append(names, string(n))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
