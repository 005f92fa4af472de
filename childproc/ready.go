package childproc

import (
	"bytes"
	"time"

	"erluv/childproc/history"
	"erluv/childproc/order"
	"erluv/loop"
	"erluv/stat"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"
)

const (
	// maxUnready is how many bytes of a stream are kept until the program is ready, if no receiver
	// gets them before. Further output waits in the pipe.
	maxUnready = 1 << 20

	// unreadyMax is how many bytes are kept of all such streams together, enough for 32 of them.
	// With more streams, each may have a third of the rest, and always leastUnready.
	unreadyMax   = 32 << 20
	leastUnready = 4 << 10

	// Ports and files are checked from readyFirst after the start, at doubled intervals, because no
	// event reports them.
	readyFirst = 5 * time.Millisecond
	readyLast  = 100 * time.Millisecond

	// statusEvery is the least time between two reports of the status to the owner. The last status
	// is always reported.
	statusEvery = 100 * time.Millisecond

	// maxMatched is how many bytes of a line are matched. With the bound of a pattern, that takes
	// at most 0.2 s, and mostly some microseconds.
	maxMatched = 4 << 10

	// matchPiece is how many bytes are read at once before the line has come, so that the steps of
	// one turn are bounded too.
	matchPiece = 1 << 10
)

// readiness describes how a worker's program becomes ready, and whether the current run has.
type readiness struct {
	order.Ready
	held part // for its pattern

	awaited bool // the run is not ready yet
	kept    int  // bytes of kept output; see unready
	due     bool // it is ready, and isReady is about to be called
	before  footprint
	partial [2][]byte // incomplete lines of stdout and stderr
	delay   time.Duration
	limit   *loop.Timer // until the program must be ready
	look    *loop.Timer // at the port or the file
	alive   time.Duration
	barking *loop.Timer // the watchdog

	status  string
	telling *loop.Timer // until the status is reported
	toldAt  time.Duration
}

// unready counts the kept output of programs that were not ready when it came, in bytes, until all
// of it is delivered.
type unready struct{ bytes int }

// share is how many bytes may be kept of one stream.
func (u *unready) share() int {
	return min(maxUnready, max(leastUnready, (unreadyMax-u.bytes)/3))
}

// count counts the bytes kept of a stream between its call and the call of the function it returns.
func (u *unready) count(p *program, s workers.Stream) func() {
	before := p.out.Remainder(s)
	return func() {
		now := p.out.Remainder(s)
		n := max(0, now.Len()-before.Len())
		p.ready.kept += n
		u.bytes += n
	}
}

// delivered notes that output was delivered. Once all of it is, it no longer counts.
func (u *unready) delivered(p *program) {
	if p.ready == nil || p.ready.kept == 0 || p.ready.awaited {
		return
	}
	if !p.out.Remains() {
		u.forget(p)
	}
}

// forget stops counting output that will never be delivered.
func (u *unready) forget(p *program) {
	if p.ready != nil {
		u.bytes -= p.ready.kept
		p.ready.kept = 0
	}
}

// awaitsLine reports whether output is matched.
func (p *program) awaitsLine() bool {
	return p.awaitsReady() && p.ready.By == order.ByLine && !p.ready.due
}

func (p *program) awaitsReady() bool { return p.ready != nil && p.ready.awaited }

// beginReady notes the state of the port or the file before the program is started.
func (p *program) beginReady(m *manager) {
	r := p.ready
	if r == nil {
		return
	}
	r.awaited, r.due, r.delay, r.partial, r.status = true, false, readyFirst, [2][]byte{}, ""
	r.before = r.seen()
}

// awaitReady begins to wait, once the program runs.
func (p *program) awaitReady(m *manager) {
	r := p.ready
	if r == nil || !r.awaited { // or the worker was stopped meanwhile
		return
	}
	if r.Timeout > 0 {
		r.limit = m.loop.After(r.Timeout, func() { p.notReady(m, etf.Atom("timeout")) })
	}
	if r.By == order.ByTCP || r.By == order.ByFile {
		p.lookAgain(m)
	}
}

func (p *program) lookAgain(m *manager) {
	r := p.ready
	r.look = m.loop.After(r.delay, func() {
		if r.seen().differs(r.before) {
			p.isReady(m)
			return
		}
		r.delay = min(2*r.delay, readyLast)
		p.lookAgain(m)
	})
}

// seen returns the current state of the port or the file.
func (r *readiness) seen() footprint {
	switch r.By {
	case order.ByTCP:
		return listeners(r.Port)
	case order.ByFile:
		return fileNow(r.File)
	}
	return nil
}

// endReady ends the wait: the program is ready, or has ended.
func (r *readiness) endReady() {
	r.awaited, r.due, r.partial = false, false, [2][]byte{}
	r.limit.Stop()
	r.look.Stop()
	r.limit, r.look = nil, nil
}

// isReady is called when the program is ready. It answers the caller that requested the worker, or
// reports to the owner.
func (p *program) isReady(m *manager) {
	r := p.ready
	if !r.awaited || p.life.told {
		return
	}
	r.endReady()
	p.expectLife(m)
	p.step(m, evReady, nil)
}

// readyLater calls isReady once the current call has returned.
func (p *program) readyLater(m *manager) {
	r := p.ready
	if r.due {
		return
	}
	r.due = true
	r.look = m.loop.After(0, func() { p.isReady(m) })
}

// readyAtEnd handles the end of the program. Its last output and files still count.
func (p *program) readyAtEnd(m *manager) {
	r := p.ready
	if r.due || r.awaited && r.By == order.ByFile && r.seen().differs(r.before) {
		p.isReady(m)
	}
	if p.life.unheard() {
		p.notReady(m, exitTerm(p.told().exit))
	}
	r.endReady()
	r.barking.Stop()
	r.telling.Stop()
	r.barking, r.telling = nil, nil
}

// notReady is called when the program is not ready in time, or has ended. If only the caller knows
// of the worker, no other process will. Otherwise the program is stopped, as after a timeout.
func (p *program) notReady(m *manager, why etf.Term) {
	reason := gen.Encode(etf.Tuple{etf.Atom("not_ready"), why})
	if p.life.unheard() {
		m.end(p, reason, history.NotReady)
		return
	}
	p.ready.endReady()
	m.tell(p.owner, p, etf.Tuple{etf.Atom("not_ready"), why})
	p.fault(m, reason)
}

// notReadyTerm answers the caller of a worker that ends before it was ready. The reason is
// {not_ready, Why}. If the worker ended for another reason, that is Why.
func notReadyTerm(reason etf.Raw) etf.Term {
	r := etf.NewReader(reason)
	if n, err := r.Tuple(); err == nil && n == 2 {
		if a, err := r.Atom(); err == nil && a == "not_ready" {
			return gen.Error(reason)
		}
	}
	return gen.Error(etf.Tuple{etf.Atom("not_ready"), reason})
}

// withdraw ends a worker of which only its caller knows. No other process gets any message about
// it.
func (p *program) withdraw(m *manager) {
	m.demonitorOwner(p)
	if p.ready != nil {
		p.ready.endReady()
	}
	p.owner = etf.Pid{}
	if p.asked != nil {
		p.asked.proxy = nil
	}
	p.out.Disown()
	p.out.GiveUp(p)
}

// sawOutput looks for the line in new output.
func (p *program) sawOutput(m *manager, s workers.Stream, data []byte) {
	r := p.ready
	if r == nil || !r.awaited || r.By != order.ByLine || s > workers.Stderr || r.due {
		return
	}
	part := &r.partial[s-workers.Stdout]
	for len(data) > 0 {
		line, rest, whole := bytes.Cut(data, []byte{'\n'})
		data = rest
		if len(*part) > 0 || !whole {
			*part = append(*part, line[:min(len(line), maxMatched-len(*part))]...)
			line = *part
		}
		if !whole {
			return
		}
		line = line[:min(len(line), maxMatched)]
		if r.Line.Match(bytes.TrimSuffix(line, []byte{'\r'})) {
			p.readyLater(m)
			return
		}
		*part = (*part)[:0]
	}
}

// sawEnd handles the end of a stream, which may complete its last line.
func (p *program) sawEnd(m *manager, s workers.Stream) { p.sawOutput(m, s, []byte{'\n'}) }

// Notified takes a notice of the program (sd_notify(3)).
func (m *manager) Notified(w *workers.Worker, n workers.Notice) {
	p := w.Tag.(*program)
	r := p.ready
	if n.IsStatus {
		p.setStatus(m, n.Status)
	}
	if n.Alive || n.Ready {
		r.alive = m.loop.Now()
	}
	if n.Ready {
		p.isReady(m)
	}
	if n.Trigger && r.Watchdog > 0 {
		p.bark(m)
	}
}

// expectLife begins to expect signs of life.
func (p *program) expectLife(m *manager) {
	if r := p.ready; r.Watchdog > 0 {
		r.alive = m.loop.Now()
		p.expectWithin(m, r.Watchdog)
	}
}

func (p *program) expectWithin(m *manager, d time.Duration) {
	r := p.ready
	r.barking = m.loop.After(d, func() {
		if left := r.alive + r.Watchdog - m.loop.Now(); left > 0 {
			p.expectWithin(m, left)
			return
		}
		p.bark(m)
	})
}

// bark stops a program that gives no sign of life.
func (p *program) bark(m *manager) {
	r := p.ready
	r.barking.Stop()
	r.barking = nil
	if p.life.unheard() {
		p.notReady(m, etf.Atom("watchdog"))
		return
	}
	p.fault(m, reasonWatchdog)
}

// setStatus reports a new status to the owner, but not too often.
func (p *program) setStatus(m *manager, status string) {
	r := p.ready
	if r.status == status {
		return
	}
	r.status = status
	if p.life.hidden() || r.telling != nil {
		return
	}
	if wait := r.toldAt + statusEvery - m.loop.Now(); r.toldAt > 0 && wait > 0 {
		r.telling = m.loop.After(wait, func() { p.tellStatus(m) })
		return
	}
	p.tellStatus(m)
}

func (p *program) tellStatus(m *manager) {
	r := p.ready
	if r.status == "" && r.toldAt == 0 {
		return // there never was a status
	}
	r.telling, r.toldAt = nil, m.loop.Now()
	m.tellLast(wordStatus, p.owner, p, etf.Tuple{etf.Atom("status"), text(r.status)})
}

// readiness describes a worker's readiness for info.
func (p *program) readiness() *stat.Ready {
	if p.ready == nil {
		return nil
	}
	return &stat.Ready{Is: !p.ready.awaited, Status: p.ready.status}
}
