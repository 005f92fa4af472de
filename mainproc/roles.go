package mainproc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"erluv/ipc"
	"erluv/mainproc/link"
	"erluv/mainproc/permit"
	"erluv/sandbox"
	"erluv/sandbox/cgroup"
	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

// roles is the crew of real processes.
type roles struct {
	child, spawner *process
	id             sandbox.Identity
	serveWith      settings
	by             containment // of the programs
	inherits       bool        // what the roles leave behind becomes this process's children

	starter *starter
	handed  bool      // the child serves, or did
	spawned time.Time // when the spawner began to serve
	short   int       // spawners in a row that have died at once

	began time.Time
	sign  atomic.Int64 // of life: when the child gave the last one, after began

	others []other // by the number of the user

	mu     sync.Mutex // for spawner, while watch may replace it, and others
	ending bool       // nothing must be started any more

	link *link.Link // since the child was given it

	// Owned by watch, and read when it has returned:
	hung   bool
	broken error    // how the child has broken the conversation
	why    etf.Term // how the roles have ended
	left   error    // what was left behind and cannot be ended
}

// settings are what the roles are told of the configuration, the connection
// aside.
type settings struct {
	child   ipc.Start
	spawner ipc.StartSpawner
	others  []other       // without a process
	ways    []containment // of the programs: the strongest first
	tree    *cgroup.Tree  // of those of them that have one
	limits  cgroup.Limits
	id      sandbox.Identity // of the programs
	log     *slog.Logger
}

// launch starts both roles, so that they come up side by side, and greets them. The
// spawner is started in the first of the ways that works.
func launch(ctx context.Context, s *starter, id sandbox.Identity, with settings) (*roles, error) {
	r := &roles{id: id, serveWith: with, starter: s, began: time.Now(), others: slices.Clone(with.others)}
	var err error
	if r.child, err = s.start(ipc.RoleChild, r.childID(), containment{}); err != nil {
		return nil, err
	}
	for i, by := range with.ways {
		err = r.startSpawner(ctx, s, by)
		if err != nil && by.name != containGroup {
			err = fmt.Errorf("cannot contain programs by %q: %w", by.name, err)
		}
		if err == nil || ctx.Err() != nil || i == len(with.ways)-1 {
			break
		}
		level := slog.LevelWarn
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) { // as in a container: it never will
			level = slog.LevelInfo
			r.serveWith.ways = slices.DeleteFunc(slices.Clone(r.serveWith.ways), func(way containment) bool { return way == by })
		}
		with.log.Log(ctx, level, "a weaker containment is tried", "error", err)
	}
	if err != nil {
		r.child.discard()
		return nil, err
	}
	if err = r.during(ctx, func() error { return r.child.greet(r.childID()) }); err != nil {
		r.spawner.discard()
		r.child.discard()
		return nil, err
	}
	return r, nil
}

// childID is the child's identity: it has nothing to do with control groups.
func (r *roles) childID() sandbox.Identity {
	id := r.id
	id.Keeper = 0
	return id
}

// startSpawner starts the spawner and greets it; there is none after an error.
func (r *roles) startSpawner(ctx context.Context, s *starter, by containment) error {
	var err error
	if r.spawner, err = s.start(ipc.RoleSpawner, r.id, by); err != nil {
		return err
	}
	if err = r.during(ctx, func() error { return r.spawner.greet(r.id) }); err != nil {
		r.spawner.discard()
		return err
	}
	r.by = by
	r.serveWith.contain(by)
	return nil
}

// during calls f and has the roles killed if ctx ends before it, so that f, which
// waits for them, ends soon.
func (r *roles) during(ctx context.Context, f func() error) error {
	killed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(killed)
		r.kill()
	})
	err := f()
	if !stop() {
		<-killed // the descriptors it uses may be closed after this
		err = context.Cause(ctx)
	}
	return err
}

// hand gives the spawner its end of the conversation between the two, then the
// child the other end and the connection.
func (r *roles) hand(ctx context.Context, l *link.Link) error {
	toSpawner, toChild, err := ipc.Pair()
	if err != nil {
		return err
	}
	defer toSpawner.Close()
	defer toChild.Close()
	start := r.serveWith.child
	start.UID, start.GID = r.id.UID, r.id.GID
	start.MainPID, start.SpawnerPID = uint32(os.Getpid()), uint32(r.spawner.pid)
	r.link = l
	err = r.during(ctx, func() error {
		if err := r.spawner.serve(r.serveWith.spawner, toChild.FD()); err != nil {
			return err
		}
		if err := r.child.send(start, toSpawner.FD()); err != nil {
			return err
		}
		if err := l.Give(r.child.send); err != nil {
			return err
		}
		return r.child.ready()
	})
	r.handed, r.spawned = err == nil, time.Now()
	return err
}

// ask never waits: a child that does not read is beyond asking.
func (r *roles) ask(reason string) error {
	return r.child.say(ipc.Stop{Reason: reason})
}

func (r *roles) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ending = true
	r.child.hangUp()
	r.spawner.hangUp()
	for i := range r.others {
		if p := r.others[i].p; p != nil {
			p.hangUp()
		}
	}
}

func (r *roles) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ending = true
	r.child.kill()
	if r.spawner != nil {
		r.spawner.kill()
	}
	for i := range r.others {
		if p := r.others[i].p; p != nil {
			p.kill()
		}
	}
}

// fall: the spawner ends with its conversation with the child.
func (r *roles) fall() {
	r.child.kill()
	r.end()
}

func (r *roles) close() {
	r.child.close()
	r.spawner.close()
}

// watch waits in one poll(2) for all that can come from the roles: it takes one
// thread, which sleeps while the node is served, but for the question whether the
// roles live.
func (r *roles) watch(report func(event)) {
	fds := []unix.PollFd{
		{Fd: int32(r.child.conn.FD()), Events: unix.POLLIN},
		{Fd: int32(r.child.pidfd), Events: unix.POLLIN},
		{Fd: int32(r.spawner.pidfd), Events: unix.POLLIN},
	}
	p := newPulse(time.Now())
	r.sign.Store(int64(time.Since(r.began)))
	for fds[1].Fd >= 0 || fds[2].Fd >= 0 || r.othersLive() { // poll passes over a negative one, without events
		fds = fds[:3]
		for i := range r.others {
			fd := unix.PollFd{Fd: -1, Events: unix.POLLIN}
			if p := r.others[i].p; p != nil {
				fd.Fd = int32(p.pidfd)
			}
			fds = append(fds, fd)
		}
		timeout := -1
		if fds[1].Fd >= 0 {
			timeout = p.untilNext()
		}
		ends := len(fds)
		fds, timeout = r.await(fds, timeout)
		if _, err := unix.Poll(fds, timeout); err != nil {
			// More than the limit of descriptors are too many, however few (poll(2)).
			if err == unix.EINTR || err == unix.EINVAL && raiseFiles() {
				continue
			}
			panic(fmt.Sprintf("poll: %v", err)) // bad memory: it cannot be
		}
		r.heardOf(fds[ends:])
		for i := range r.others {
			if fds[3+i].Revents != 0 {
				raiseFiles()
				r.otherEnded(i)
			}
		}
		if fds[0].Revents != 0 {
			p.heard()
			r.sign.Store(int64(time.Since(r.began)))
			if !r.listen(report) {
				fds[0].Fd = -1
			}
		}
		gone := r.ended(fds[1].Revents != 0, fds[2].Revents != 0)
		if fds[0].Fd >= 0 && slices.Contains(gone, r.child) {
			r.hearOut(report)
			fds[0].Fd = -1
		}
		for _, p := range gone {
			raiseFiles()
			if p == r.spawner && r.child.end == nil && r.replace() {
				fds[2].Fd = int32(r.spawner.pidfd)
				continue
			}
			r.note(p)
			report(event{kind: eventDied, err: p.end})
		}
		if r.child.end != nil {
			fds[1].Fd, fds[1].Revents = -1, 0
		} else {
			r.beat(p.check(time.Now(), func() vitals { return vitalsOf(r.child.pid) }))
		}
		if r.spawner.end != nil {
			fds[2].Fd, fds[2].Revents = -1, 0
		}
		r.beatSpawners(time.Now())
	}
	r.left = errors.Join(r.left, r.endPrograms())
}

// answers: see crew. A child that does not is about to be found hung by watch, or watch
// itself is stuck.
func (r *roles) answers() bool {
	return time.Since(r.began)-time.Duration(r.sign.Load()) < (beatsMissed+1)*beatEvery
}

// endPrograms ends what a spawner that has ended may have left, and waits for it. The
// roles have been reaped, but for those that are spared.
func (r *roles) endPrograms(spare ...int) error {
	var err error
	if r.by.tree != nil {
		err = r.by.tree.Empty()
	}
	err = errors.Join(err, r.serveWith.limits.Empty())
	if r.inherits {
		err = errors.Join(err, endOrphans(r.id.UID, spare...))
	}
	return err
}

// beat does what a pulse finds due.
func (r *roles) beat(b beat) {
	switch b {
	case beatAsk:
		// Full or closed: there will be no answer either.
		if r.child.say(ipc.Beat{}) == nil {
			r.child.heard.Asked++
		}
		if r.inherits {
			reapOrphans(r.pids()...)
		}
	case beatWait:
		r.sign.Store(int64(time.Since(r.began)))
	case beatAbort:
		r.hung = true
		r.child.signal(unix.SIGABRT)
	case beatKill:
		r.child.kill()
	}
}

// note keeps how the first of the roles has ended.
func (r *roles) note(p *process) {
	switch {
	case r.why != nil:
	case r.hung:
		r.why = etf.Atom("hung")
	case r.broken != nil:
		r.why = etf.Tuple{etf.Atom("broken"), etf.Binary(permit.Printable(r.broken.Error()))}
	case p == r.spawner:
		r.why = etf.Tuple{etf.Atom("spawner"), p.exit()}
	default:
		r.why = p.exit()
	}
}

// remains: see crew.
func (r *roles) remains() (etf.Term, error) { return r.why, r.left }

// ended reaps the roles that have ended, and puts the one that has ended of itself
// before the one that has followed it, whichever was faster.
func (r *roles) ended(child, spawner bool) (list []*process) {
	// For the faster of the two. A process closes what it has before its end can be seen, so
	// on a busy machine the other may have ended long before.
	const moment = 2 * time.Second
	if child {
		_ = r.child.reap()
		spawner = spawner || r.spawner.end == nil && !r.child.ws.Signaled() && r.spawner.ended(moment)
	}
	if spawner {
		_ = r.spawner.reap()
		child = child || r.child.end == nil && r.spawner.ws == 0 && r.child.ended(moment)
	}
	if child {
		_ = r.child.reap()
		list = append(list, r.child)
	}
	if spawner {
		list = append(list, r.spawner)
	}
	if len(list) == 2 && r.spawner.ws != 0 && !r.child.ws.Signaled() {
		list[0], list[1] = list[1], list[0]
	}
	return list
}

// hearOut reports what the child has said before it ended and main has not heard yet: that
// its end was asked for comes behind whatever else it has said.
func (r *roles) hearOut(report func(event)) {
	fds := []unix.PollFd{{Fd: int32(r.child.conn.FD()), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if err != unix.EINTR && (n <= 0 || !r.listen(report)) {
			return
		}
	}
}

// listen reports the child's next message and says whether there may be another.
func (r *roles) listen(report func(event)) bool {
	n, _, err := r.child.conn.TryRecv(r.child.buf)
	switch {
	case errors.Is(err, ipc.ErrEmpty):
		return true
	case errors.Is(err, io.EOF):
		if !r.child.ended(exitBound) { // otherwise its end is the event
			r.breaks(report, errors.New("the child has closed its conversation, and lives on"))
		}
		return false
	case err != nil:
		r.breaks(report, fmt.Errorf("cannot listen to the child: %w", err))
		return false
	}
	m, err := r.child.heard.Hear(r.child.buf[:n])
	switch m := m.(type) {
	case ipc.WantSpawner:
		err = r.want(m.User)
	case ipc.Remark:
		r.serveWith.log.Debug("the child remarks", "what", m.Text)
	case ipc.Drain:
		err = r.link.Drain(r.child.buf)
	case ipc.Stopped:
		report(event{kind: eventStopped, err: lost(m)})
		return false
	}
	if err != nil {
		r.breaks(report, err)
	}
	return err == nil
}

// breaks: nothing that the child says can be relied on any more.
func (r *roles) breaks(report func(event), err error) {
	r.broken = err
	report(event{kind: eventBroken, err: err})
}

// lost is why the child has stopped, if nobody has asked it to.
func lost(m ipc.Stopped) error {
	if m.Cause == ipc.CauseAsked {
		return nil
	}
	return fmt.Errorf("the connection was lost: %s", permit.Printable(m.Text))
}
