// Package order reads a spawn, run, watch or put_file request. It turns terms into an Order, a
// Watch, a Put or a BadOption. It knows no manager and no clock, opens no file and starts no
// program. Outside tells it what it must know of its surroundings.
//
// Package childproc calls it and carries out the Order:
//
//	order.go     a request becomes an Order or a Watch
//	table.go     all options, one row each, and the values that only attributes have
//	values.go    values that several options have
//	streams.go   stdin, stdout, stderr, fds, and their files
//	receivers.go the receivers of a stream
//	output.go    how output is cut into messages, and when it is sent
//	keep.go      how much of the output is kept
//	pty.go       a terminal
//	environ.go   the environment
//	user.go      the user that a program runs as
//	sandbox.go   what a program may reach, and its limits
//	class.go     the program of a class, and the host's bounds
//	put.go       a put_file request
//	stop.go      how a program is stopped
//	restart.go   whether and when it is started again
//	ready.go     how it shows that it is ready
//	pattern.go   the pattern of a line that shows it
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
	// MaxRequest is the largest request to the manager, in bytes. Linux takes about 2 MiB of
	// arguments and environment. The rest is for the input of a run.
	MaxRequest = 16 << 20

	// MaxOutput bounds the output that a run collects, in bytes for both streams together.
	// defaultMaxOutput is the bound if the request sets none.
	MaxOutput        = 32 << 20
	defaultMaxOutput = 16 << 20

	// defaultUmask is a worker's umask.
	defaultUmask = 0o022
)

// Outside is everything on which an order depends besides the request.
type Outside struct {
	Caller      etf.Pid             // the owner, unless the request names another
	Reachable   func(etf.Pid) error // returns why a process cannot get messages, or nil
	Environ     map[string]string   // variables that a program may inherit
	KillTimeout time.Duration       // unless the request sets one
	Search      string              // the program's PATH, unless the request sets one; "" means none

	// Image returns the program in memory of an upload.
	Image func(upload etf.Pid) (*workers.Image, error)

	Class          *Class        // class of the request, of which cmd has the arguments; nil: none
	Limits         ipc.Limits    // upper bounds of a program's limits; 0 means no bound
	MaxKillTimeout time.Duration // longest duration of a stop; 0 means no bound
}

// BadOption is the reason why a request is refused. No program is started.
type BadOption struct {
	Key etf.Term
	Why string
}

// Term returns {bad_option, Key, Why}.
func (b *BadOption) Term() etf.Term {
	return etf.Tuple{etf.Atom("bad_option"), b.Key, etf.Binary(b.Why)}
}

// Process is the part of spawn and watch requests about the new process.
type Process struct {
	Owner    etf.Pid // the zero pid means none
	Link     bool
	Detached bool
	Name     etf.Atom // "" means none
}

// Order is a spawn or run request.
type Order struct {
	Process
	Spec      workers.Spec
	Outputs   []Output // stdout, stderr, and further ones in the order of descriptors
	Packet    Packet
	Active    Active
	Keep      int    // how many bytes of the last output are kept; KeepDefault; 0 means none
	Input     []byte // of a run; nil means none
	MaxOutput int    // of a run
	Restart   Restart
	Proxy     *Proxy
	Ready     Ready
	ID        string // "" means none
	User      int    // index of the allowed user, once RunAs has found it
	Class     *Class // nil: the request itself names the program

	env     environ
	inherit []string
	whom    whom
	login   bool // the environment gets the user's HOME and the like
}

// Watch is a watch request.
type Watch struct {
	Process
	Path      string
	Recursive bool
	Events    []etf.Atom // a part of Events; nil means all but closed
}

// Proxy is a process of the node that belongs to a worker: apply(M, F, [W | A]).
type Proxy struct {
	Module, Function etf.Atom
	Args             etf.Raw // a list
}

// Cost is how many bytes of its request an order keeps until it is answered.
func (o *Order) Cost() int {
	n := o.SpecCost() + o.Ready.Cost
	if o.Proxy != nil {
		n += len(o.Proxy.Args)
	}
	return n
}

// SpecCost is how many of these are the program's arguments and environment.
func (o *Order) SpecCost() int {
	n := 0
	for _, list := range [][]string{o.Spec.Args, o.Spec.Env} {
		for _, s := range list {
			n += len(s)
		}
	}
	return n
}

// reading is a request while it is read.
type reading struct {
	Outside
	request Request
	given   []etf.Pair  // the options of the request
	p       *Process    // of the Order or the Watch
	o       *Order      // nil for a watch request
	w       *Watch      // nil for other requests
	put     *ipc.Upload // nil for other requests
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

// newOrder is the order of a request without options.
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

// has returns the first option of the request that is one of the keys.
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

// command reads [Program | Args], or one string for the shell. image returns programs in memory.
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

// Options reads a map or a property list. As in proplists(3erl), an atom means {Atom, true}, and
// the first of several equal keys counts.
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
