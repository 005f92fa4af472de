package childproc

import (
	"testing"
	"time"

	"erluv/loop/looptest"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// undying is a process of the child that does not end, like one that hangs in the kernel.
type undying struct {
	watcher
	told []bool // the stops that it got: at once or not
}

func (p *undying) stop(_ *manager, now bool) { p.told = append(p.told, now) }

// TestDrainThatHangs checks that a drain is answered within a bound after its deadline, although a
// killed worker does not end. The host must not be stopped before the worker ends.
func TestDrainThatHangs(t *testing.T) {
	l, err := looptest.New()
	must(t, err)
	t.Cleanup(func() { l.Close() })
	m, c := playedManager(t, l)
	p := &undying{}
	p.entry = entry{client: c, pid: m.newPid()}
	m.procs[key(p.pid)] = p
	c.procs++
	request := func(req etf.Term) *recorder {
		r := &recorder{}
		m.request(caller{by: r}, gen.Encode(req))
		return r
	}
	start := l.Now()
	forever := request(etf.Tuple{etf.Atom("drain"), etf.Atom("infinity")})
	drain := request(etf.Tuple{etf.Atom("drain"), int64(60_000)})
	l.After(60*time.Second-1, func() {
		if len(p.told) != 1 || p.told[0] || len(drain.answers) > 0 {
			t.Errorf("before the deadline: it was told %v, answers %v", p.told, drain.answers)
		}
	})
	l.After(60*time.Second+killBound-1, func() {
		if len(p.told) != 2 || !p.told[1] || len(drain.answers) > 0 {
			t.Errorf("after it: it was told %v, answers %v", p.told, drain.answers)
		}
	})
	l.After(time.Hour, l.Stop)
	must(t, l.Run())
	same(t, drain.answers[0], gen.OK(etf.List{p.pid}))
	if len(forever.answers) > 0 || m.host.state != hoStopping {
		t.Errorf("%v after %v, answers %v", m.host.state, l.Now()-start, forever.answers)
	}
	m.forget(p)
	m.endIfEmpty()
	same(t, forever.answers[0], gen.OK(etf.List(nil)))
	if m.host.state != hoStopped || m.held.bytes != 0 || len(m.host.drains) != 0 {
		t.Errorf("%v, %d bytes, %d drains", m.host.state, m.held.bytes, len(m.host.drains))
	}
}
