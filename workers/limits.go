package workers

import (
	"time"

	"erluv/loop"

	"golang.org/x/sys/unix"
)

// limits are the times that a program may take. They hold while it runs: what it
// leaves behind is a matter of tree. Most workers have none: nil.
type limits struct {
	run, idle time.Duration // 0: without end
	since     time.Duration // of the last output, of the loop's time
	runTimer  *loop.Timer
	idleTimer *loop.Timer
}

func newLimits(spec *Spec) *limits {
	if spec.Timeout <= 0 && spec.IdleTimeout <= 0 {
		return nil
	}
	return &limits{run: spec.Timeout, idle: spec.IdleTimeout}
}

func (l *limits) begin(w *Worker) {
	if l == nil {
		return
	}
	if l.run > 0 {
		l.runTimer = w.starter.loop.After(l.run, func() { w.host.TimedOut(w) })
	}
	if l.idle > 0 {
		l.since = w.starter.loop.Now()
		l.watchIdle(w, l.idle)
	}
}

// watchIdle comes back after d, when the program has been idle for long enough if
// nothing was written in between. So output does not move a timer, only a number.
func (l *limits) watchIdle(w *Worker, d time.Duration) {
	l.idleTimer = w.starter.loop.After(d, func() {
		if w.unread() {
			l.wrote(w) // it is not silent: nobody takes what it says
		}
		if left := l.since + l.idle - w.starter.loop.Now(); left > 0 {
			l.watchIdle(w, left)
			return
		}
		w.host.TimedOut(w)
	})
}

// unread says whether there is output that has not been taken out of the pipes.
func (w *Worker) unread() bool {
	for o := range w.outputs {
		if o.fd < 0 {
			continue
		}
		if n, err := unix.IoctlGetInt(int(o.fd), unix.TIOCINQ); err == nil && n > 0 {
			return true
		}
	}
	return false
}

// wrote notes output.
func (l *limits) wrote(w *Worker) {
	if l != nil && l.idle > 0 {
		l.since = w.starter.loop.Now()
	}
}

func (l *limits) end() {
	if l == nil {
		return
	}
	l.runTimer.Stop()
	l.idleTimer.Stop()
	l.runTimer, l.idleTimer = nil, nil
}
