package childproc

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// TestNoConnection has a child that stays. It must report the end of its last connection too, and
// serve the next one with other pids. It must stop when main asks it to, connected or not.
func TestNoConnection(t *testing.T) {
	a := startNodes(t, func(s *ipc.Start) { s.Stays = true }, testLink)[0]
	first := a.spawned("cat", unlinked)
	must(t, a.conn.Close())
	if lost := hears[ipc.Lost](a); lost.ID != testLink.ID {
		t.Errorf("main hears %+v", lost)
	}
	b := a.give(testLink)
	b.begins()
	w := b.spawned("cat", unlinked)
	if w == first {
		t.Errorf("%v was given twice", w)
	}
	b.toPid(w, etf.Tuple{b.self, etf.Tuple{etf.Atom("command"), etf.Binary("here")}})
	b.expect(etf.Tuple{w, etf.Tuple{etf.Atom("stdout"), etf.Binary("here")}})
	must(t, b.conn.Close())
	hears[ipc.Lost](b)
	must(t, b.up.Send(ipc.Append(nil, ipc.Stop{Reason: "test"}), patience))
	if stopped := b.mainHears(); stopped.Cause != ipc.CauseAsked {
		t.Errorf("main hears %+v", stopped)
	}
	err := <-a.done
	a.done <- err
	if held := a.m.held.bytes; err != nil || held != 0 {
		t.Errorf("%v; %d bytes of the budget are held", err, held)
	}
}

// mainHears returns the child's last message to main.
func (n *node) mainHears() ipc.Stopped { return hears[ipc.Stopped](n) }

// hears returns the next message of a kind from the child to main.
func hears[M ipc.Message](n *node) M {
	n.t.Helper()
	buf := make([]byte, ipc.MaxPacket)
	for {
		k, fds, err := n.up.Recv(buf, patience)
		must(n.t, err)
		ipc.CloseAll(fds)
		msg, err := ipc.Decode(buf[:k])
		must(n.t, err)
		if s, ok := msg.(M); ok {
			return s
		}
	}
}

// TestLinksComeAndGo gives a child further connections, also of the same node again. Each must be
// closed and reported when it ends, and leave nothing behind.
func TestLinksComeAndGo(t *testing.T) {
	a := startChild(t, nil)
	other := testLink
	other.ID, other.Target, other.Respawned = 7, "other@localhost", true
	before := holds(t)
	for range 5 {
		b := a.give(other)
		b.begins()
		w := b.spawned("cat", unlinked)
		// It goes on for a's process, although the connection of its request ends.
		same(t, b.workerCall(w, etf.Tuple{etf.Atom("setopts"), etf.Map{opt("owner", a.self)}}), etf.Atom("ok"))
		a.monitor()
		dies := b.spawned("exec sleep 1000", unlinked)
		a.write(dist.AppendMonitor(nil, a.self, dies, a.someRef(3)))
		a.undisturbed()
		reads := b.spawned("cat", unlinked, opt("owner", a.self), flow(etf.Atom("false")))
		a.monitor()
		b.ask(func(m etf.Term) { b.toPid(reads, m) }, etf.Tuple{etf.Atom("read"), etf.Atom("stdout"), int64(1)})
		b.undisturbed()
		must(t, b.conn.Close())
		if lost := hears[ipc.Lost](a); lost.ID != 7 {
			t.Errorf("main hears %+v", lost)
		}
		if m := a.op(dist.PayloadMonitorPExit); m.From != dies || !gen.IsAtom(m.Reason, gen.Noconnection) {
			t.Errorf("instead of the end of b's: %s", show(m))
		}
		for i := range 3 {
			text := etf.Binary(fmt.Sprint("after ", i))
			a.toPid(w, etf.Tuple{a.self, etf.Tuple{etf.Atom("command"), text}})
			a.expect(etf.Tuple{w, etf.Tuple{etf.Atom("stdout"), text}})
		}
		// Output that b requested is dropped.
		same(t, a.workerCall(reads, etf.Tuple{etf.Atom("write"), etf.Binary("12")}), etf.Atom("ok"))
		same(t, a.workerCall(reads, etf.Tuple{etf.Atom("read"), etf.Atom("stdout"), int64(1)}), gen.OK(etf.Binary("2")))
		for _, w := range []etf.Pid{w, reads} {
			tag := a.ask(func(m etf.Term) { a.toPid(w, m) }, etf.Atom("stop"))
			for answered := false; !answered; { // after the worker's last messages
				raw, _ := a.message(a.self).(etf.Tuple)[0].(etf.Raw)
				answered = bytes.Equal(raw, tag)
			}
		}
	}
	for end := time.Now().Add(patience); holds(t) != before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("epoll instances and mapped journals: %v, before %v", holds(t), before)
		}
	}
}

// TestLinkWithMonitors gives a connection with monitors that have outlived an earlier child, in
// several messages. Other messages may come between these.
func TestLinkWithMonitors(t *testing.T) {
	a := startChild(t, nil)
	other := testLink
	other.ID, other.Target, other.Respawned = 7, "other@localhost", true
	var records []string
	for no := range uint32(2) {
		from := etf.Pid{Node: "other@localhost", ID: 5, Creation: 9}
		records = append(records, monitorOf(etf.Pid{}, gen.NetKernel, from, string(etf.AppendNewRef(nil, from.Node, 9, no, 2, 3))).Record())
	}
	b := a.give(other, records[:1], records[1:])
	b.begins()
	must(t, a.up.Send(ipc.Append(nil, ipc.Stop{Reason: "test"}), patience))
	b.op(dist.RegSend)
	for range 2 {
		if m := b.op(dist.PayloadMonitorPExit); m.To.ID != 5 {
			t.Errorf("b is told %s", show(m))
		}
	}
}

// holds returns how many epoll instances and mapped journals this process has.
func holds(t *testing.T) (n [2]int) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, fd := range list {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.Contains(to, "eventpoll") {
			n[0]++
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	must(t, err)
	n[1] = strings.Count(string(maps), "erluv-journal")
	return n
}
