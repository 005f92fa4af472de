package childproc

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"erluv/childproc/history"
	"erluv/childproc/machine"
	"erluv/childproc/order"
	"erluv/ipc"
	"erluv/label"
	"erluv/loop"
	"erluv/stat"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// host is this machine as the nodes see it: its state, labels and classes, and the bounds for
// programs.
type host struct {
	hostLife
	given   ipc.Host
	labels  label.Labels
	classes []*class
	members map[*program]*class // class of each program that has one; few have
	drains  []*drain            // drains that wait for the last worker
	machine machine.Looker
}

// newHost reads main's description of the host. The parameter users is the number of users that
// programs may run as.
func newHost(given ipc.Host, users int) (h host, err error) {
	h.given, h.machine.Paths = given, given.Disks
	h.wish = given.Standing.Wish
	if h.labels, err = label.Parse(given.Standing.Meta); err != nil {
		return h, err
	}
	for i := range given.Classes {
		c, err := order.NewClass(given.Classes[i])
		if err != nil {
			return h, err
		}
		if int(c.User) >= users {
			return h, fmt.Errorf("the class %s has a user that main does not name", c.Name)
		}
		h.classes = append(h.classes, &class{Class: c})
	}
	return h, nil
}

// standing is what main keeps for the next child.
func (h *host) standing() ipc.Standing { return ipc.Standing{Wish: h.wish, Meta: h.labels.String()} }

// turn takes one event of the host, and reports whether it is allowed. done is called once main
// knows the requested state.
func (m *manager) turn(e hostEvent, done func()) bool {
	before := m.host.state
	do, allowed := m.host.step(e)
	if !allowed {
		return false
	}
	if m.host.state != before {
		m.log.Info("the state of this host has changed", "from", before.String(), "to", m.host.state.String())
	}
	if do&hdKeep != 0 {
		m.main.stands(m.host.standing(), done)
	} else {
		done()
	}
	if do&hdTell != 0 {
		m.event(etf.Tuple{etf.Atom("status"), etf.Atom(m.host.state.String())})
	}
	if do&hdDrain != 0 {
		for _, p := range m.all() {
			m.end(p, drained, history.Drain)
		}
	}
	if m.host.state == hoStopping && len(m.procs) == 0 {
		return m.turn(heEmpty, func() {})
	}
	return true
}

// drained is the exit reason of drained workers. To a supervisor it is an orderly end.
var drained = gen.Encode(etf.Tuple{etf.Atom("shutdown"), etf.Atom("drained")})

// wishes are the states that can be requested.
var wishes = map[etf.Atom]hostEvent{"ready": heReady, "standby": heStandby, "stopped": heStopped}

var errNotAllowed = gen.Error(etf.Atom("not_allowed"))

// statusRequest takes {status, get}.
func (m *manager) statusRequest(to caller, a args) bool {
	if a.list[0] != etf.Atom("get") {
		return false
	}
	to.reply(etf.Atom(m.host.state.String()))
	return true
}

// setStatusRequest takes {status, set, State}. The answer comes once main knows the state.
func (m *manager) setStatusRequest(to caller, a args) bool {
	state, _ := a.list[1].(etf.Atom)
	e, ok := wishes[state]
	if a.list[0] != etf.Atom("set") || !ok {
		return false
	}
	if w := m.keep(to, 0); w != nil && !m.turn(e, func() { w.reply(etf.Atom("ok")) }) {
		w.reply(errNotAllowed)
	}
	return true
}

// drain is a request that waits until no worker is left.
type drain struct {
	*waiting
	timer  *loop.Timer // nil: it has no deadline
	killed etf.List
}

// killBound is how long killed workers may take to end. Then the drain is answered, because a
// process that hangs in the kernel cannot be killed.
const killBound = 5 * time.Second

// maxDeadline is the longest deadline of a drain, in milliseconds: 49 days, as in Erlang.
const maxDeadline = 1<<32 - 1

// drainRequest takes {drain, Milliseconds | infinity}.
func (m *manager) drainRequest(to caller, a args) bool {
	ms, ok := a.list[0].(int64)
	forever := a.list[0] == etf.Atom("infinity")
	if !forever && (!ok || ms < 0 || ms > maxDeadline) {
		return false
	}
	w := m.keep(to, 0)
	if w == nil {
		return true
	}
	d := &drain{waiting: w}
	m.host.drains = append(m.host.drains, d)
	if !m.turn(heStopped, func() {}) {
		m.host.drains = m.host.drains[:len(m.host.drains)-1]
		w.reply(errNotAllowed)
		return true
	}
	if len(m.procs) > 0 && !forever {
		d.timer = m.loop.After(time.Duration(ms)*time.Millisecond, func() { m.overdue(d) })
	}
	m.drainedIfEmpty()
	return true
}

// overdue is called when the deadline of a drain has passed. It kills the remaining workers.
func (m *manager) overdue(d *drain) {
	for _, p := range m.all() {
		if len(d.killed) < maxListed {
			d.killed = append(d.killed, p.self().pid)
		}
	}
	d.timer = m.loop.After(killBound, func() { m.answerDrain(d) })
	for _, p := range m.all() {
		m.kill(p, history.Drain)
	}
}

// drainedIfEmpty changes the state of the host and answers the drains, once no worker is left.
func (m *manager) drainedIfEmpty() {
	if len(m.procs) > 0 {
		return
	}
	if m.host.state == hoStopping {
		m.turn(heEmpty, func() {})
	}
	for len(m.host.drains) > 0 {
		m.answerDrain(m.host.drains[0])
	}
}

// answerDrain answers a drain with the workers that were killed.
func (m *manager) answerDrain(d *drain) {
	d.timer.Stop()
	m.host.drains = slices.DeleteFunc(m.host.drains, func(other *drain) bool { return other == d })
	d.reply(gen.OK(d.killed))
}

// metaRequest takes {meta, get | {update, Text} | {remove, Name}}.
func (m *manager) metaRequest(to caller, a args) bool {
	if a.list[0] == etf.Atom("get") {
		to.reply(stat.LabelTerms(m.host.labels))
		return true
	}
	t, ok := a.list[0].(etf.Tuple)
	if !ok || len(t) != 2 {
		return false
	}
	text, ok := etf.Text(t[1])
	if !ok {
		if atom, is := t[1].(etf.Atom); is {
			text, ok = string(atom), true
		}
	}
	if !ok {
		return false
	}
	changed := m.host.labels
	switch t[0] {
	case etf.Atom("update"):
		var err error
		if changed, err = changed.Update(text); err != nil {
			to.reply(gen.Error(labelReason(err)))
			return true
		}
	case etf.Atom("remove"):
		changed = changed.Remove(text)
	default:
		return false
	}
	if w := m.keep(to, 0); w != nil {
		told := changed.String() != m.host.labels.String()
		m.host.labels = changed
		m.main.stands(m.host.standing(), func() { w.reply(etf.Atom("ok")) })
		if told {
			m.event(etf.Tuple{etf.Atom("meta"), stat.LabelTerms(changed)})
		}
	}
	return true
}

func labelReason(err error) etf.Atom {
	if errors.Is(err, label.ErrTooMany) {
		return "too_many_labels"
	}
	return "invalid_tokens"
}

// ofMachine are the keys of info that need a look at the machine.
var ofMachine = []etf.Term{etf.Atom("load"), etf.Atom("memory"), etf.Atom("disks")}

// hostStat returns the host's part of info, with or without a look at the machine.
func (m *manager) hostStat(look bool) stat.Host {
	given := &m.host.given
	h := stat.Host{
		Meta: m.host.labels, OnlyClasses: given.OnlyClasses,
		Caps: stat.Caps{
			KillTimeout: time.Duration(given.MaxKillTimeoutMS) * time.Millisecond,
			Memory:      given.Limits.Memory, PIDs: uint64(given.Limits.PIDs), CPU: uint64(given.Limits.CPU),
		},
	}
	if look {
		h.Load, h.Memory, h.Disks = m.host.machine.Load(), m.host.machine.Memory(), m.host.machine.Disks()
	}
	for _, c := range m.host.classes {
		h.Classes = append(h.Classes, c.Name)
	}
	return h
}
