package childproc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"erluv/childproc/order"
	"erluv/ipc"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// TestSchedules takes workers of a real manager through random schedules, some workers at a time,
// in virtual time. They have starts, stops, kills, exits, timeouts and restarts. Only the spawner
// and its programs are simulated. The last command wins: nothing is started after it, nothing is
// left, and its reason is reported. Each run of a program has one report, in order.
func TestSchedules(t *testing.T) {
	const atOnce = 30
	schedules := repeats(100_000)
	s := newStage(t)
	for range atOnce {
		s.enter()
	}
	s.loop.EachRound(func() {
		if s.round(); s.err != nil || s.left >= schedules {
			s.loop.Stop()
		} else if len(s.acts) < atOnce && s.left+len(s.acts) < schedules {
			s.enter()
		}
	})
	must(t, s.loop.Run())
	must(t, s.err)
	if observed, ledger, receivers := s.c.Remembered(); len(s.m.procs)+observed+ledger+receivers > 0 {
		t.Errorf("%d workers are left, with %d links and %d receivers, and main is to remember %d bytes", len(s.m.procs), observed, receivers, ledger)
	}
	// The schedules have taken every possible way.
	for _, way := range []string{
		"not started", "killed", "enough", "boom", "shutdown", "normal", "timeout", "restart_intensity", "signal", "exit_status",
	} {
		if s.ways[way] < schedules/200 {
			t.Errorf("%d workers of %d ended by %s: %v", s.ways[way], s.left, way, s.ways)
		}
	}
	t.Logf("%d rounds, %v of virtual time, %v", s.rounds, s.loop.Now(), s.ways)
}

// act is one worker, from the request to the last message to its owner.
type act struct {
	*stage
	no       int
	pid      etf.Pid
	owner    etf.Pid
	when     order.When
	leave    bool // option tree
	timeout  bool
	p        *run         // the current run, or the last one
	pids     []uint32     // of all runs
	asked    []*ipc.Spawn // unanswered requests to the spawner
	attempts int          // to start the program, busy ones counted once
	busy     int          // how often it was busy this time
	known    bool         // the spawn request was answered
	since    int          // round of the request
	steps    int
	killed   bool
	reason   etf.Term        // reason of the first command
	stops    map[string]bool // unanswered calls
	want     []string        // expected reports
	got      []string        // reports so far
	trace    []note
}

// note is a line of the trace, which becomes text only when shown.
type note struct {
	at     time.Duration
	format string
	args   []any
}

// run is one run of a program, with its group.
type run struct {
	pid     uint32
	alive   bool
	members int // rest of the group
	deaf    bool
	doomed  unix.Signal
	dying   int
	end     string
}

// enter requests a worker.
func (s *stage) enter() {
	a := &act{stage: s, stops: map[string]bool{}, no: s.left + len(s.acts), since: s.rounds, steps: s.rng.IntN(40)}
	a.owner = etf.Pid{Node: testTarget, ID: uint32(s.entered) & 0x7fff, Serial: uint32(s.entered >> 15), Creation: 9}
	a.when = order.When(s.rng.IntN(3))
	tree := s.rng.IntN(3)
	a.leave = tree == 2
	opts := etf.Map{
		opt("restart", etf.Atom([]string{"temporary", "transient", "permanent"}[a.when])),
		opt("max_restarts", etf.Tuple{int64(s.rng.IntN(6)), int64(1 + s.rng.IntN(100_000))}),
		opt("backoff", etf.Tuple{int64(s.rng.IntN(200)), int64(200 + s.rng.IntN(20_000))}),
		opt("tree", etf.Atom([]string{"kill", "wait", "leave"}[tree])),
		opt("kill_timeout", int64(s.rng.IntN(5000))),
		opt("env", etf.Map{{Key: etf.Atom("ACT"), Value: etf.Binary(strconv.Itoa(a.no))}}),
	}
	for _, stream := range []string{"stdin", "stdout", "stderr"} {
		opts = append(opts, opt(stream, etf.Atom("null")))
	}
	if a.timeout = s.rng.IntN(3) == 0; a.timeout {
		opts = append(opts, opt("timeout", int64(1+s.rng.IntN(10_000))))
	}
	s.acts = append(s.acts, a)
	s.byOwner[a.owner] = a
	s.m.request(s.c.caller(dist.Ask{From: a.owner, Tag: s.tag()}), gen.Encode(etf.Tuple{etf.Atom("spawn"), etf.List{etf.Binary("true")}, opts}))
	for _, p := range s.m.procs {
		if e := p.self(); e.owner == a.owner {
			a.pid = e.pid
		}
	}
}

// Each worker is linked with a process besides its owner, whose end ends the worker too. The
// serials of these processes begin at friends.
const friends = 4096

func (a *act) friend() etf.Pid {
	f := a.owner
	f.Serial += friends
	return f
}

func (a *act) note(format string, args ...any) {
	a.trace = append(a.trace, note{a.loop.Now(), format, args})
}

func (a *act) fail(format string, args ...any) {
	if a.err != nil {
		return
	}
	a.err = fmt.Errorf("act %d, restart %d, timeout %v: "+format, append([]any{a.no, a.when, a.timeout}, args...)...)
	for _, n := range a.trace {
		a.err = fmt.Errorf("%w\n%v "+n.format, append([]any{a.err, n.at}, n.args...)...)
	}
}

// ask handles a start request to the spawner.
func (a *act) ask(m *ipc.Spawn) {
	a.note("asked for")
	if a.busy == 0 {
		a.attempts++
	}
	switch {
	case a.commanded():
		a.fail("it is started after it was to end")
	case a.p != nil && a.p.alive:
		a.fail("it is started while it runs")
	case len(a.asked) > 0:
		a.fail("it is asked for twice")
	case a.attempts > 1 && a.when == order.Temporary:
		a.fail("it is started again")
	case a.attempts > 1 && a.when == order.Transient && !a.timeout && a.want[len(a.want)-1] == "exit_status 0":
		a.fail("it is started again after a success")
	}
	a.asked = append(a.asked, m)
}

func (a *act) commanded() bool { return a.reason != nil || a.killed }

// command makes a command that ends the worker. The first reason and the last kill count.
func (a *act) command(reason etf.Term, do func(p proc)) func() {
	return func() {
		p := a.m.find(a.pid)
		if p == nil {
			a.fail("there is no worker any more, and nobody was told")
			return
		}
		a.note("command %v", reason)
		if reason == etf.Atom("kill") {
			a.killed = true
		} else if a.reason == nil {
			a.reason = reason
		}
		do(p)
	}
}

// choices are the possible next events, at least one.
func (a *act) choices() []func() {
	list := []func(){func() {}}
	can := func(ok bool, f ...func()) {
		if ok {
			list = append(list, f...)
		}
	}
	can(len(a.asked) > 0, a.start, a.start, a.start, a.start, a.start, a.refuse)
	if p := a.p; p != nil {
		can(p.alive && p.doomed != 0, func() { a.die(unix.WaitStatus(p.doomed)) })
		can(p.dying > 0, func() { p.dying--; p.members-- })
		can(p.alive && a.steps > 0, func() { a.die(unix.WaitStatus(a.rng.IntN(3) << 8)) }, func() { a.die(unix.WaitStatus(unix.SIGSEGV)) })
		can(p.alive && a.steps > 0 && p.members < 3, func() { p.members++ })
		can(p.members > p.dying, func() { p.members-- })
	}
	if a.steps--; a.steps < -200 || a.steps < 0 && a.rng.IntN(10) > 0 {
		return list
	}
	raws := func(reason etf.Atom) etf.Raw { return gen.Encode(reason) }
	can(a.steps < 0 || a.rng.IntN(20) == 0,
		a.command(etf.Atom("enough"), func(proc) { a.m.exitRequested(a.pid, raws("enough")) }),
		a.command(etf.Atom("kill"), func(proc) { a.m.exitRequested(a.pid, gen.Kill) }))
	can(a.known && (a.steps < 0 || a.rng.IntN(20) == 0),
		a.command(etf.Atom("normal"), a.stop),
		a.command(etf.Atom("boom"), func(proc) { a.m.linkExited(a.c, a.friend(), a.pid, raws("boom")) }),
		a.command(etf.Atom("shutdown"), func(proc) { a.m.ownerDown(a.c, a.owner, a.pid, raws("shutdown")) }))
	return list
}

func (a *act) stop(p proc) {
	tag := a.tag()
	a.stops[string(tag)] = true
	a.m.workerCall(p, a.c.caller(dist.Ask{From: a.owner, Tag: tag}), gen.Encode(etf.Atom("stop")))
}

func (a *act) answered() (seq uint32) {
	seq = a.asked[0].Seq
	a.asked = a.asked[1:]
	return seq
}

func (a *act) start() {
	a.started++
	a.p = &run{pid: uint32(1000 + a.started), alive: true, deaf: a.rng.IntN(3) == 0}
	a.byPID[a.p.pid] = a.p
	a.pids = append(a.pids, a.p.pid)
	a.busy = 0
	a.note("started as %d", a.p.pid)
	if a.attempts > 1 {
		a.want = append(a.want, fmt.Sprint("restarted ", 10_000+a.p.pid, " ", a.attempts-1))
	}
	a.say(ipc.Spawned{Seq: a.answered(), PID: a.p.pid, OSPID: 10_000 + a.p.pid}, a.pidfd)
}

// refuse answers that the program cannot be started, or is busy. A busy one is tried again eight
// times.
func (a *act) refuse() {
	errno := []unix.Errno{unix.ENOENT, unix.EAGAIN, unix.ETXTBSY}[a.rng.IntN(3)]
	a.note("refused by %s", unix.ErrnoName(errno))
	if errno == unix.ETXTBSY && a.busy < 8 {
		a.busy++
	} else {
		a.busy = 0
		if a.attempts > 1 {
			a.want = append(a.want, "restart_failed "+strings.ToLower(unix.ErrnoName(errno)))
		}
	}
	a.say(ipc.Spawned{Seq: a.answered(), Refusal: ipc.Refusal{Stage: ipc.StageProgram, Errno: errno}})
}

func (a *act) die(st unix.WaitStatus) {
	a.p.alive, a.p.doomed = false, 0
	e := workers.Exit{Status: max(st.ExitStatus(), 0)}
	if st.Signaled() {
		e = workers.Exit{Signal: st.Signal()}
	}
	a.p.end = plain(exitTerm(e))
	a.want = append(a.want, a.p.end)
	a.note("%s", a.p.end)
	a.say(ipc.Changed{PID: a.p.pid, Status: uint32(st)})
}

// told takes an answer, or a message of the worker.
func (a *act) told(t etf.Tuple) {
	if tag, ok := t[0].(etf.Raw); ok {
		answer := plain(t[1])
		a.note("answered %s", answer)
		if a.stops[string(tag)] {
			if answer != "ok "+a.p.end {
				a.fail("the answer to stop is %s after %s", answer, a.p.end)
			}
			delete(a.stops, string(tag))
			return
		}
		if a.known {
			a.fail("answered twice")
		}
		a.known = true
		if strings.HasPrefix(answer, "error ") {
			if a.p != nil || len(a.got) > 0 || strings.HasSuffix(answer, " stopping") != a.commanded() && a.attempts == 0 {
				a.fail("the answer to spawn is %s", answer)
			}
			a.exit("not started")
			return
		}
		a.m.linked(a.c, a.friend(), a.pid)
		return
	}
	if event := plain(t[1]); event != "restart_failed stopping" || !a.commanded() {
		a.got = append(a.got, event)
	}
}

// down handles the end of the worker.
func (a *act) down(reason string) {
	a.note("down: %s", reason)
	if !slices.Equal(a.got, a.want) {
		a.fail("reports %q, want %q", a.got, a.want)
	}
	switch {
	case a.killed && reason != "killed":
		a.fail("it was killed, and has ended with %s", reason)
	case a.killed:
	case a.reason != nil && reason != plain(a.reason):
		a.fail("it was ended with %v, and has ended with %s", a.reason, reason)
	case a.reason != nil:
	case reason == "restart_intensity" && a.when != order.Temporary, reason == "timeout" && a.timeout && a.when == order.Temporary:
	case a.when == order.Permanent, reason != a.p.end && !(reason == "normal" && a.p.end == "exit_status 0"):
		a.fail("it has ended with %s after %s", reason, a.p.end)
	}
	if len(a.stops) > 0 {
		a.fail("%d calls were not answered", len(a.stops))
	}
	if a.p.alive || len(a.asked) > 0 || a.p.members > 0 && !a.leave {
		a.fail("something of it runs on")
	}
	way, _, _ := strings.Cut(reason, " ")
	a.exit(way)
}

func (a *act) exit(way string) {
	a.ways[way]++
	a.left++
	delete(a.byOwner, a.owner)
	for _, pid := range a.pids {
		delete(a.byPID, pid)
	}
	a.acts = slices.DeleteFunc(a.acts, func(o *act) bool { return o == a })
}
