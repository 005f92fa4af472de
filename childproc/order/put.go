package order

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"erluv/ipc"
	"erluv/wire/etf"
	"erluv/workers"
)

// Put is a put_file request: for a file, or for a program in memory.
type Put struct {
	Order  // of the process that writes the file
	Upload ipc.Upload
	Memory bool
}

const (
	// defaultPutMode is the mode of a new file. The umask does not apply.
	defaultPutMode = 0o644

	// maxPut is the largest announced size of a file, in bytes. An exabyte must be a mistake.
	maxPut = 1 << 60

	// putEnds is how long the writing process may take to remove an incomplete file.
	putEnds = 2 * time.Second
)

// PutOf reads the Path and Opts of a put_file request.
func PutOf(out Outside, what, opts etf.Term) (*Put, *BadOption) {
	p := &Put{Order: *newOrder(out, ForSpawn), Memory: what == etf.Atom("memory"), Upload: ipc.Upload{Mode: defaultPutMode, Size: -1}}
	p.Link = false
	if !p.Memory {
		var err error
		if p.Upload.Path, err = pathOf(what); err == nil && !path.IsAbs(p.Upload.Path) {
			err = errors.New("must be an absolute path, or the atom memory")
		}
		if err != nil {
			return nil, &BadOption{etf.Atom("path"), err.Error()}
		}
	}
	r := &reading{Outside: out, request: ForPut, p: &p.Process, o: &p.Order, put: &p.Upload}
	if bad := r.options(opts); bad != nil {
		return nil, bad
	}
	if key, has := r.has("mode", "mkdir", "user"); has && p.Memory {
		return nil, &BadOption{key, "is not for memory: there is no file"}
	}
	p.Spec.Program, p.Spec.Args = "/proc/self/exe", p.Upload.Args()
	p.Spec.Streams[workers.Stderr].Kind = workers.Null
	p.Spec.StopSteps, p.Spec.KillTimeout = []workers.Step{{Close: true}}, putEnds
	return p, nil
}

func toMode(to *uint32, v etf.Term) error {
	n, ok := v.(int64)
	if !ok || n < 0 || n > 0o777 {
		return errors.New("must be a number up to 8#777")
	}
	*to = uint32(n)
	return nil
}

func toSize(to *int64, v etf.Term) error {
	n, ok := v.(int64)
	if !ok || n < 0 || n > maxPut {
		return fmt.Errorf("must be a number of bytes up to %d", int64(maxPut))
	}
	*to = n
	return nil
}

// inMemory reads a program in memory, {memory, Upload} or {memory, Upload, Name}. The name is the
// program's argument 0.
func inMemory(t etf.Term) (upload etf.Pid, name etf.Term, ok bool) {
	tu, _ := t.(etf.Tuple)
	if len(tu) != 2 && len(tu) != 3 || tu[0] != etf.Atom("memory") {
		return upload, nil, false
	}
	name = etf.Binary("memory")
	if len(tu) == 3 {
		name = tu[2]
	}
	upload, ok = tu[1].(etf.Pid)
	return upload, name, ok
}

// settleImage refuses a program in memory if the sandbox lists the files that may be executed,
// since it is none of them.
func (r *reading) settleImage() *BadOption {
	sp := &r.o.Spec
	if sp.Image == nil {
		return nil
	}
	if n := len(sp.Extra); n > 0 && sp.Extra[n-1].FD == maxFD {
		return &BadOption{etf.Atom("fds"), fmt.Sprintf("leaves no descriptor behind %d for the program in memory", maxFD)}
	}
	if c := &sp.Attributes.Confine; c.Files && !slices.Contains(c.Exec, "/") {
		return &BadOption{etf.Atom("sandbox"), "does not let a program in memory be executed, which is below none of its paths: exec must hold /"}
	}
	return nil
}
