package childproc

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"erluv/childproc/history"
	"erluv/childproc/order"
	"erluv/childproc/ring"
	"erluv/loop"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"
)

// The last output of programs with the option keep. Package ring has the rings. This file puts
// output into them, and answers requests for it.

const (
	// maxFollowers is the maximum number of calls that may wait for more output of one program.
	maxFollowers = 16

	// maxFollow is the longest wait of a call, so a caller that is gone leaves nothing behind for
	// longer.
	maxFollow = time.Minute

	// ahead is how many bytes of a stream are read for the log alone, before a call requests them.
	ahead = 64 << 10

	// lastFor is how long a log that was read while the program ran stays after the end, even with
	// a short history. A follower that has just been answered asks for the rest.
	lastFor = time.Minute
)

// logs are the rings of running programs and of watched ended ones, and the calls that wait for
// more output.
type logs struct {
	room    *ring.Room
	size    int // size of a ring with keep => true, in bytes
	of      map[*program]*ring.Ring
	waiting map[*ring.Ring][]*follower
	last    map[etf.Pid]*ring.Ring // of ended programs, for followers
}

func newLogs(size, total int) logs {
	return logs{ring.NewRoom(total), size, make(map[*program]*ring.Ring), make(map[*ring.Ring][]*follower), make(map[etf.Pid]*ring.Ring)}
}

// keep makes a ring of size bytes for a program.
func (l *logs) keep(p *program, size int) {
	if size == order.KeepDefault {
		size = l.size
	}
	if size > 0 {
		l.of[p] = l.room.New(size)
	}
}

// put adds output to the ring. Followers must not be answered before a frame that was begun around
// the output is complete: see tellFollowers.
func (l *logs) put(p *program, s workers.Stream, data []byte) *ring.Ring {
	r := l.of[p]
	if r == nil || len(data) == 0 || s > workers.Stderr {
		return nil
	}
	r.Put(uint8(s), time.Now().UnixMilli(), data)
	return r
}

// closeLog closes the log of a program whose process has ended.
func (m *manager) closeLog(p *program) {
	r := m.logs.of[p]
	if r == nil {
		return
	}
	delete(m.logs.of, p)
	m.history.Close(r)
	m.tellFollowers(r)
	if r.Watched {
		m.logs.last[p.pid] = r
		m.loop.After(lastFor, func() {
			delete(m.logs.last, p.pid)
			r.Watched = false
			m.history.Unwatched(r)
		})
	}
}

// follower is a call that waits for output.
type follower struct {
	w     *waiting
	of    etf.Pid // the worker
	q     ring.Query
	timer *loop.Timer
}

// tellFollowers answers the calls that wait for output, if there is any.
func (m *manager) tellFollowers(r *ring.Ring) {
	if r == nil || len(m.logs.waiting[r]) == 0 {
		return
	}
	left := slices.DeleteFunc(m.logs.waiting[r], func(f *follower) bool {
		if m.logWaits(r, &f.q) {
			return false
		}
		f.timer.Stop()
		f.answer(r)
		return true
	})
	m.logs.set(r, left)
}

func (l *logs) set(r *ring.Ring, list []*follower) {
	if l.waiting[r] = list; len(list) == 0 {
		delete(l.waiting, r)
	}
}

// answer answers with the output that is there once there is room.
func (f *follower) answer(r *ring.Ring) {
	f.w.late(func() etf.Term { return logTerm(f.of, r, f.q) })
}

// logWaits reports whether a query finds no output and more may come. The query then goes on behind
// the output that it skipped.
func (m *manager) logWaits(r *ring.Ring, q *ring.Query) bool {
	found, next, lost := r.Read(*q)
	if len(found) > 0 || lost > 0 || r.State().Over {
		return false
	}
	q.From = next
	return true
}

// logTerm is the answer to a query of a worker's log.
func logTerm(of etf.Pid, r *ring.Ring, q ring.Query) etf.Term {
	found, next, lost := r.Read(q)
	list := make(etf.List, 0, len(found))
	for _, p := range found {
		list = append(list, etf.Tuple{p.At, streamTerm(workers.Stream(p.Stream)), etf.Binary(p.Data)})
	}
	return gen.OK(etf.Map{
		{Key: etf.Atom("worker"), Value: of},
		{Key: etf.Atom("output"), Value: list},
		{Key: etf.Atom("next"), Value: int64(next)},
		{Key: etf.Atom("lost"), Value: int64(lost)},
		{Key: etf.Atom("open"), Value: etf.Atom(fmt.Sprint(!r.State().Over))},
	})
}

// logRequest takes {log, W, Opts}.
func (m *manager) logRequest(to caller, a args) bool {
	q, wait, bad := logQuery(a.list[1])
	if bad != nil {
		to.reply(gen.Error(bad.Term()))
		return true
	}
	of, r, why := m.logOf(a.list[0])
	if r != nil && !r.State().Over {
		r.Watched = true
	}
	switch {
	case why != "":
		to.reply(gen.Error(why))
	case wait == 0 || !m.logWaits(r, &q):
		to.reply(logTerm(of, r, q))
	case len(m.logs.waiting[r]) >= maxFollowers:
		to.reply(errorHeld)
	default:
		m.follow(to, of, r, q, wait)
	}
	return true
}

// follow makes a caller wait for more output.
func (m *manager) follow(to caller, of etf.Pid, r *ring.Ring, q ring.Query, wait time.Duration) {
	w := m.keep(to, 0)
	if w == nil {
		return
	}
	f := &follower{w: w, of: of, q: q}
	f.timer = m.loop.After(wait, func() {
		m.logs.set(r, slices.DeleteFunc(m.logs.waiting[r], func(g *follower) bool { return g == f }))
		f.answer(r)
	})
	m.logs.waiting[r] = append(m.logs.waiting[r], f)
}

// logOf returns the log of a running program, or of the last ended one, and its worker. The term what
// is its pid, its name or its process id.
func (m *manager) logOf(what etf.Term) (of etf.Pid, r *ring.Ring, why etf.Atom) {
	if p := m.meant(what); p != nil {
		if r = m.logs.of[p]; r == nil {
			return of, nil, "not_kept"
		}
		return p.pid, r, ""
	}
	if of, ok := what.(etf.Pid); ok && m.logs.last[of] != nil {
		return of, m.logs.last[of], ""
	}
	e := m.history.Find(func(e *history.Entry) bool {
		switch what := what.(type) {
		case etf.Pid:
			return what == m.pidOf(e)
		case etf.Atom:
			return e.Name == string(what) && what != ""
		}
		return what == int64(e.OSPID)
	})
	switch {
	case e == nil:
		return of, nil, "noproc"
	case e.Log != nil:
		return m.pidOf(e), e.Log, ""
	case e.Kept:
		return of, nil, "lost" // an earlier child had it
	}
	return of, nil, "not_kept"
}

// pidOf returns the worker of an end.
func (m *manager) pidOf(e *history.Entry) etf.Pid {
	return etf.Pid{Node: m.name, ID: e.ID, Serial: e.Serial, Creation: e.Creation}
}

// meant returns the running program with a pid, a name or a process id, nil if there is none.
func (m *manager) meant(what etf.Term) *program {
	var p proc
	switch what := what.(type) {
	case etf.Pid:
		p = m.find(what)
	case etf.Atom:
		p = m.byName[what]
	case int64:
		for _, q := range m.procs {
			if q, ok := q.(*program); ok && what > 0 && int64(q.w.PID()) == what {
				return q
			}
		}
	}
	q, _ := p.(*program)
	return q
}

// logQuery reads the options of a log request.
func logQuery(opts etf.Term) (q ring.Query, wait time.Duration, bad *order.BadOption) {
	q.Lines = ring.AllLines
	list, bad := order.Options(opts)
	for _, o := range list {
		if err := logOption(&q, &wait, o); err != nil {
			return q, 0, &order.BadOption{Key: o.Key, Why: err.Error()}
		}
	}
	return q, wait, bad
}

func logOption(q *ring.Query, wait *time.Duration, o etf.Pair) error {
	n, isInt := o.Value.(int64)
	natural := isInt && n >= 0
	switch o.Key {
	case etf.Atom("lines"):
		if q.Lines = int(n); !natural {
			return errors.New("must be a number of lines")
		}
	case etf.Atom("since"):
		if q.Since = n; !isInt {
			return errors.New("must be a time in milliseconds since 1970")
		}
	case etf.Atom("from"):
		if q.From = uint64(n); !natural {
			return errors.New("must be the value of next in an earlier answer")
		}
	case etf.Atom("wait"):
		if *wait = time.Duration(n) * time.Millisecond; !natural || n > maxFollow.Milliseconds() {
			return fmt.Errorf("must be a number of milliseconds up to %d", maxFollow.Milliseconds())
		}
	case etf.Atom("stream"):
		switch o.Value {
		case etf.Atom("stdout"):
			q.Stream = uint8(workers.Stdout)
		case etf.Atom("stderr"):
			q.Stream = uint8(workers.Stderr)
		default:
			return errors.New("must be stdout or stderr")
		}
	default:
		return errors.New("there is no such option")
	}
	return nil
}
