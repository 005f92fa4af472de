package childproc

import (
	"fmt"

	"erluv/etf"
	"erluv/workers"
)

// defaultFileMode is the mode of a file that output is written to, before the
// umask.
const defaultFileMode = 0o666

// optFile takes {file, Path} and {file, Path, [append | {mode, M}]}.
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
		if !ok || len(t) != 2 || t[0] != etf.Atom("mode") {
			return errFileOptions
		}
		mode, ok := t[1].(int64)
		if !ok || mode < 0 || mode > 0o777 {
			return fmt.Errorf("the file's mode must be a number up to 8#777")
		}
		to.Mode = uint32(mode)
	}
	return nil
}

var errFileOptions = fmt.Errorf("the file's options are a list of append and {mode, Mode}")
