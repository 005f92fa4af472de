package order

import (
	"errors"
	"fmt"
	"slices"

	"erluv/wire/etf"
	"erluv/workers"
)

// maxFD is the highest number of an extra descriptor.
const maxFD = 255

// FD reads the number of an extra descriptor.
func FD(t etf.Term) (workers.Stream, bool) {
	n, ok := t.(int64)
	return workers.Stream(n), ok && n > int64(workers.Stderr) && n <= maxFD
}

func (r *reading) stdin(v etf.Term) error {
	to := &r.o.Spec.Streams[workers.Stdin]
	switch v {
	case etf.Atom("pipe"):
		*to = workers.StreamSpec{Kind: workers.Pipe}
		return nil
	case etf.Atom("null"):
		*to = workers.StreamSpec{Kind: workers.Null}
		return nil
	}
	if t, ok := v.(etf.Tuple); ok && len(t) == 2 && t[0] == etf.Atom("file") {
		p, err := pathOf(t[1])
		*to = workers.StreamSpec{Kind: workers.File, Path: p}
		return err
	}
	return fmt.Errorf("must be pipe, null or {file, Path}")
}

// output takes the values of stdout and stderr.
func (r *reading) output(key etf.Atom, v etf.Term) error {
	no, i, orStdout := workers.Stdout, 0, ""
	if key == "stderr" {
		no, i, orStdout = workers.Stderr, 1, ", or stdout"
	}
	to := &r.o.Spec.Streams[no]
	if r.request == ForSpawn {
		if receivers, ok, err := ReceiversOf(v, r.Reachable); ok {
			*to = workers.StreamSpec{Kind: workers.Pipe}
			r.o.Outputs[i].To = receivers
			return err
		}
	}
	switch v := v.(type) {
	case etf.Atom:
		switch {
		case v == "null":
			*to = workers.StreamSpec{Kind: workers.Null}
			return nil
		case v == "stdout" && key == "stderr":
			*to = workers.StreamSpec{Kind: workers.ToStdout}
			return nil
		}
	case etf.Tuple:
		if (len(v) == 2 || len(v) == 3) && v[0] == etf.Atom("file") {
			return toFile(to, v)
		}
	}
	if r.request == ForRun {
		return fmt.Errorf("must be null, {file, Path} or {file, Path, Options} for run%s", orStdout)
	}
	return fmt.Errorf("must be owner, {pid, Pid}, a list of these, null, {file, Path} or {file, Path, Options}%s", orStdout)
}

// fds takes #{N => Value}, or such pairs in a list. A value is pipe, {pid, Pid}, a list of owner
// and {pid, Pid}, {pipe, in}, null, {file, Path} or {file, Path, Options}.
func (r *reading) fds(v etf.Term) error {
	pairs, ok := pairsOf(v)
	if !ok {
		return fmt.Errorf("must be a map or list of descriptors and their values")
	}
	if len(pairs) > workers.MaxExtra {
		return fmt.Errorf("must have at most %d descriptors", workers.MaxExtra)
	}
	o := r.o
	for _, p := range pairs {
		fd, ok := FD(p.Key)
		if !ok {
			return fmt.Errorf("a descriptor is a number from %d to %d", workers.Stderr+1, maxFD)
		}
		if slices.ContainsFunc(o.Spec.Extra, func(e workers.Extra) bool { return e.FD == fd }) {
			return fmt.Errorf("has descriptor %d twice", fd)
		}
		e := workers.Extra{FD: fd}
		if err := r.fd(&e, p.Value); err != nil {
			return err
		}
		o.Spec.Extra = append(o.Spec.Extra, e)
	}
	slices.SortFunc(o.Spec.Extra, func(a, b workers.Extra) int { return int(a.FD) - int(b.FD) })
	slices.SortFunc(o.Outputs, func(a, b Output) int { return int(a.FD) - int(b.FD) })
	return nil
}

// fd takes the value of one of them.
func (r *reading) fd(e *workers.Extra, v etf.Term) error {
	spawn := r.request == ForSpawn
	switch v := v.(type) {
	case etf.Atom:
		switch {
		case v == "null":
			e.Kind = workers.Null
			return nil
		case v == "pipe" && spawn:
			r.o.Outputs = append(r.o.Outputs, Output{FD: e.FD})
			return nil
		}
	case etf.List:
		if ok, err := r.sent(e.FD, v); ok {
			return err
		}
	case etf.Tuple:
		switch {
		case len(v) == 2 && v[0] == etf.Atom("pipe") && v[1] == etf.Atom("in") && spawn:
			e.Input = true
			return nil
		case len(v) == 2 && v[0] == etf.Atom("pid"):
			if ok, err := r.sent(e.FD, v); ok {
				return err
			}
		case (len(v) == 2 || len(v) == 3) && v[0] == etf.Atom("file"):
			return toFileOrInput(e, v)
		}
	}
	if !spawn {
		return fmt.Errorf("descriptor %d must be null, {file, Path} or {file, Path, Options} for run", e.FD)
	}
	return fmt.Errorf("descriptor %d must be pipe, {pid, Pid}, a list of owner and {pid, Pid}, {pipe, in}, null, {file, Path} or {file, Path, Options}", e.FD)
}

// sent takes receivers of a descriptor's output. ok is false for another value.
func (r *reading) sent(fd workers.Stream, v etf.Term) (ok bool, err error) {
	if r.request == ForRun {
		return false, nil
	}
	to, ok, err := ReceiversOf(v, r.Reachable)
	if ok {
		r.o.Outputs = append(r.o.Outputs, Output{FD: fd, To: to})
	}
	return ok, err
}

// toFileOrInput takes {file, Path, [read]} besides the files for output.
func toFileOrInput(e *workers.Extra, v etf.Tuple) error {
	if list, ok := v[len(v)-1].(etf.List); ok && len(v) == 3 && len(list) == 1 && list[0] == etf.Atom("read") {
		e.Input = true
		v = v[:2]
	}
	return toFile(&e.StreamSpec, v)
}

const (
	// defaultFileMode is the mode of a new file for output, before the umask.
	defaultFileMode = 0o666

	// Bounds of the option rotate. A file of a petabyte must be a mistake, and each rotation
	// renames all kept files.
	maxLogSize = 1 << 50 // bytes
	maxLogKeep = 100
)

// toFile takes {file, Path} and {file, Path, [append | {mode, M} | {rotate, R}]}.
func toFile(to *workers.StreamSpec, v etf.Tuple) error {
	p, err := pathOf(v[1])
	if err != nil {
		return err
	}
	*to = workers.StreamSpec{Kind: workers.File, Path: p, Mode: defaultFileMode}
	if len(v) == 2 {
		return nil
	}
	opts, ok := v[2].(etf.List)
	if !ok {
		return errFileOptions
	}
	for _, opt := range opts {
		if err := toFileOption(to, opt); err != nil {
			return err
		}
	}
	return nil
}

func toFileOption(to *workers.StreamSpec, opt etf.Term) (err error) {
	if opt == nil {
		return nil
	}
	if opt == etf.Atom("append") {
		to.Append = true
		return nil
	}
	t, ok := opt.(etf.Tuple)
	if !ok || len(t) != 2 {
		return errFileOptions
	}
	switch t[0] {
	case etf.Atom("mode"):
		mode, ok := t[1].(int64)
		if !ok || mode < 0 || mode > 0o777 {
			return errors.New("the file's mode must be a number up to 8#777")
		}
		to.Mode = uint32(mode)
	case etf.Atom("rotate"):
		to.Rotate, err = rotationOf(t[1])
	default:
		return errFileOptions
	}
	return err
}

var errFileOptions = errors.New("the file's options are a list of append, {mode, Mode} and {rotate, #{size, count}}")

// rotationOf takes #{size => Bytes, count => N}.
func rotationOf(t etf.Term) (*workers.Rotation, error) {
	list, bad := Options(t)
	var r workers.Rotation
	for _, o := range list {
		n, ok := o.Value.(int64)
		switch {
		case ok && o.Key == etf.Atom("size") && n >= workers.MinLog && n <= maxLogSize:
			r.Size = n
		case ok && o.Key == etf.Atom("count") && n >= 1 && n <= maxLogKeep:
			r.Keep = uint16(n)
		default:
			bad = &BadOption{}
		}
	}
	if bad != nil || r.Size == 0 || r.Keep == 0 {
		return nil, fmt.Errorf("rotate must be #{size => Bytes, count => N}, Bytes from %d to %d, N from 1 to %d",
			workers.MinLog, maxLogSize, maxLogKeep)
	}
	return &r, nil
}
