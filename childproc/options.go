package childproc

import (
	"fmt"
	"path"
	"strings"
	"time"

	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"
)

// The values of single options. Each function says what would be right.

func (m *manager) optOwner(o *order, v etf.Term) error {
	if v == etf.Atom("none") {
		o.owner = etf.Pid{}
		return nil
	}
	pid, ok := v.(etf.Pid)
	if !ok {
		return fmt.Errorf("must be a pid or none")
	}
	if err := m.reachable(pid); err != nil {
		return err
	}
	o.owner = pid
	return nil
}

// reachable refuses pids of other nodes than the one that is served: there is no
// connection to them.
func (m *manager) reachable(pid etf.Pid) error {
	if string(pid.Node) != m.start.Target {
		return fmt.Errorf("must be a process of %s, the node that is served", m.start.Target)
	}
	return nil
}

// optFlow takes auto, or {active, true | once | false | N}.
func optFlow(to *active, v etf.Term) error {
	if v == etf.Atom("auto") {
		*to = active{mode: activeTrue, auto: true}
		return nil
	}
	if t, ok := v.(etf.Tuple); ok && len(t) == 2 && t[0] == etf.Atom("active") {
		if a, ok := activeOf(t[1]); ok && a.count >= 0 {
			*to = a
			return nil
		}
	}
	return fmt.Errorf("must be auto or {active, true | once | false | N}, N up to 32767")
}

func optBool(to *bool, v etf.Term) error {
	switch v {
	case etf.Atom("true"):
		*to = true
	case etf.Atom("false"):
		*to = false
	default:
		return fmt.Errorf("must be true or false")
	}
	return nil
}

func optTree(to *workers.Tree, v etf.Term) error {
	switch v {
	case etf.Atom("kill"):
		*to = workers.TreeKill
	case etf.Atom("wait"):
		*to = workers.TreeWait
	case etf.Atom("leave"):
		*to = workers.TreeLeave
	default:
		return fmt.Errorf("must be kill, wait or leave")
	}
	return nil
}

// optPath reads a path.
func optPath(v etf.Term) (string, error) {
	s, ok := etf.Text(v)
	if !ok || s == "" || strings.IndexByte(s, 0) >= 0 {
		return "", fmt.Errorf("must be a path, as a binary or string")
	}
	return s, nil
}

func optDir(to *string, v etf.Term) error {
	s, err := optPath(v)
	if err != nil {
		return err
	}
	if !path.IsAbs(s) {
		return fmt.Errorf("must be an absolute path")
	}
	*to = s
	return nil
}

// optSearch takes directories with colons between them, as PATH has them (environ(7)).
func optSearch(to *string, v etf.Term) error {
	s, err := optPath(v)
	if err != nil {
		return fmt.Errorf("must be directories with colons between them, a binary or string")
	}
	*to = s
	return nil
}

func optMillis(to *time.Duration, v etf.Term) error {
	n, ok := v.(int64)
	if !ok || n < 0 || n > int64(maxMillis) {
		return fmt.Errorf("must be a number of milliseconds up to %d", maxMillis)
	}
	*to = time.Duration(n) * time.Millisecond
	return nil
}

// optTimeout takes milliseconds from 1, or infinity, which is 0.
func optTimeout(to *time.Duration, v etf.Term) error {
	if v == etf.Atom("infinity") {
		*to = 0
		return nil
	}
	if n, ok := v.(int64); ok && n >= 1 && n <= int64(maxMillis) {
		*to = time.Duration(n) * time.Millisecond
		return nil
	}
	return fmt.Errorf("must be infinity or a number of milliseconds from 1 to %d", maxMillis)
}

// optName takes the name under which a worker is registered on our node.
func optName(to *etf.Atom, v etf.Term) error {
	name, ok := v.(etf.Atom)
	if !ok || name == "undefined" || gen.IsName(name) {
		return fmt.Errorf("must be an atom that is not undefined, %s, %s or %s", gen.Manager, gen.Main, gen.NetKernel)
	}
	*to = name
	return nil
}

// maxMillis bounds times: 2^32-1 ms, as with Erlang's timers.
const maxMillis = 1<<32 - 1

func optStdin(to *workers.StreamSpec, v etf.Term) error {
	switch v {
	case etf.Atom("pipe"):
		*to = workers.StreamSpec{Kind: workers.Pipe}
		return nil
	case etf.Atom("null"):
		*to = workers.StreamSpec{Kind: workers.Null}
		return nil
	}
	if t, ok := v.(etf.Tuple); ok && len(t) == 2 && t[0] == etf.Atom("file") {
		p, err := optPath(t[1])
		*to = workers.StreamSpec{Kind: workers.File, Path: p}
		return err
	}
	return fmt.Errorf("must be pipe, null or {file, Path}")
}

func (m *manager) optOutput(o *order, key etf.Atom, v etf.Term) error {
	no, i := workers.Stdout, 0
	if key == "stderr" {
		no, i = workers.Stderr, 1
	}
	to := &o.spec.Streams[no]
	if !o.run {
		if r, ok, err := m.receiversOf(v); ok {
			*to = workers.StreamSpec{Kind: workers.Pipe}
			o.streams[i].to = r
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
			return optFile(to, v)
		}
	}
	if o.run {
		return fmt.Errorf("must be null, {file, Path} or {file, Path, Options} for run%s", orStdout(key))
	}
	return fmt.Errorf("must be owner, {pid, Pid}, a list of these, null, {file, Path} or {file, Path, Options}%s", orStdout(key))
}

func orStdout(key etf.Atom) string {
	if key == "stderr" {
		return ", or stdout"
	}
	return ""
}

func optInput(o *order, v etf.Term) error {
	b, err := etf.AppendIOData([]byte{}, gen.Encode(v), maxRequest)
	if err != nil {
		return fmt.Errorf("must be iodata")
	}
	o.input = b
	return nil
}
