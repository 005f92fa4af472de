package childproc

import (
	"testing"
	"time"

	"erluv/ipc"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// keeping starts two nodes of a child that keeps detached workers for so long.
func keeping(t *testing.T, after time.Duration) (a, b *node) {
	other := testLink
	other.ID, other.Target = 1, "other@localhost"
	nodes := startNodes(t, func(s *ipc.Start) { s.Stays, s.LostAfterMS = true, uint32(after.Milliseconds()) }, testLink, other)
	return nodes[0], nodes[1]
}

var detached = opt("detached", etf.Atom("true"))

// infoOf returns one key of a worker's info.
func (n *node) infoOf(w etf.Pid, key etf.Atom) etf.Term {
	n.t.Helper()
	return valueOf(n.t, n.workerCall(w, etf.Atom("info")).(etf.Map), key)
}

// drains waits until a program has ended and its worker has not.
func (n *node) drains(w etf.Pid) {
	n.t.Helper()
	for end := time.Now().Add(patience); n.infoOf(w, "state") != etf.Atom("draining"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			n.t.Fatal("the program does not end")
		}
	}
}

// TestAbsentOwner checks that a detached worker outlives the node of its owner, and others do not.
// Its info shows that. Its output waits in the pipe until it has another owner, who gets all of it.
func TestAbsentOwner(t *testing.T) {
	a, b := keeping(t, time.Hour)
	w := b.spawned("read x; echo $x; exit 7", detached) // a link of the owner does not end it
	ends := b.spawned("read x; echo last; exit 3", unlinked, detached)
	owned := b.spawned("exec sleep 1000", unlinked)
	linked := b.spawned("exec sleep 1000", unlinked, detached)
	b.write(dist.AppendLink(nil, b.pid(), linked))
	for i, p := range []etf.Pid{owned, linked} {
		a.write(dist.AppendMonitor(nil, a.self, p, a.someRef(uint32(i))))
	}
	a.undisturbed()
	floods := b.spawned("exec cat /dev/zero", unlinked, detached, opt("stdin", etf.Atom("null")), flow(etf.Atom("true")))
	must(t, b.conn.Close())
	for range 2 {
		if m := a.op(dist.PayloadMonitorPExit); m.From != owned && m.From != linked || !gen.IsAtom(m.Reason, gen.Noconnection) {
			t.Errorf("a hears %s", show(m))
		}
	}
	hears[ipc.Lost](a)
	for _, p := range []etf.Pid{w, floods, ends} {
		info := a.workerCall(p, etf.Atom("info")).(etf.Map)
		same(t, valueOf(t, info, "owner"), etf.Atom("none"))
		lost := valueOf(t, info, "lost").(etf.Map)
		same(t, valueOf(t, lost, "owner"), b.self)
		since, until := valueOf(t, lost, "since").(int64), valueOf(t, lost, "until").(int64)
		if now := time.Now().UnixMilli(); since > now || since < now-patience.Milliseconds() || until-since != time.Hour.Milliseconds() {
			t.Errorf("lost since %d, until %d; now it is %d", since, until, now)
		}
	}
	// Requests still work, and output waits.
	for _, p := range []etf.Pid{w, ends} {
		same(t, a.workerCall(p, etf.Tuple{etf.Atom("write"), etf.Binary("go\n")}), etf.Atom("ok"))
	}
	a.drains(ends)
	read := func() int64 { return valueOf(t, a.infoOf(floods, "stdout").(etf.Map), "bytes").(int64) }
	before := read()
	// By setopts, with options that apply to the waiting output, and by the port protocol.
	same(t, a.workerCall(w, etf.Tuple{etf.Atom("setopts"), etf.Map{opt("owner", a.self), opt("packet", etf.Atom("line"))}}), etf.Atom("ok"))
	out := func(w etf.Pid, what ...etf.Term) etf.Tuple { return etf.Tuple{w, etf.Tuple(what)} }
	stdout, eof := etf.Atom("stdout"), etf.Atom("eof")
	told := func(w etf.Pid, line string, status int64) {
		t.Helper()
		seen := map[string]bool{}
		for range 3 { // stdout and stderr are two streams
			m := a.message(a.self)
			seen[string(gen.Encode(m))] = true
		}
		for _, want := range []etf.Term{out(w, stdout, etf.Binary(line)), out(w, stdout, eof), out(w, etf.Atom("stderr"), eof)} {
			if !seen[string(gen.Encode(want))] {
				t.Errorf("%v was not told, but %v", want, seen)
			}
		}
		a.expect(out(w, etf.Atom("exit_status"), status))
	}
	told(w, "go\n", 7)
	a.toPid(ends, etf.Tuple{a.self, etf.Tuple{etf.Atom("connect"), a.self}})
	a.expect(etf.Tuple{ends, etf.Atom("connected")})
	told(ends, "last\n", 3)
	// A program that writes without end blocks in its write.
	if now := read(); now != before {
		t.Errorf("%d bytes were read for nobody", now-before)
	}
	same(t, a.workerCall(floods, etf.Tuple{etf.Atom("setopts"), etf.Map{opt("owner", a.self), opt("active", etf.Atom("once"))}}), etf.Atom("ok"))
	if m := a.message(a.self).(etf.Tuple); m[0] != floods {
		t.Errorf("instead of output: %v", m)
	}
	same(t, a.infoOf(floods, "lost"), etf.Atom("false"))
	same(t, a.infoOf(floods, "owner"), a.self)
}

// TestAbsentTooLong checks that a worker without a new owner ends, in any state of its program. The
// program runs, blocks in its write, has ended, or is paused.
func TestAbsentTooLong(t *testing.T) {
	a, b := keeping(t, 500*time.Millisecond)
	var list []etf.Pid
	for _, cmd := range []string{"exec sleep 1000", "read x; exec cat /dev/zero", "read x; exit 3"} {
		list = append(list, b.spawned(cmd, unlinked, detached, flow(etf.Atom("true"))))
	}
	list = append(list, b.spawned("true", unlinked, detached, opt("owner", etf.Atom("none")), opt("restart", etf.Atom("permanent")),
		opt("backoff", etf.Tuple{int64(1000000), int64(1000000)})))
	for _, w := range list[:2] {
		same(t, a.workerCall(w, etf.Tuple{etf.Atom("write"), etf.Binary("go\n")}), etf.Atom("ok"))
	}
	for i, w := range list {
		a.write(dist.AppendMonitor(nil, a.self, w, a.someRef(uint32(i))))
	}
	a.undisturbed()
	must(t, b.conn.Close())
	hears[ipc.Lost](a)
	a.toPid(list[2], etf.Tuple{a.self, etf.Tuple{etf.Atom("command"), etf.Binary("go\n")}}) // it may have ended
	ended := map[etf.Pid]bool{}
	for len(ended) < len(list) {
		m := a.op(dist.PayloadMonitorPExit)
		if ended[m.From] = true; !gen.IsAtom(m.Reason, gen.Noconnection) {
			t.Errorf("%v ends with %x", m.From, m.Reason)
		}
	}
}

// TestAbsentRestart checks that an ended program is not restarted before its owner knows of the
// end.
func TestAbsentRestart(t *testing.T) {
	a, b := keeping(t, time.Hour)
	w := b.spawned("read x", unlinked, detached, opt("stdout", etf.Atom("null")), opt("stderr", etf.Atom("null")),
		opt("restart", etf.Atom("permanent")), opt("backoff", etf.Tuple{int64(1), int64(1)}))
	must(t, b.conn.Close())
	hears[ipc.Lost](a)
	same(t, a.workerCall(w, etf.Tuple{etf.Atom("write"), etf.Binary("go\n")}), etf.Atom("ok"))
	a.drains(w)
	same(t, a.infoOf(w, "restarts"), int64(0))
	same(t, a.workerCall(w, etf.Tuple{etf.Atom("setopts"), etf.Map{opt("owner", a.self)}}), etf.Atom("ok"))
	a.expect(etf.Tuple{w, etf.Tuple{etf.Atom("exit_status"), int64(0)}})
	if m := a.message(a.self).(etf.Tuple); m[0] != w || m[1].(etf.Tuple)[0] != etf.Atom("restarted") {
		t.Errorf("instead of restarted: %v", m)
	}
}

// TestOwnerOfBefore has a node return while a worker of its last connection still ends. The node
// must have no relation to that worker.
func TestOwnerOfBefore(t *testing.T) {
	other := testLink
	other.ID, other.Target = 1, "other@localhost"
	nodes := startNodes(t, nil, testLink, other)
	a, b := nodes[0], nodes[1]
	w := b.spawned("trap '' TERM; echo trapped; while :; do read x; done", unlinked)
	b.expect(etf.Tuple{w, etf.Tuple{etf.Atom("stdout"), etf.Binary("trapped\n")}})
	a.write(dist.AppendMonitor(nil, a.self, w, a.someRef(1)))
	a.undisturbed()
	must(t, b.conn.Close())
	hears[ipc.Lost](a)
	again := a.give(other)
	again.begins()
	same(t, again.call(etf.Atom("workers")).(etf.List)[0].(etf.Tuple)[0], w)
	a.op(dist.PayloadMonitorPExit)
	again.push() // reports everything that main must forget
	again.knows(true, monitorOf(etf.Pid{}, "erluv", again.self, string(etf.AppendNewRef(nil, again.name, 9, again.next, 1, 1))))
	again.push()
	again.undisturbed()
}
