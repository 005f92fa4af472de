// Package order reads what a spawn, run, watch or put_file request asks for: terms come in, an
// Order, a Watch, a Put or a BadOption comes out. It knows no manager and no clock, opens no file
// and starts nothing. What it must know of its surroundings is Outside.
//
// Package childproc calls it, and does what an Order says:
//
//	order.go     a request becomes an Order or a Watch
//	table.go     all options, one row each, and the values that only attributes have
//	values.go    values that several options have
//	streams.go   stdin, stdout, stderr, fds, and the files that they may be
//	receivers.go who is sent the output of a stream
//	output.go    how output is cut into messages, and when it is sent; keep.go: how much is kept
//	pty.go       a terminal
//	environ.go   the environment
//	user.go      the user that a program runs as
//	sandbox.go   what a program may reach, and its limits
//	class.go     the program of a class, and the host's bounds
//	put.go       a put_file request
//	stop.go      how a program is stopped
//	restart.go   whether and when it is started again
//	ready.go     how it shows that it is ready; pattern.go: the line that shows it
package order

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"erluv/ipc"
	"erluv/wire/etf"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

const (
	// MaxRequest bounds a request to the manager, in bytes. Linux takes about
	// 2 MiB of arguments and environment; the rest is for the input of a run.
	MaxRequest = 16 << 20

	// MaxOutput bounds what a run collects, in bytes for both streams together;
	// defaultMaxOutput is the bound unless the request sets another.
	MaxOutput        = 32 << 20
	defaultMaxOutput = 16 << 20

	// defaultUmask is a worker's umask.
	defaultUmask = 0o022
)

// Outside is what an order depends on beside the request.
type Outside struct {
	Caller      etf.Pid             // the owner unless the request names another
	Reachable   func(etf.Pid) error // why nothing can be sent to a process
	Environ     map[string]string   // what a program may inherit
	KillTimeout time.Duration       // unless the request sets another
	Search      string              // the program's PATH, unless the request sets another; "": none

	// Image is the program in memory of an upload.
	Image func(upload etf.Pid) (*workers.Image, error)

	Class          *Class        // whose program the request is for, cmd being its arguments; nil: none's
	Limits         ipc.Limits    // the most that a program can have; 0: no bound
	MaxKillTimeout time.Duration // the longest that a stop can take; 0: no bound
}

// BadOption is why a request is refused. Nothing is started.
type BadOption struct {
	Key etf.Term
	Why string
}

// Term is {bad_option, Key, Why}.
func (b *BadOption) Term() etf.Term {
	return etf.Tuple{etf.Atom("bad_option"), b.Key, etf.Binary(b.Why)}
}

// Process is what spawn and watch requests say of the process that they make.
type Process struct {
	Owner    etf.Pid // the zero pid: none
	Link     bool
	Detached bool
	Name     etf.Atom // "": none
}

// Order is what a spawn or run request asks for.
type Order struct {
	Process
	Spec      workers.Spec
	Outputs   []Output // stdout, stderr, and further ones by descriptor
	Packet    Packet
	Active    Active
	Keep      int    // how much of the last output is kept, in bytes; KeepDefault; 0: nothing
	Input     []byte // of a run; nil: none
	MaxOutput int    // of a run
	Restart   Restart
	Proxy     *Proxy
	Ready     Ready
	ID        string // "": none
	User      int    // number of the allowed user, once RunAs has found it
	Class     *Class // nil: the request names its program itself

	env     environ
	inherit []string
	whom    whom
	login   bool // the environment is to have the user's HOME and the like
}

// Watch is what a watch request asks for.
type Watch struct {
	Process
	Path      string
	Recursive bool
	Events    []etf.Atom // of Events; nil: all but closed
}

// Proxy is a process of the node that is paired with a worker: apply(M, F, [W | A]).
type Proxy struct {
	Module, Function etf.Atom
	Args             etf.Raw // a list
}

// Cost is how many bytes an order has of its request until it is answered.
func (o *Order) Cost() int {
	n := o.SpecCost() + o.Ready.Cost
	if o.Proxy != nil {
		n += len(o.Proxy.Args)
	}
	return n
}

// SpecCost is how many of them its program's arguments and environment have.
func (o *Order) SpecCost() int {
	n := 0
	for _, list := range [][]string{o.Spec.Args, o.Spec.Env} {
		for _, s := range list {
			n += len(s)
		}
	}
	return n
}

// reading is a request that is being read.
type reading struct {
	Outside
	request Request
	given   []etf.Pair  // the options that it has
	p       *Process    // the Order's or the Watch's
	o       *Order      // nil: it is a watch request
	w       *Watch      // nil: it is not
	put     *ipc.Upload // nil: it is no put_file request
}

// Spawn reads the Cmd and Opts of a spawn request.
func Spawn(out Outside, cmd, opts etf.Term) (*Order, *BadOption) {
	return orderOf(out, ForSpawn, cmd, opts)
}

// Run reads the Cmd and Opts of a run request.
func Run(out Outside, cmd, opts etf.Term) (*Order, *BadOption) {
	return orderOf(out, ForRun, cmd, opts)
}

func orderOf(out Outside, request Request, cmd, opts etf.Term) (*Order, *BadOption) {
	o := newOrder(out, request)
	command := func(cmd etf.Term) *BadOption { return o.command(cmd, out.Image) }
	if out.Class != nil {
		command = func(args etf.Term) *BadOption { return out.Class.command(o, args) }
	}
	if bad := command(cmd); bad != nil {
		return nil, bad
	}
	r := &reading{Outside: out, request: request, p: &o.Process, o: o}
	if bad := r.options(opts); bad != nil {
		return nil, bad
	}
	o.env.inherit(o.inherit, out.Environ)
	if out.Search != "" {
		o.env.offer("PATH", out.Search)
	}
	for _, settle := range []func() *BadOption{r.settleClass, r.settleReady, r.settleAllow, r.settleStop, r.settlePty, r.settleImage, r.settleKeep, r.settleCaps} {
		if bad := settle(); bad != nil {
			return nil, bad
		}
	}
	if o.Input != nil {
		o.Spec.Streams[workers.Stdin].Kind = workers.Pipe
	}
	return o, nil
}

// newOrder is what a request without options asks for.
func newOrder(out Outside, request Request) *Order {
	o := &Order{
		Process:   Process{Owner: out.Caller, Link: request == ForSpawn},
		Outputs:   []Output{{FD: workers.Stdout}, {FD: workers.Stderr}},
		Active:    Active{Mode: Auto},
		MaxOutput: defaultMaxOutput,
		Restart:   defaultRestart,
		Ready:     Ready{Timeout: defaultReady},
	}
	o.Spec.Dir = "/"
	o.Spec.Attributes.Umask = defaultUmask
	o.Spec.KillSignal = unix.SIGTERM
	o.Spec.KillTimeout = out.KillTimeout
	if request == ForRun {
		o.Spec.Streams[workers.Stdin].Kind = workers.Null
	}
	return o
}

// WatchOf reads the Path and Opts of a watch request.
func WatchOf(out Outside, what, opts etf.Term) (*Watch, *BadOption) {
	w := &Watch{Process: Process{Owner: out.Caller, Link: true}}
	var err error
	if w.Path, err = pathOf(what); err == nil && !path.IsAbs(w.Path) {
		err = errors.New("must be an absolute path")
	}
	if err != nil {
		return nil, &BadOption{etf.Atom("path"), err.Error()}
	}
	r := &reading{Outside: out, request: ForWatch, p: &w.Process, w: w}
	if bad := r.options(opts); bad != nil {
		return nil, bad
	}
	return w, nil
}

// options reads all options.
func (r *reading) options(opts etf.Term) (bad *BadOption) {
	if r.given, bad = Options(opts); bad != nil {
		return bad
	}
	for _, opt := range r.given {
		key := opt.Key.(etf.Atom)
		row, err := rowOf(key, r.request)
		if err == nil {
			err = row.take(r, opt.Value)
		}
		if err != nil {
			return &BadOption{key, err.Error()}
		}
	}
	return nil
}

// has is the first of the keys that the request has, in the order of the request.
func (r *reading) has(keys ...etf.Atom) (etf.Atom, bool) {
	for _, opt := range r.given {
		for _, key := range keys {
			if opt.Key == key {
				return key, true
			}
		}
	}
	return "", false
}

// command reads [Program | Args], or one string for the shell. image finds programs in memory.
func (o *Order) command(cmd etf.Term, image func(etf.Pid) (*workers.Image, error)) *BadOption {
	bad := func(format string, args ...any) *BadOption {
		return &BadOption{etf.Atom("cmd"), fmt.Sprintf(format, args...)}
	}
	if list, ok := cmd.(etf.List); ok && len(list) > 0 {
		if _, isChar := list[0].(int64); !isChar {
			for i, t := range list {
				if upload, name, is := inMemory(t); is && i == 0 {
					var err error
					if o.Spec.Image, err = image(upload); err != nil {
						return bad("%v", err)
					}
					t = name
				}
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
				o.Spec.Args = append(o.Spec.Args, s)
			}
			o.Spec.Program = o.Spec.Args[0]
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
	o.Spec.Program = "/bin/sh"
	o.Spec.Args = []string{"/bin/sh", "-c", s}
	return nil
}

// Options reads a map or a property list. As in proplists(3erl) an atom stands
// for {Atom, true}, and the first of several is taken.
func Options(opts etf.Term) ([]etf.Pair, *BadOption) {
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
		return nil, &BadOption{etf.Atom("opts"), "options must be a map or a property list"}
	}
	for _, p := range list {
		if _, ok := p.Key.(etf.Atom); !ok {
			return nil, &BadOption{p.Key, "an option is {Atom, Value}"}
		}
	}
	return list, nil
}
