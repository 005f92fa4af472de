package childproc

import (
	"erluv/wire/etf"
)

// A family of requests is a table with a row for each. There are requests to the manager, calls to
// processes of the child, system messages, requests of the I/O protocol, and messages of the port
// protocol. F is the type of the family's functions.
type table[F any] []row[F]

type row[F any] struct {
	name  etf.Atom
	arity int // 0 means the name alone, inTuple the name alone in a tuple
	taken taken
	do    F      // gets args, and returns false if they are wrong
	line  string // of erluv-protocol(7): the heading of its item, or its text
}

// taken says in which phases the manager accepts a request, or which kinds of processes do.
type taken uint16

const (
	always       taken = 1<<serving | 1<<stopping | 1<<disconnected | 1<<over
	whileServing taken = 1 << serving

	byWorker  taken = 1 << 4
	byRun     taken = 1 << 5
	byWatcher taken = 1 << 6
	byUpload  taken = 1 << 10
	byProgram       = byWorker | byRun
	byAll           = byProgram | byWatcher | byUpload

	// The arguments can be large, and are not decoded.
	unbuilt taken = 1 << 7
	// A part of it is needed later, when the frame is gone.
	outlives taken = 1 << 8
	// It starts a program, a watcher or an upload, so this host must be ready.
	starts taken = 1 << 9
)

// inTuple is the arity of {classes}: a tuple with only the name.
const inTuple = -1

// args are the arguments of a request.
type args struct {
	list etf.Tuple // decoded
	raw  etf.Raw   // not decoded, one after another
}

// only returns the only argument, not decoded.
func (a args) only() (etf.Raw, bool) {
	r := etf.NewReader(a.raw)
	arg, err := r.Raw()
	return arg, err == nil
}

func (t taken) has(other taken) bool { return t&other != 0 }

// find returns a row, nil if there is none.
func (t table[F]) find(name etf.Atom, arity int) *row[F] {
	for i := range t {
		if t[i].name == name && t[i].arity == arity {
			return &t[i]
		}
	}
	return nil
}

// headOf reads the name of a request, and how many arguments it has.
func headOf(req etf.Raw) (name etf.Atom, arity int, a args, ok bool) {
	r := etf.NewReader(req)
	n, err := r.Tuple()
	switch {
	case err != nil:
		arity = 0
	case n == 0:
		return "", 0, a, false
	case n == 1:
		arity = inTuple
	default:
		arity = n - 1
	}
	if name, err = r.Atom(); err != nil {
		return "", 0, a, false
	}
	return name, arity, args{raw: r.Rest()}, true
}

// partsOf is headOf for a term, with the arguments.
func partsOf(req etf.Term) (name etf.Atom, a args) {
	switch t := req.(type) {
	case etf.Atom:
		return t, args{}
	case etf.Tuple:
		if len(t) > 1 {
			name, _ = t[0].(etf.Atom)
			return name, args{list: t[1:]}
		}
	}
	return "", args{}
}
