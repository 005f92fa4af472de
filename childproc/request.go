package childproc

import (
	"fmt"
	"path"
	"strings"
	"time"

	"erluv/etf"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

const (
	// maxRequest bounds a request to the manager, in bytes. Linux takes about
	// 2 MiB of arguments and environment; the rest is for the input of a run.
	maxRequest = 16 << 20

	// defaultMaxOutput and maxOutput bound what a run collects, in bytes for
	// both streams together: by default, and at most.
	defaultMaxOutput = 16 << 20
	maxOutput        = 32 << 20

	// defaultUmask is a worker's umask.
	defaultUmask = 0o022

	// defaultFileMode is the mode of a file that output is written to, before
	// the umask.
	defaultFileMode = 0o666
)

// badOption is {bad_option, Key, Why}; nothing is started.
type badOption struct {
	key etf.Term
	why string
}

func (b *badOption) term() etf.Term {
	return errorTerm(etf.Tuple{etf.Atom("bad_option"), b.key, text(b.why)})
}

// order is what a spawn or run request asks for.
type order struct {
	spec      workers.Spec
	owner     etf.Pid // the zero pid: none
	link      bool
	detached  bool
	streams   [2]stream // stdout and stderr
	packet    packet
	active    active
	input     []byte // run
	maxOutput int    // run
	inherit   []string
	run       bool
}

// orderOf reads Cmd and Opts.
func (m *manager) orderOf(caller etf.Pid, cmd, opts etf.Term, run bool) (*order, *badOption) {
	o := &order{owner: caller, link: !run, run: run, maxOutput: defaultMaxOutput}
	o.streams[0].toOwner, o.streams[1].toOwner = true, true
	o.active.mode = activeTrue
	o.spec.Dir = "/"
	o.spec.Umask = defaultUmask
	o.spec.KillSignal = unix.SIGTERM
	o.spec.KillTimeout = m.killTimeout
	if run {
		o.spec.Streams[workers.Stdin].Kind = workers.Null
	}
	if err := o.command(cmd); err != nil {
		return nil, err
	}
	list, bad := options(opts)
	if bad != nil {
		return nil, bad
	}
	for _, opt := range list {
		if why := m.option(o, opt.Key.(etf.Atom), opt.Value); why != nil {
			return nil, &badOption{opt.Key, why.Error()}
		}
	}
	for _, name := range o.inherit {
		if v, ok := m.environ[name]; ok {
			o.spec.Env = append(o.spec.Env, name+"="+v)
		}
	}
	if run {
		if o.input != nil {
			o.spec.Streams[workers.Stdin].Kind = workers.Pipe
		}
	}
	for i := range o.streams {
		if o.streams[i].toOwner {
			o.streams[i].to = o.owner
		}
	}
	return o, nil
}

// command reads [Program | Args], or one string for the shell.
func (o *order) command(cmd etf.Term) *badOption {
	bad := func(format string, args ...any) *badOption {
		return &badOption{etf.Atom("cmd"), fmt.Sprintf(format, args...)}
	}
	if list, ok := cmd.(etf.List); ok && len(list) > 0 {
		if _, isChar := list[0].(int64); !isChar {
			for i, t := range list {
				s, ok := etf.Text(t)
				if !ok {
					return bad("element %d is neither a binary nor a string", i+1)
				}
				if strings.IndexByte(s, 0) >= 0 {
					return bad("element %d holds a NUL byte", i+1)
				}
				o.spec.Args = append(o.spec.Args, s)
			}
			o.spec.Program = o.spec.Args[0]
			return nil
		}
	}
	s, ok := etf.Text(cmd)
	if !ok || s == "" {
		return bad("must be [Program | Args] of binaries or strings, or one binary or string for the shell")
	}
	if strings.IndexByte(s, 0) >= 0 {
		return bad("holds a NUL byte")
	}
	o.spec.Program = "/bin/sh"
	o.spec.Args = []string{"/bin/sh", "-c", s}
	return nil
}

// options reads a map or a property list. As in proplists(3erl) an atom stands
// for {Atom, true}, and the first of several is taken.
func options(opts etf.Term) ([]etf.Pair, *badOption) {
	var list []etf.Pair
	switch v := opts.(type) {
	case etf.Map:
		list = v
	case etf.List:
		seen := make(map[etf.Atom]bool)
		for _, t := range v {
			p := etf.Pair{Key: t, Value: etf.Atom("true")}
			if tu, ok := t.(etf.Tuple); ok && len(tu) == 2 {
				p = etf.Pair{Key: tu[0], Value: tu[1]}
			}
			if a, ok := p.Key.(etf.Atom); ok {
				if seen[a] {
					continue
				}
				seen[a] = true
			}
			list = append(list, p)
		}
	default:
		return nil, &badOption{etf.Atom("opts"), "options must be a map or a property list"}
	}
	for _, p := range list {
		if _, ok := p.Key.(etf.Atom); !ok {
			return nil, &badOption{p.Key, "an option is {Atom, Value}"}
		}
	}
	return list, nil
}

// option takes one option. Those of spawn that make no sense for a run, which
// delivers nothing before its end, are refused for it, and the other way round.
func (m *manager) option(o *order, key etf.Atom, v etf.Term) error {
	switch key {
	case "owner", "link", "detached", "packet", "flow":
		if o.run {
			return fmt.Errorf("is not for run, which answers once, when its program has ended")
		}
	case "input", "max_output":
		if !o.run {
			return fmt.Errorf("is for run only")
		}
	}
	switch key {
	case "owner":
		return m.optOwner(o, v)
	case "link":
		return optBool(&o.link, v)
	case "detached":
		return optBool(&o.detached, v)
	case "tree":
		return optTree(&o.spec.Tree, v)
	case "env":
		return optEnv(&o.spec.Env, v)
	case "inherit":
		return optInherit(&o.inherit, v)
	case "cd":
		return optDir(&o.spec.Dir, v)
	case "stdin":
		if o.run {
			return fmt.Errorf("is not for run: give it input")
		}
		return optStdin(&o.spec.Streams[workers.Stdin], v)
	case "stdout", "stderr":
		return m.optOutput(o, key, v)
	case "packet":
		var err error
		o.packet, err = packetOf(v)
		return err
	case "flow":
		return optFlow(&o.active, v)
	case "kill_signal":
		sig, err := signalOf(v)
		if err == nil {
			o.spec.KillSignal = sig
		}
		return err
	case "kill_timeout":
		return optMillis(&o.spec.KillTimeout, v)
	case "input":
		return optInput(o, v)
	case "max_output":
		n, ok := v.(int64)
		if !ok || n < 0 || n > maxOutput {
			return fmt.Errorf("must be a number of bytes up to %d", maxOutput)
		}
		o.maxOutput = int(n)
		return nil
	}
	return fmt.Errorf("there is no such option")
}

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
		*to = active{mode: activeTrue}
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

// optEnv takes #{Name => Value} or [{Name, Value}].
func optEnv(to *[]string, v etf.Term) error {
	bad := fmt.Errorf("must be a map or list of names and values, binaries or strings")
	var pairs []etf.Pair
	switch v := v.(type) {
	case etf.Map:
		pairs = v
	case etf.List:
		for _, t := range v {
			tu, ok := t.(etf.Tuple)
			if !ok || len(tu) != 2 {
				return bad
			}
			pairs = append(pairs, etf.Pair{Key: tu[0], Value: tu[1]})
		}
	default:
		return bad
	}
	for _, p := range pairs {
		name, ok1 := envName(p.Key)
		value, ok2 := etf.Text(p.Value)
		if !ok1 || !ok2 {
			return bad
		}
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.IndexByte(value, 0) >= 0 {
			return fmt.Errorf("a name is not empty and holds no '=', and neither holds a NUL byte")
		}
		*to = append(*to, name+"="+value)
	}
	return nil
}

// envName reads the name of an environment variable: text, or an atom, for it
// is often a key of a map.
func envName(t etf.Term) (string, bool) {
	if a, ok := t.(etf.Atom); ok {
		return string(a), true
	}
	return etf.Text(t)
}

func optInherit(to *[]string, v etf.Term) error {
	list, ok := v.(etf.List)
	if !ok {
		return fmt.Errorf("must be a list of names")
	}
	for _, t := range list {
		name, ok := envName(t)
		if !ok {
			return fmt.Errorf("must be a list of names")
		}
		*to = append(*to, name)
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

func optMillis(to *time.Duration, v etf.Term) error {
	n, ok := v.(int64)
	if !ok || n < 0 || n > int64(maxMillis) {
		return fmt.Errorf("must be a number of milliseconds up to %d", maxMillis)
	}
	*to = time.Duration(n) * time.Millisecond
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
	switch v := v.(type) {
	case etf.Atom:
		switch {
		case v == "owner" && !o.run:
			*to = workers.StreamSpec{Kind: workers.Pipe}
			return nil
		case v == "null":
			*to = workers.StreamSpec{Kind: workers.Null}
			return nil
		case v == "stdout" && key == "stderr":
			*to = workers.StreamSpec{Kind: workers.ToStdout}
			return nil
		}
	case etf.Tuple:
		if len(v) == 2 && v[0] == etf.Atom("pid") && !o.run {
			pid, ok := v[1].(etf.Pid)
			if !ok {
				break
			}
			if err := m.reachable(pid); err != nil {
				return err
			}
			*to = workers.StreamSpec{Kind: workers.Pipe}
			o.streams[i].toOwner, o.streams[i].to = false, pid
			return nil
		}
		if (len(v) == 2 || len(v) == 3) && v[0] == etf.Atom("file") {
			return optFile(to, v)
		}
	}
	if o.run {
		return fmt.Errorf("must be null, {file, Path} or {file, Path, Options} for run%s", orStdout(key))
	}
	return fmt.Errorf("must be owner, {pid, Pid}, null, {file, Path} or {file, Path, Options}%s", orStdout(key))
}

func orStdout(key etf.Atom) string {
	if key == "stderr" {
		return ", or stdout"
	}
	return ""
}

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
		return fmt.Errorf("the file's options are a list of append and {mode, Mode}")
	}
	for _, opt := range opts {
		if opt == nil {
			continue
		}
		if a, ok := opt.(etf.Atom); ok && a == "append" {
			to.Append = true
			continue
		}
		t, ok := opt.(etf.Tuple)
		if !ok || len(t) != 2 || t[0] != etf.Atom("mode") {
			return fmt.Errorf("the file's options are a list of append and {mode, Mode}")
		}
		mode, ok := t[1].(int64)
		if !ok || mode < 0 || mode > 0o777 {
			return fmt.Errorf("the file's mode must be a number up to 8#777")
		}
		to.Mode = uint32(mode)
	}
	return nil
}

func optInput(o *order, v etf.Term) error {
	b, err := etf.AppendIOData([]byte{}, raw(v), maxRequest)
	if err != nil {
		return fmt.Errorf("must be iodata")
	}
	o.input = b
	return nil
}
