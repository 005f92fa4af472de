package childproc

import (
	"fmt"
	"strings"

	"erluv/wire/etf"
	"erluv/wire/gen"
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
)

// badOption is {bad_option, Key, Why}; nothing is started.
type badOption struct {
	key etf.Term
	why string
}

func (b *badOption) term() etf.Term {
	return gen.Error(etf.Tuple{etf.Atom("bad_option"), b.key, text(b.why)})
}

// order is what a spawn or run request asks for.
type order struct {
	spec      workers.Spec
	owner     etf.Pid // the zero pid: none
	link      bool
	detached  bool
	streams   []stream // stdout, stderr, and further ones by descriptor
	packet    packet
	active    active
	input     []byte // run
	maxOutput int    // run
	env       environ
	inherit   []string
	name      etf.Atom
	restart   restart
	proxy     *proxy
	ready     readiness
	whom      whom
	user      int  // number of the allowed user
	login     bool // the environment is to have the user's HOME and the like
	run       bool
}

// cost is what an order costs until it is answered, of the budget; see held.
func (o *order) cost() int {
	n := o.specCost() + o.ready.cost
	if o.proxy != nil {
		n += len(o.proxy.args)
	}
	return n
}

// specCost is what its program's arguments and environment cost.
func (o *order) specCost() int {
	n := 0
	for _, list := range [][]string{o.spec.Args, o.spec.Env} {
		for _, s := range list {
			n += len(s)
		}
	}
	return n
}

// orderOf reads Cmd and Opts.
func (m *manager) orderOf(caller etf.Pid, cmd, opts etf.Term, run bool) (*order, *badOption) {
	o := &order{owner: caller, link: !run, run: run, maxOutput: defaultMaxOutput}
	o.streams = []stream{{no: workers.Stdout}, {no: workers.Stderr}}
	o.active = active{mode: activeTrue, auto: true}
	o.restart = defaultRestart
	o.ready.timeout = defaultReady
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
	m.inherited(&o.env, o.inherit)
	if bad := o.settleReady(list); bad != nil {
		return nil, bad
	}
	if bad := o.settleAllow(); bad != nil {
		return nil, bad
	}
	if bad := o.settleStop(list); bad != nil {
		return nil, bad
	}
	if o.spec.Terminal != nil {
		if bad := o.onTerminal(list); bad != nil {
			return nil, bad
		}
	}
	if run {
		if o.input != nil {
			o.spec.Streams[workers.Stdin].Kind = workers.Pipe
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
				if i == 0 && s == "" {
					return bad("the program is empty")
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
	case "owner", "link", "detached", "packet", "flow", "name", "proxy", "restart", "max_restarts", "backoff",
		"ready", "ready_reply", "ready_timeout", "watchdog":
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
		return optEnv(&o.env, v)
	case "inherit":
		return optInherit(&o.inherit, v)
	case "path":
		return optSearch(&o.spec.Path, v)
	case "cd":
		return optDir(&o.spec.Dir, v)
	case "stdin":
		if o.run {
			return fmt.Errorf("is not for run: give it input")
		}
		return optStdin(&o.spec.Streams[workers.Stdin], v)
	case "stdout", "stderr":
		return m.optOutput(o, key, v)
	case "pty":
		return optPty(&o.spec.Terminal, v)
	case "fds":
		return m.optFDs(o, v)
	case "packet":
		var err error
		o.packet, err = packetOf(v)
		return err
	case "flow":
		return optFlow(&o.active, v)
	case "nice":
		return optNice(&o.spec.Attributes, v)
	case "umask":
		return optUmask(&o.spec.Umask, v)
	case "rlimits":
		return optRlimits(&o.spec.Attributes, v)
	case "cpus":
		return optCPUs(&o.spec.Attributes, v)
	case "oom_score_adj":
		return optOOM(&o.spec.Attributes, v)
	case "limits":
		return optLimits(&o.spec.Attributes.Limits, v)
	case "sandbox":
		return optSandbox(&o.spec.Attributes.Confine, v)
	case "allow":
		return optAllow(&o.spec.Attributes.Confine, v)
	case "no_new_privs":
		return optNoNewPrivs(v)
	case "user":
		return optAccount(&o.whom.user, v)
	case "group":
		return optAccount(&o.whom.group, v)
	case "groups":
		return optGroups(&o.whom, v)
	case "login":
		return optBool(&o.login, v)
	case "setsid":
		var own bool
		err := optBool(&own, v)
		o.spec.NoSession = !own
		return err
	case "kill_signal":
		sig, err := gen.ReadSignal(v)
		if err == nil {
			o.spec.KillSignal = sig
		}
		return err
	case "stop_sequence":
		return optStopSequence(&o.spec.StopSteps, v)
	case "name":
		return optName(&o.name, v)
	case "proxy":
		return optProxy(&o.proxy, v)
	case "ready":
		return optReady(&o.ready, v)
	case "ready_reply":
		return optReadyReply(&o.ready, v)
	case "ready_timeout":
		return optTimeout(&o.ready.timeout, v)
	case "watchdog":
		return optTimeout(&o.ready.watchdog, v)
	case "restart":
		return optRestart(&o.restart.when, v)
	case "max_restarts":
		return optMaxRestarts(&o.restart, v)
	case "backoff":
		return optBackoff(&o.restart, v)
	case "timeout":
		return optTimeout(&o.spec.Timeout, v)
	case "idle_timeout":
		return optTimeout(&o.spec.IdleTimeout, v)
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
