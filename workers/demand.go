package workers

import (
	"time"

	"erluv/eintr"
	"erluv/ipc"
	"erluv/loop"

	"golang.org/x/sys/unix"
)

// demand is the part of a Starter that only programs of another user have. Their spawner exists
// only while it is needed. The child may not signal such programs, so the spawner does, which runs
// as their user. For programs of the child's own user, demand is nil.
//
//	absent ── a worker waits ──► wanted ── Join ──► present ── idle ──► leaving
//	  ▲                            │                   │ its end           │
//	  └─────────────────────────── Gone ◄──────────────┴───────────────────┘
type demand struct {
	state   demandState
	want    func() // requests a spawner; Join or Gone answers
	most    time.Duration
	workers int         // workers that have not ended
	idle    *loop.Timer // until the spawner is dismissed
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

// maxWaiting is the maximum number of workers that wait for an absent spawner.
const maxWaiting = 1024

// ForUser makes a Starter for programs of another user. It calls want when it needs a spawner, and
// not again until Join or Gone. A spawner without workers is dismissed after idle, unless one of
// them left processes alone (TreeLeave).
func (s *Starter) ForUser(want func(), idle time.Duration) *Starter {
	u := newStarter(s.loop, s.reports, s.budget, s.buf, func(error) {}) // Gone reports it
	u.settled = s.settled
	u.demand = &demand{want: want, most: idle}
	s.loop.EachRound(u.ask)
	return u
}

// Full reports whether no more workers can wait for the spawner.
func (s *Starter) Full() bool { return s.conn == nil && len(s.line) >= maxWaiting }

// Join continues with a requested spawner. The spawner makes leaves in one directory, or none if
// that is "", and groups with limits in others: see UseLeaves and UseLimits. If Join cannot use the
// spawner, it dismisses it at once.
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

// Gone is called when the spawner has ended with everything it started, or when there is none. Its
// unanswered requests fail. The waiting workers fail too if there was no spawner, or if it never
// answered: another would be no better.
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

// came counts a new worker.
func (d *demand) came() {
	if d != nil {
		d.workers++
		d.idle.Stop()
	}
}

// left counts an ended worker, which may have left processes alone.
func (d *demand) left(s *Starter, w *Worker) {
	if d == nil {
		return
	}
	d.workers--
	d.stays = d.stays || w.life.tree == TreeLeave && w.proc.pid != 0 && !w.groupEmpty && !w.proc.alone()
	d.rest(s)
}

// rest starts the idle timer if there is no worker.
func (d *demand) rest(s *Starter) {
	if d.workers == 0 && d.state == demandPresent && !d.stays {
		d.idle.Stop()
		d.idle = s.loop.After(d.most, func() { d.leave(s) })
	}
}

// leave dismisses the spawner.
func (d *demand) leave(s *Starter) {
	if d.state == demandPresent && d.workers == 0 {
		d.state = demandLeaving
		s.hangUp()
	}
}

// heard notes that the spawner has answered.
func (d *demand) heard() {
	if d != nil {
		d.served = true
	}
}

// look requests a spawner if a worker waits for one.
func (d *demand) look(s *Starter) {
	if d != nil && d.state == demandAbsent && len(s.line) > 0 {
		d.state, d.stays = demandWanted, false
		d.want()
	}
}

// open lets a program of another user reopen its end of a pipe, by /dev/stdout and the like. To the
// kernel the pipe is a file of the child's user. Any other process that could reach it already has
// access to the program's own descriptors.
func (d *demand) open(pipe int) error {
	if d == nil {
		return nil
	}
	return eintr.Fchmod(pipe, 0o666)
}

// signalOther has the spawner signal the process. The child itself checks that the process exists.
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

// signalOthers is signalGroup for a program of another user. EPERM means that the group has
// members.
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
