package workers

import (
	"time"

	"erluv/eintr"
	"erluv/ipc"
	"erluv/loop"

	"golang.org/x/sys/unix"
)

// demand is what a Starter for programs of another user has beside the others: its
// spawner is there only while it is needed. The child may not signal such programs
// either: the spawner, which is their user, does. nil is for those of the child's own
// user.
//
//	absent ── somebody waits ──► wanted ── Join ──► present ── idle ──► leaving
//	   ▲                           │                   │ its end           │
//	   └───────────────────────── Gone ◄───────────────┴───────────────────┘
type demand struct {
	state   demandState
	want    func() // asks for a spawner: Join or Gone answers
	most    time.Duration
	workers int         // that have not ended
	idle    *loop.Timer // until the spawner is let go
	served  bool        // the spawner has answered
	stays   bool        // it has left a process alone, on purpose
}

type demandState uint8

const (
	demandAbsent demandState = iota
	demandWanted
	demandPresent
	demandLeaving
)

// maxWaiting bounds how many workers wait for a spawner that is not there.
const maxWaiting = 1024

// ForUser makes a Starter for programs of another user. want is called when there is a
// need for a spawner; until Join or Gone it is not called again. A spawner without a
// worker is let go after a while, unless one has left something alone (TreeLeave).
func (s *Starter) ForUser(want func(), idle time.Duration) *Starter {
	u := newStarter(s.loop, s.reports, s.budget, s.buf, func(error) {}) // Gone tells it
	u.settled = s.settled
	u.demand = &demand{want: want, most: idle}
	s.loop.EachRound(u.ask)
	return u
}

// Full says whether no more can wait for the spawner.
func (s *Starter) Full() bool { return s.conn == nil && len(s.line) >= maxWaiting }

// Join goes on with a spawner that was wanted. It makes leaves in one directory ("":
// none), and groups for limits in others: see UseLeaves and UseLimits. One that cannot be
// gone on with is let go at once.
func (s *Starter) Join(conn *ipc.Conn, leaves string, limits ipc.LimitDirs) {
	d := s.demand
	d.state, d.served = demandPresent, false
	s.conn = conn
	err := s.UseLeaves(leaves)
	s.UseLimits(limits, leaves)
	if err == nil {
		s.src, err = s.loop.Watch(conn.FD(), loop.In, s)
	}
	if err != nil {
		s.hangUp()
		return
	}
	d.rest(s)
}

// Gone: the spawner has ended, and everything that it had started; or none could be
// had. What it was asked for fails, and so does what waits when it would do so again.
func (s *Starter) Gone() {
	d := s.demand
	hopeless := d.state == demandWanted || d.state == demandPresent && !d.served
	d.state = demandAbsent
	s.hangUp()
	s.bereave()
	if !hopeless {
		return
	}
	line := s.line
	s.line = nil
	for _, w := range line {
		s.fail(w, ipc.Refusal{Stage: ipc.StageUser, Errno: unix.EAGAIN})
	}
}

// came: there is a worker more.
func (d *demand) came() {
	if d != nil {
		d.workers++
		d.idle.Stop()
	}
}

// left: a worker is over. It may have left something alone.
func (d *demand) left(s *Starter, w *Worker) {
	if d == nil {
		return
	}
	d.workers--
	d.stays = d.stays || w.life.tree == TreeLeave && w.proc.pid != 0 && !w.groupEmpty && !w.proc.alone()
	d.rest(s)
}

// rest begins to wait for the end of idleness, if there is no worker.
func (d *demand) rest(s *Starter) {
	if d.workers == 0 && d.state == demandPresent && !d.stays {
		d.idle.Stop()
		d.idle = s.loop.After(d.most, func() { d.leave(s) })
	}
}

// leave lets the spawner go.
func (d *demand) leave(s *Starter) {
	if d.state == demandPresent && d.workers == 0 {
		d.state = demandLeaving
		s.hangUp()
	}
}

// heard: the spawner has answered.
func (d *demand) heard() {
	if d != nil {
		d.served = true
	}
}

// look asks for a spawner when somebody waits for one.
func (d *demand) look(s *Starter) {
	if d != nil && d.state == demandAbsent && len(s.line) > 0 {
		d.state, d.stays = demandWanted, false
		d.want()
	}
}

// open lets a program of another user open its end of a pipe anew, by /dev/stdout and
// the like: to the kernel it is a file of the child's user. Who could reach it besides
// has the program's own descriptors already.
func (d *demand) open(pipe int) error {
	if d == nil {
		return nil
	}
	return eintr.Fchmod(pipe, 0o666)
}

// signalOther has the spawner signal the process; that it exists is seen here.
func (p *process) signalOther(sig unix.Signal) error {
	switch err := unix.PidfdSendSignal(int(p.fd), 0, nil, 0); {
	case err == unix.ESRCH:
		return err
	case sig == 0 || p.w.starter.conn == nil:
		return nil
	case p.asked >= maxQuestions:
		return unix.EAGAIN
	}
	p.asked++
	p.w.starter.tellWith(ipc.SignalGroup{PID: p.pid, Signal: uint32(sig), Only: true}, int(p.fd))
	return nil
}

// signalOthers is signalGroup for a program of another user: EPERM says that the group
// has members.
func (p *process) signalOthers(sig unix.Signal) error {
	err := unix.PidfdSendSignal(int(p.fd), 0, nil, ipc.PidfdSignalProcessGroup)
	if p.leaf == 0 && err == unix.ESRCH || p.leaf != 0 && p.w.starter.leaves.isEmpty(p.leaf) {
		return unix.ESRCH
	}
	if sig != 0 {
		p.ask(sig)
	}
	return nil
}
