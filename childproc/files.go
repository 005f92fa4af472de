package childproc

import (
	"fmt"

	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// defaultFileMode is the mode of a file that output is written to, before the
// umask.
const defaultFileMode = 0o666

// Bounds of the option rotate: files of a petabyte are not meant, and each rotation
// renames all that are kept.
const (
	maxLogSize = 1 << 50 // bytes
	maxLogKeep = 100
)

// optFile takes {file, Path} and {file, Path, [append | {mode, M} | {rotate, R}]}.
func optFile(to *workers.StreamSpec, v etf.Tuple) error {
	p, err := optPath(v[1])
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
		if opt == nil {
			continue
		}
		if opt == etf.Atom("append") {
			to.Append = true
			continue
		}
		t, ok := opt.(etf.Tuple)
		if !ok || len(t) != 2 {
			return errFileOptions
		}
		switch t[0] {
		case etf.Atom("mode"):
			mode, ok := t[1].(int64)
			if !ok || mode < 0 || mode > 0o777 {
				return fmt.Errorf("the file's mode must be a number up to 8#777")
			}
			to.Mode = uint32(mode)
		case etf.Atom("rotate"):
			if to.Rotate, err = rotationOf(t[1]); err != nil {
				return err
			}
		default:
			return errFileOptions
		}
	}
	return nil
}

var errFileOptions = fmt.Errorf("the file's options are a list of append, {mode, Mode} and {rotate, #{size, count}}")

// rotationOf takes #{size => Bytes, count => N}.
func rotationOf(t etf.Term) (*workers.Rotation, error) {
	list, bad := options(t)
	var r workers.Rotation
	for _, o := range list {
		n, ok := o.Value.(int64)
		switch {
		case ok && o.Key == etf.Atom("size") && n >= workers.MinLog && n <= maxLogSize:
			r.Size = n
		case ok && o.Key == etf.Atom("count") && n >= 1 && n <= maxLogKeep:
			r.Keep = uint16(n)
		default:
			bad = &badOption{}
		}
	}
	if bad != nil || r.Size == 0 || r.Keep == 0 {
		return nil, fmt.Errorf("rotate must be #{size => Bytes, count => N}, Bytes from %d to %d, N from 1 to %d",
			workers.MinLog, maxLogSize, maxLogKeep)
	}
	return &r, nil
}

// FileFailed: output could not be written to its file, or that not be rotated.
func (m *manager) FileFailed(w *workers.Worker, s workers.Stream, e unix.Errno) {
	p := w.Tag.(*proc)
	if p.run == nil {
		m.tellLast(wordOfFile(s), p.owner, p, etf.Tuple{streamTerm(s), gen.Error(gen.Errno(e))})
	}
}
