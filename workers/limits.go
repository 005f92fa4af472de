package workers

import (
	"time"

	"erluv/loop"

	"golang.org/x/sys/unix"
)

// limits are the times for which a program may run and be silent. They apply while it runs. The
// tree option decides about processes it leaves behind. It is nil for most workers, which have
// none.
type limits struct {
	run, idle time.Duration // 0 means no limit
	since     time.Duration // loop time of the last output
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

// watchIdle checks after d whether the program has been silent for long enough. So output does not
// move a timer, only a number.
func (l *limits) watchIdle(w *Worker, d time.Duration) {
	l.idleTimer = w.starter.loop.After(d, func() {
		if w.unread() {
			l.wrote(w) // not silent: its output waits in the pipe
		}
		if left := l.since + l.idle - w.starter.loop.Now(); left > 0 {
			l.watchIdle(w, left)
			return
		}
		w.host.TimedOut(w)
	})
}

// unread reports whether the pipes have output that was not read yet.
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

// wrote notes the time of output.
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
