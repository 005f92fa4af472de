package dist_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"erluv/wire/dist"
	"erluv/wire/etf"
)

const (
	atomOK   = etf.Atom("ok")
	atomNone = etf.Atom("none")
)

// equal compares terms. An atom from a node compares like any other.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s:\n got %#v\nwant %#v", what, got, want)
	}
}

func TestNode(t *testing.T) {
	n := startNode(t, "-sname", "dist@localhost")
	for name, test := range map[string]func(*testing.T, *link){
		"hidden":  testHidden,
		"ping":    testPing,
		"link":    testLink,
		"unlink":  testUnlink,
		"exit2":   testExit2,
		"monitor": testMonitor,
		"ours":    testOurMonitor,
		"ourlink": testOurLink,
		"call":    testCall,
		"leader":  testGroupLeader,
		"traced":  testTraced,
		"terms":   testTerms,
	} {
		t.Run(name, func(t *testing.T) { test(t, connect(t, n, name+"@localhost")) })
	}
	t.Run("refusals", func(t *testing.T) { testRefusals(t, n) })
}

func testHidden(t *testing.T, l *link) {
	l.eval(atomNone, "{nodes(), lists:member("+quote(l.name)+", nodes(hidden))}")
	equal(t, "nodes() and hidden", l.value(), etf.Tuple{etf.List(nil), etf.Atom("true")})
}

// The node asks a pinged node is_auth, by a call.
func testPing(t *testing.T, l *link) {
	l.eval(atomNone, "net_adm:ping("+quote(l.name)+")")
	monitor := l.want(dist.MonitorP)
	equal(t, "monitored", monitor.Name, etf.Atom("net_kernel"))
	ask := l.want(dist.RegSend)
	equal(t, "asked", ask.Name, etf.Atom("net_kernel"))
	call, _ := l.term(ask.Payload).(etf.Tuple)
	if len(call) != 3 || call[0] != etf.Atom("$gen_call") {
		t.Fatalf("asked %v", call)
	}
	equal(t, "request", call[2], etf.Tuple{etf.Atom("is_auth"), etf.Atom(l.peer.Name)})
	client := call[1].(etf.Tuple)
	l.send(client[0].(etf.Pid), etf.Tuple{client[1], etf.Atom("yes")})
	demonitor := l.want(dist.DemonitorP)
	equal(t, "demonitored", demonitor.Name, etf.Atom("net_kernel"))
	equal(t, "reference", demonitor.Ref, monitor.Ref)
	equal(t, "ping", l.value(), etf.Atom("pong"))
}

// The node makes a link, and the test's exit ends it.
func testLink(t *testing.T, l *link) {
	worker, probe := l.pid(1), l.probe()
	l.eval(worker, "link(W), ok")
	m := l.want(dist.Link)
	equal(t, "link", m, dist.Message{Op: dist.Link, From: probe, To: worker})
	equal(t, "linked", l.value(), atomOK)
	reason := l.raw(etf.Tuple{etf.Atom("exit_status"), int64(3)})
	l.write(dist.AppendExit(nil, worker, probe, reason))
	equal(t, "exit", l.got(), etf.Tuple{etf.Atom("EXIT"), worker, l.term(reason)})
}

// Between unlink and the test's answer no exit signal of the old link arrives. After it, a signal
// of a new link does.
func testUnlink(t *testing.T, l *link) {
	worker, probe := l.pid(1), l.probe()
	l.eval(worker, "link(W), unlink(W), ok")
	l.want(dist.Link)
	m := l.want(dist.UnlinkID)
	if m.ID == 0 || m.From != probe || m.To != worker {
		t.Fatalf("unlink %+v", m)
	}
	equal(t, "unlinked", l.value(), atomOK)
	l.write(dist.AppendExit(nil, worker, probe, l.raw(etf.Atom("early"))))
	l.write(dist.AppendUnlinkIDAck(nil, m.ID, worker, probe))
	l.eval(worker, "link(W), ok")
	l.want(dist.Link)
	equal(t, "linked", l.value(), atomOK)
	l.write(dist.AppendExit(nil, worker, probe, l.raw(etf.Atom("late"))))
	equal(t, "exit", l.got(), etf.Tuple{etf.Atom("EXIT"), worker, etf.Atom("late")})

	// The process that has linked ends.
	l.eval(worker, "spawn(fun() -> receive go -> link(W), exit({shutdown, W}) end end)")
	victim, _ := l.value().(etf.Pid)
	l.send(victim, etf.Atom("go"))
	l.want(dist.Link)
	exit := l.want(dist.PayloadExit)
	equal(t, "exit", exit, dist.Message{
		Op: dist.PayloadExit, From: victim, To: worker, Reason: l.raw(etf.Tuple{etf.Atom("shutdown"), worker}),
	})
}

func testExit2(t *testing.T, l *link) {
	worker, probe := l.pid(1), l.probe()
	l.eval(worker, "exit(W, {kill, 9}), ok")
	m := l.want(dist.PayloadExit2)
	equal(t, "exit/2", m, dist.Message{
		Op: dist.PayloadExit2, From: probe, To: worker, Reason: l.raw(etf.Tuple{etf.Atom("kill"), int64(9)}),
	})
	equal(t, "sent", l.value(), atomOK)
	l.write(dist.AppendExit2(nil, worker, probe, l.raw(etf.Atom("back"))))
	equal(t, "exit", l.got(), etf.Tuple{etf.Atom("EXIT"), worker, etf.Atom("back")})
}

// The node monitors the test's processes by pid and by name. The reference comes back unchanged.
func testMonitor(t *testing.T, l *link) {
	worker, probe := l.pid(1), l.probe()
	l.eval(worker, "monitor(process, W)")
	m := l.want(dist.MonitorP)
	equal(t, "monitor", m, dist.Message{Op: dist.MonitorP, From: probe, To: worker, Ref: m.Ref})
	ref, _ := l.value().(etf.Raw)
	if !bytes.Equal(ref, m.Ref) {
		t.Fatalf("reference % x, to the caller % x", m.Ref, ref)
	}
	l.write(dist.AppendMonitorExit(nil, worker, probe, m.Ref, l.raw(etf.Atom("gone"))))
	equal(t, "DOWN", l.got(), etf.Tuple{etf.Atom("DOWN"), m.Ref, etf.Atom("process"), worker, etf.Atom("gone")})

	named := etf.Tuple{etf.Atom("erluv"), etf.Atom(l.name)}
	l.eval(named, "monitor(process, W)")
	m = l.want(dist.MonitorP)
	equal(t, "monitor", m, dist.Message{Op: dist.MonitorP, From: probe, HasName: true, Name: "erluv", Ref: m.Ref})
	l.value()
	l.write(dist.AppendMonitorExitName(nil, "erluv", probe, m.Ref, l.raw(etf.Atom("noproc"))))
	equal(t, "DOWN", l.got(), etf.Tuple{etf.Atom("DOWN"), m.Ref, etf.Atom("process"), named, etf.Atom("noproc")})

	l.eval(worker, "demonitor(monitor(process, W))")
	m = l.want(dist.MonitorP)
	demonitor := l.want(dist.DemonitorP)
	equal(t, "demonitor", demonitor, dist.Message{Op: dist.DemonitorP, From: probe, To: worker, Ref: m.Ref})
	l.value()
}

// spawnVictim starts a process on the node that exits with a received reason.
func (l *link) spawnVictim() etf.Pid {
	l.t.Helper()
	l.eval(atomNone, "spawn(fun() -> receive Why -> exit(Why) end end)")
	pid, ok := l.value().(etf.Pid)
	if !ok {
		l.t.Fatal("spawn gives no pid")
	}
	return pid
}

// The test monitors processes of the node, and gets their ends.
func testOurMonitor(t *testing.T, l *link) {
	worker, victim := l.pid(1), l.spawnVictim()
	ref := func(n uint32) etf.Raw {
		return etf.AppendNewRef(nil, etf.Atom(l.name), 0xdeadbeef, n, 2, math.MaxUint32)
	}
	l.write(dist.AppendMonitor(nil, worker, victim, ref(1)), dist.AppendMonitor(nil, worker, victim, ref(2)),
		dist.AppendDemonitor(nil, worker, victim, ref(1)))
	l.send(victim, etf.Tuple{etf.Atom("bye"), int64(math.MinInt64)})
	m := l.want(dist.PayloadMonitorPExit)
	equal(t, "exit", m, dist.Message{
		Op: dist.PayloadMonitorPExit, From: victim, To: worker, Ref: ref(2),
		Reason: l.raw(etf.Tuple{etf.Atom("bye"), int64(math.MinInt64)}),
	})
	l.write(dist.AppendMonitor(nil, worker, victim, ref(3)))
	m = l.want(dist.PayloadMonitorPExit)
	equal(t, "reference", m.Ref, ref(3))
	equal(t, "reason of a dead one", l.term(m.Reason), etf.Term(etf.Atom("noproc")))
}

// The test links to processes of the node, and gets their ends.
func testOurLink(t *testing.T, l *link) {
	worker, victim := l.pid(1), l.spawnVictim()
	l.write(dist.AppendLink(nil, worker, victim))
	l.send(victim, etf.Atom("bye"))
	m := l.want(dist.PayloadExit)
	equal(t, "exit", m, dist.Message{Op: dist.PayloadExit, From: victim, To: worker, Reason: l.raw(etf.Atom("bye"))})

	for _, id := range []uint64{1, 255, 256, math.MaxInt32 + 1, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64} {
		victim = l.spawnVictim()
		l.write(dist.AppendLink(nil, worker, victim), dist.AppendUnlinkID(nil, id, worker, victim))
		m = l.want(dist.UnlinkIDAck)
		equal(t, "answer", m, dist.Message{Op: dist.UnlinkIDAck, From: victim, To: worker, ID: id})
		l.write(dist.AppendMonitor(nil, worker, victim, etf.AppendNewRef(nil, etf.Atom(l.name), 0xdeadbeef, 1)))
		l.send(victim, etf.Atom("bye"))
		l.want(dist.PayloadMonitorPExit) // and no exit signal
	}
	l.write(dist.AppendLink(nil, worker, victim))
	m = l.want(dist.PayloadExit)
	equal(t, "a dead one", l.term(m.Reason), etf.Term(etf.Atom("noproc")))
}

// The answer to a gen_server:call goes to the calling process, with its tag. On OTP 27 and later
// the tag has a reference of 5 words.
func testCall(t *testing.T, l *link) {
	l.eval(atomNone, "list_to_integer(erlang:system_info(otp_release))")
	release, worker := l.value().(int64), l.pid(1)
	for range 3 {
		l.eval(worker, "gen_server:call(W, {write, <<1>>})")
		monitor := l.want(dist.MonitorP)
		m := l.next()
		if m.To != worker || m.Op != dist.SendSender && m.Op != dist.Send {
			t.Fatalf("%+v comes instead of a call", m)
		}
		client, tag := l.caller(m)
		if words := bytes.Contains(tag, []byte{90, 0, 5}); words != (release >= 27) {
			t.Errorf("the reference in the tag of OTP %d has 5 words: %t", release, words)
		}
		l.reply(worker, client, tag, etf.Tuple{atomOK, tag})
		demonitor := l.want(dist.DemonitorP)
		equal(t, "reference", demonitor.Ref, monitor.Ref)
		value, _ := l.value().(etf.Tuple)
		if len(value) != 2 || !bytes.Equal(l.raw(value[1]), tag) {
			t.Fatalf("the tag % x comes back as %v", tag, value)
		}
	}

	// If the caller has stopped waiting, the answer does not appear in its mailbox.
	l.eval(worker, "try gen_server:call(W, late, 1) catch exit:{timeout, _} -> ok end")
	l.want(dist.MonitorP)
	client, tag := l.caller(l.next())
	l.want(dist.DemonitorP)
	equal(t, "call", l.value(), atomOK)
	l.reply(worker, client, tag, atomOK)
	l.eval(worker, "element(2, process_info(self(), message_queue_len))")
	equal(t, "mailbox", l.value(), etf.Term(int64(0)))

	// A client of another kind has no alias.
	l.eval(worker, "R = make_ref(), W ! {'$gen_call', {self(), R}, x}, receive {R, A} -> A end")
	client, tag = l.caller(l.next())
	l.reply(worker, client, tag, atomOK)
	equal(t, "answer", l.value(), atomOK)
}

// caller returns the process that makes a gen_server:call, and the tag.
func (l *link) caller(m dist.Message) (client etf.Pid, tag etf.Raw) {
	l.t.Helper()
	r := etf.NewReader(m.Payload)
	_, _ = r.Tuple()
	_, _ = r.Atom()
	_, _ = r.Tuple()
	client, err := r.Pid()
	if err == nil {
		tag, err = r.Raw()
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return client, tag
}

func (l *link) reply(from, to etf.Pid, tag etf.Raw, answer etf.Term) {
	l.t.Helper()
	l.write(dist.End(append(dist.BeginReply(nil, from, to, tag), l.raw(answer)...), 0))
}

func testGroupLeader(t *testing.T, l *link) {
	worker, probe := l.pid(1), l.probe()
	l.eval(worker, "group_leader(self(), W), ok")
	m := l.want(dist.GroupLeader)
	equal(t, "leader", m, dist.Message{Op: dist.GroupLeader, From: probe, To: worker})
	equal(t, "set", l.value(), atomOK)
}

// With sequential tracing, messages come in their forms with a token.
func testTraced(t *testing.T, l *link) {
	worker, probe := l.pid(1), l.probe()
	l.eval(worker, `V = spawn(fun() -> receive go -> link(W) end end),
		seq_trace:set_token(label, 17), seq_trace:set_token(send, true),
		W ! hello, {w, node(W)} ! named, exit(W, two), V ! go, seq_trace:set_token([]), V`)
	equal(t, "SEND", l.sent(worker), etf.Term(etf.Atom("hello")))
	equal(t, "form", l.form, int64(23))
	m := l.want(dist.RegSend)
	equal(t, "form", l.form, int64(16))
	equal(t, "name", m.Name, etf.Atom("w"))
	equal(t, "REG_SEND", l.term(m.Payload), etf.Term(etf.Atom("named")))
	m = l.want(dist.PayloadExit2)
	equal(t, "EXIT2", m, dist.Message{Op: dist.PayloadExit2, From: probe, To: worker, Reason: l.raw(etf.Atom("two"))})
	for range 3 { // the probe's value and the end of the other process, in any order
		if m = l.next(); m.Op == dist.PayloadExit {
			equal(t, "form", l.form, int64(25))
			equal(t, "EXIT", l.term(m.Reason), etf.Term(etf.Atom("normal")))
		}
	}
}

// A message of several megabytes arrives whole in both directions.
func testTerms(t *testing.T, l *link) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
	l.eval(etf.Binary(data), "{byte_size(W), erlang:md5(W), W}")
	value, _ := l.value().(etf.Tuple)
	if len(value) != 3 || value[0] != int64(len(data)) || !bytes.Equal(value[2].(etf.Binary), data) {
		t.Fatal("2 MiB come back changed")
	}
}

// testRefusals comes last, because net_kernel:allow/1 cannot be undone.
func testRefusals(t *testing.T, n node) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	first := connect(t, n, "first@localhost")

	var refused *dist.Refused
	_, err := dist.Connect(ctx, n.dial(t), theirs("first@localhost"), n.name)
	if !errors.As(err, &refused) || refused.Status != dist.StatusAlive {
		t.Errorf("the same name again: %v", err)
	}
	first.eval(atomNone, "still") // the first connection is not replaced
	equal(t, "the first connection", first.value(), etf.Term(etf.Atom("still")))

	wrong := theirs("second@localhost")
	wrong.Cookie = "another"
	if _, err = dist.Connect(ctx, n.dial(t), wrong, n.name); !errors.Is(err, dist.ErrCookie) {
		t.Errorf("another cookie: %v", err)
	}
	_, err = dist.Connect(ctx, n.dial(t), theirs("second@localhost"), "other@localhost")
	if err == nil || !strings.Contains(err.Error(), n.name) {
		t.Errorf("another node: %v", err)
	}
	few := theirs("second@localhost")
	few.Flags &^= dist.FlagExtendedReferences | dist.FlagMandatory25Digest
	_, err = dist.Connect(ctx, n.dial(t), few, n.name)
	if !errors.As(err, &refused) || refused.Status != dist.StatusNotAllowed {
		t.Errorf("too few flags: %v", err)
	}

	_, err = dist.Connect(ctx, n.dial(t), theirs("no node's name@localhost"), n.name)
	if !errors.As(err, &refused) || refused.Status != dist.StatusNotOK {
		t.Errorf("a name that no node can have: %v", err)
	}

	first.eval(atomNone, "net_kernel:allow(['friend@localhost'])")
	equal(t, "allow/1", first.value(), etf.Term(atomOK))
	_, err = dist.Connect(ctx, n.dial(t), theirs("second@localhost"), n.name)
	if !errors.As(err, &refused) || refused.Status != dist.StatusNotAllowed {
		t.Errorf("not allowed: %v", err)
	}
	connect(t, n, "friend@localhost")
}

// A node with a long name ticks four times a second. It keeps a peer that answers, and drops one
// that does not.
func TestNodeTicks(t *testing.T) {
	n := startNode(t, "-name", "dist@127.0.0.1", "-kernel", "net_ticktime", "1")
	l := connect(t, n, "ticker@127.0.0.1")
	for ticks := 0; ticks < 12; { // three times net_ticktime
		if frame := l.frame(); frame == nil {
			t.Fatalf("dropped after %d ticks, all answered", ticks)
		} else if len(frame) > 0 {
			continue
		}
		ticks++
		if l.tick.ReadTick(time.Now()) {
			l.write(dist.AppendTick(nil))
		}
	}
	l.eval(atomNone, "nodes(hidden)")
	equal(t, "hidden", l.value(), etf.Term(etf.List{etf.Atom(l.name)}))

	ticks := 0
	for ; l.frame() != nil; ticks++ { // no answers
		if ticks > 20 {
			t.Fatal("a silent peer is not dropped")
		}
	}
}
