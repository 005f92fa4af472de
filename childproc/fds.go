package childproc

import (
	"fmt"
	"slices"

	"erluv/wire/etf"
	"erluv/workers"
)

// Descriptors of a program beyond the standard ones: the option fds.

// maxFD is the highest number of one.
const maxFD = 255

// fdOf reads the number of a further descriptor.
func fdOf(t etf.Term) (workers.Stream, bool) {
	n, ok := t.(int64)
	return workers.Stream(n), ok && n > int64(workers.Stderr) && n <= maxFD
}

// inputArg reads the descriptor out of {write, FD, IoData}. What is none is one
// that nobody can write to.
func inputArg(r *etf.Reader) workers.Stream {
	if n, err := r.Int(); err == nil {
		if fd, ok := fdOf(n); ok {
			return fd
		}
	}
	return workers.Stdout
}

// optFDs takes #{N => pipe | {pid, Pid} | {pipe, in} | null | {file, Path} | {file,
// Path, Options}} or such a list of pairs.
func (m *manager) optFDs(o *order, v etf.Term) error {
	pairs, ok := pairsOf(v)
	if !ok {
		return fmt.Errorf("must be a map or list of descriptors and what they are")
	}
	if len(pairs) > workers.MaxExtra {
		return fmt.Errorf("must be %d descriptors at most", workers.MaxExtra)
	}
	for _, p := range pairs {
		fd, ok := fdOf(p.Key)
		if !ok {
			return fmt.Errorf("a descriptor is a number from %d to %d", workers.Stderr+1, maxFD)
		}
		if slices.ContainsFunc(o.spec.Extra, func(e workers.Extra) bool { return e.FD == fd }) {
			return fmt.Errorf("descriptor %d is there twice", fd)
		}
		e := workers.Extra{FD: fd}
		if err := m.optFD(o, &e, p.Value); err != nil {
			return err
		}
		o.spec.Extra = append(o.spec.Extra, e)
	}
	slices.SortFunc(o.spec.Extra, func(a, b workers.Extra) int { return int(a.FD) - int(b.FD) })
	slices.SortFunc(o.streams, func(a, b stream) int { return int(a.no) - int(b.no) })
	return nil
}

func (m *manager) optFD(o *order, e *workers.Extra, v etf.Term) error {
	switch v := v.(type) {
	case etf.Atom:
		switch {
		case v == "null":
			e.Kind = workers.Null
			return nil
		case v == "pipe" && !o.run:
			o.streams = append(o.streams, stream{no: e.FD})
			return nil
		}
	case etf.List:
		if r, ok, err := m.receiversOf(v); ok && !o.run {
			o.streams = append(o.streams, stream{no: e.FD, to: r})
			return err
		}
	case etf.Tuple:
		switch {
		case len(v) == 2 && v[0] == etf.Atom("pipe") && v[1] == etf.Atom("in") && !o.run:
			e.Input = true
			return nil
		case len(v) == 2 && v[0] == etf.Atom("pid") && !o.run:
			if r, ok, err := m.receiversOf(v); ok {
				o.streams = append(o.streams, stream{no: e.FD, to: r})
				return err
			}
		case (len(v) == 2 || len(v) == 3) && v[0] == etf.Atom("file"):
			return optFileOrInput(e, v)
		}
	}
	if o.run {
		return fmt.Errorf("descriptor %d must be null, {file, Path} or {file, Path, Options} for run", e.FD)
	}
	return fmt.Errorf("descriptor %d must be pipe, {pid, Pid}, a list of owner and {pid, Pid}, {pipe, in}, null, {file, Path} or {file, Path, Options}", e.FD)
}

// optFileOrInput takes {file, Path, [read]} besides what output can be.
func optFileOrInput(e *workers.Extra, v etf.Tuple) error {
	if list, ok := v[len(v)-1].(etf.List); ok && len(v) == 3 && len(list) == 1 && list[0] == etf.Atom("read") {
		e.Input = true
		v = v[:2]
	}
	return optFile(&e.StreamSpec, v)
}

// pairsOf reads a map or a list of pairs.
func pairsOf(v etf.Term) ([]etf.Pair, bool) {
	list, ok := v.(etf.List)
	if !ok {
		m, ok := v.(etf.Map)
		return m, ok
	}
	pairs := make([]etf.Pair, 0, len(list))
	for _, t := range list {
		tu, ok := t.(etf.Tuple)
		if !ok || len(tu) != 2 {
			return nil, false
		}
		pairs = append(pairs, etf.Pair{Key: tu[0], Value: tu[1]})
	}
	return pairs, true
}
