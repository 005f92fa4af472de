package e2e

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"erluv/wire/dist"
	"erluv/wire/etf"
)

// 100,000 senseless messages go to the manager, a worker, and absent names and pids. erluv
// survives, does not grow, and works.
//
//erluv:releases
func TestJunkFromANode(t *testing.T) {
	n := newNode(t, nodeOptions{noise: true})
	e := newErluv(t, n)
	s := e.session(t)
	s.eval(t, `
		W = e2e:start(E, ["cat"], #{owner => none}),
		unlink(W),
		Dead = e2e:start(E, ["true"]),
		_ = e2e:outcome(Dead),
		Flood = fun(From, To) ->
			Targets = {{erluv, E}, W, {no_such, E}, {net_kernel, E}, {erluv_main, E}, Dead, {'', E}},
			lists:foreach(fun(N) ->
				catch element(1 + N rem 7, Targets) ! e2e:junk(N div 7),
				N rem 500 =:= 0 andalso e2e:call(E, info)
			end, lists:seq(From, To))
		end,
		Flush = fun Self() -> receive _ -> Self() after 0 -> ok end end,
		ok`)
	// The first messages bring memory that erluv keeps; that is no growth.
	s.eval(t, `Flood(1, 20000), Flush()`)
	r := e.roles(t)
	before := map[string]int{}
	for role, pid := range r.each() {
		before[role] = resident(t, pid)
	}
	s.eval(t, `Flood(20001, 120000), Flush()`)
	e.grown(t, before)
	s.expect(t, "{{<<\"x\">>,true},ok}", `
		true = e2e:alive(e2e:os_pid(W)),
		ok = e2e:call(W, {close, stdin}),
		V = e2e:start(E, ["cat"]),
		ok = e2e:call(V, {write, "x"}),
		ok = e2e:call(V, {close, stdin}),
		{Out, <<>>, {exit_status, 0}, normal} = e2e:outcome(V),
		{{Out, pong =:= net_adm:ping(E)}, ok}`)
	if r != e.roles(t) {
		t.Errorf("the roles were %v, and now are %v", r, e.roles(t))
	}
}

// grown complains about roles that have grown by more than 16 MiB.
func (e *erluv) grown(t *testing.T, before map[string]int) {
	t.Helper()
	for role, pid := range e.roles(t).each() {
		if now := resident(t, pid); now > before[role]+16<<20 {
			t.Errorf("%s has grown from %d to %d bytes", role, before[role], now)
		}
	}
}

// These frames come from no real node, so a node of ours sends them. They are truncated everywhere,
// random, too large, or nested without end, or have wrong counts and sizes.
//
//erluv:releases
func TestJunkFrames(t *testing.T) {
	p := accept(t)
	p.works(t)
	good := [][]byte{
		p.regSend(t, p.self, "erluv", call(p.self, p.ref(), etf.Atom("info"))),
		p.regSend(t, p.self, "erluv", call(p.self, p.ref(), etf.Tuple{etf.Atom("spawn"), etf.List{etf.Binary("no_such_program")}, etf.Map{}})),
		p.regSend(t, p.self, "no_such_name", etf.Tuple{etf.Atom("a"), int64(1), 1.5, etf.String("abc")}),
		dist.AppendLink(nil, p.self, p.worker),
		dist.AppendMonitor(nil, p.self, p.worker, p.ref()),
		dist.AppendUnlinkID(nil, 1<<63, p.self, p.worker),
		dist.AppendExit2(nil, p.self, etf.Pid{Node: p.name, ID: 99999, Creation: 7}, etf.AppendAtom(nil, "normal")),
	}
	random := rand.New(rand.NewPCG(1, 2)) // always the same
	var frames int
	send := func(body []byte) {
		p.send(t, append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
		frames++
	}
	for _, frame := range good { // cut anywhere, and with bytes added
		for n := 1; n < len(frame)-4; n++ {
			send(frame[4 : 4+n])
		}
		send(append(frame[4:len(frame):len(frame)], 97, 1))
	}
	begin := func() []byte { // a message to erluv, without its term
		b := dist.BeginRegSend(nil, p.self, "erluv")
		return b[4:len(b):len(b)]
	}
	p.sync(t)
	before := map[int]int{}
	pids := p.erluv.processes(t)
	for _, pid := range pids {
		before[pid] = resident(t, pid)
	}
	for frames < 100_000 {
		switch frames % 5 {
		case 0: // random bytes behind a good beginning
			send(append(begin(), noise(random, 1+random.IntN(300))...))
		case 1: // one byte of a good one changed
			frame := append([]byte(nil), good[random.IntN(3)][4:]...)
			frame[random.IntN(len(frame))] = byte(random.Uint32())
			send(frame)
		case 2: // counts without elements
			tag := []byte{104, 105, 106, 107, 108, 109, 110, 111, 116, 77, 80, 90, 112, 114, 118}[random.IntN(15)]
			send(append(begin(), tag, 0xff, 0xff, 0xff, byte(random.Uint32()), 1))
		case 3: // nested
			send(append(begin(), strings.Repeat([]string{"h\x01", "l\x00\x00\x00\x01", "t\x00\x00\x00\x01a\x01"}[random.IntN(3)], random.IntN(2000))...))
		case 4: // no beginning at all
			send(noise(random, 1+random.IntN(100)))
		}
	}
	big := make([]byte, 1<<20)
	for range 3 { // larger than any buffer: skipped, in step
		p.send(t, binary.BigEndian.AppendUint32(nil, 200<<20))
		for range 200 {
			p.send(t, big)
		}
	}
	p.sync(t)
	for _, pid := range pids {
		if now := resident(t, pid); now > before[pid]+24<<20 {
			t.Errorf("process %d %q has grown from %d to %d bytes", pid, cmdline(pid), before[pid], now)
		}
	}
	p.works(t)
	if now := p.erluv.processes(t); !slices.Equal(now, pids) {
		t.Errorf("the processes were %v, and now are %v", pids, now)
	}
}

func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// processes returns erluv's own processes when there is no node to ask.
func (e *erluv) processes(t *testing.T) []int {
	t.Helper()
	list := []int{e.cmd.Process.Pid}
	for _, p := range children(e.cmd.Process.Pid) {
		list = append(list, p.pid)
	}
	if len(list) != 3 {
		t.Fatalf("erluv consists of %v", list)
	}
	return list
}
