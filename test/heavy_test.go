package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"erluv/wire/dist"
	"erluv/wire/etf"
)

// ask sends a call with an encoded request to the manager or to a worker, and returns the answer.
func (p *peer) ask(t *testing.T, to etf.Pid, request []byte) string {
	t.Helper()
	tag := p.ref()
	b := dist.BeginRegSend(nil, p.caller, "erluv")
	if to != (etf.Pid{}) {
		b = dist.BeginSend(nil, to)
	}
	b = etf.AppendAtom(etf.AppendTupleHeader(b, 3), "$gen_call")
	b = append(etf.AppendPid(etf.AppendTupleHeader(b, 2), p.caller), tag...)
	p.send(t, dist.End(append(b, request...), 0))
	payload := p.next(t)
	if v, err := etf.Decode(payload); err == nil {
		return fmt.Sprint(v.(etf.Tuple)[1])
	}
	return fmt.Sprintf("%.100q", payload) // nested
}

// erluv refuses terms that are small in a frame and large in memory, or nested without end, before
// it builds them.
func TestHeavyTerms(t *testing.T) {
	p := accept(t)
	r := p.roles(t)
	empties := func(n int) []byte { // a list of n times []
		b := append(binary.BigEndian.AppendUint32([]byte{108}, uint32(n)), bytes.Repeat([]byte{106}, n)...)
		return append(b, 106)
	}
	nested := func(n int) []byte { // {{{...[]}}}
		return append(bytes.Repeat([]byte{104, 1}, n/2), 106)
	}
	tuple := func(name etf.Atom, elements ...[]byte) []byte {
		b := etf.AppendAtom(etf.AppendTupleHeader(nil, 1+len(elements)), name)
		return append(b, bytes.Join(elements, nil)...)
	}
	atom := func(a etf.Atom) []byte { return etf.AppendAtom(nil, a) }
	const many, most = 60_000_000, 16_000_000
	manager := etf.Pid{}
	for _, c := range []struct {
		what    string
		to      etf.Pid
		request []byte
		want    string
	}{
		{"16 MB of [] as a command", manager, tuple("spawn", empties(most), []byte{106}), "[error [too_many_elements 2097152]]"},
		{"16 MB of [] as options", manager, tuple("spawn", empties(3), empties(most)), "[error [too_many_elements 2097152]]"},
		{"60 MB that are nested", manager, nested(many), "[error [too_large "},
		{"16 MB that are nested", manager, nested(most), "bad_request"},
		{"60 MB that are nested, in a stop", p.worker, nested(many), "[error [too_large "},
		{"60 MB that are nested, to be written", p.worker, tuple("write", nested(many)), "bad_request"},
	} {
		if got := p.ask(t, c.to, c.request); !strings.Contains(got, c.want) {
			t.Errorf("%s: %.100s", c.what, got)
		}
	}
	for what, request := range map[string][]byte{
		"60 MB of [] to be put":       tuple("put_chars", atom("unicode"), empties(many)),
		"60 MB of [] as I/O requests": tuple("requests", empties(many)),
		"16 MB of [] to be put":       tuple("put_chars", atom("unicode"), empties(most)),
	} {
		b := etf.AppendAtom(etf.AppendTupleHeader(dist.BeginSend(nil, p.worker), 4), "io_request")
		b = append(etf.AppendPid(b, p.caller), p.ref()...)
		p.send(t, dist.End(append(b, request...), 0))
		v, err := etf.Decode(p.next(t))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(v.(etf.Tuple)[2]); got != "[error request]" {
			t.Errorf("%s: %s", what, got)
		}
	}
	p.works(t)
	p.bounded(t, r)
}

// Two million processes wait for a line. Each gets an answer: at once if there is no room for the
// request, otherwise at the end.
func TestManyReaders(t *testing.T) {
	const readers = 2_000_000
	p := accept(t)
	r := p.roles(t)
	p.request(t, etf.Tuple{etf.Atom("info"), etf.Atom("node")})
	passive := etf.Map{{Key: etf.Atom("flow"), Value: etf.Tuple{etf.Atom("active"), etf.Atom("false")}}}
	if got := p.ask(t, p.worker, encoded(t, etf.Tuple{etf.Atom("setopts"), passive})); got != "ok" {
		t.Fatalf("setopts is %s", got)
	}
	getLine := encoded(t, etf.Tuple{etf.Atom("get_line"), etf.Atom("unicode"), etf.Binary("")})
	var b []byte
	for range readers {
		start := len(b)
		b = etf.AppendAtom(etf.AppendTupleHeader(dist.BeginSend(b, p.worker), 4), "io_request")
		b = append(etf.AppendPid(b, p.self), p.ref()...)
		if b = dist.End(append(b, getLine...), start); len(b) > 1<<20 {
			p.send(t, b)
			b = b[:0]
		}
	}
	p.send(t, b)
	p.sync(t)
	refused := p.heard.Load()
	t.Logf("%d were refused", refused)
	if refused == 0 || refused >= readers {
		t.Errorf("%d of %d were refused", refused, readers)
	}
	p.bounded(t, r)
	if got := p.ask(t, p.worker, encoded(t, etf.Tuple{etf.Atom("close"), etf.Atom("stdin")})); got != "ok" {
		t.Fatalf("close is %s", got)
	}
	eventually(t, "all are answered", func() bool { return p.heard.Load() == readers })
	p.works(t)
	p.bounded(t, r)
}

// encoded encodes a term as in a frame.
func encoded(t *testing.T, term etf.Term) []byte {
	t.Helper()
	b, err := etf.AppendTerm(nil, term)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Results and continuations of the node's own functions are bounded too.
func TestHeavyAnswers(t *testing.T) {
	e := newErluv(t, newNode(t, nodeOptions{}))
	r := e.roles(t)
	s := e.session(t)
	s.eval(t, `
		L = lists:duplicate(1000000, []),
		W = e2e:start(E, ["cat"], #{flow => {active, false}}),
		Ask = fun(To, Req) -> Ref = make_ref(), To ! {io_request, self(), Ref, Req}, Ref end,
		Answer = fun(Ref) -> receive {io_reply, Ref, A} -> A after 120000 -> none end end,
		Do = fun(Req) -> Answer(Ask(W, Req)) end, ok`)
	for what, c := range map[string]struct{ source, want string }{
		"60 MB of [] are returned": {`Do({put_chars, unicode, lists, duplicate, [60, L]})`, "{error,duplicate}"},
		"16 MB of [] are returned": {`Do({put_chars, unicode, lists, duplicate, [15, L]})`, "{error,duplicate}"},
		"a binary of 10 MB is asked with, eight times": {
			`B = binary:copy(<<"x">>, 10000000),
			Refs = [Ask(W, {put_chars, unicode, binary, part, [B, 0, 0]}) || _ <- lists:seq(1, 8)],
			lists:usort([Answer(X) || X <- Refs])`, "[ok]",
		},
	} {
		t.Run(what, func(t *testing.T) { s.expect(t, c.want, c.source); e.bounded(t, r) })
	}
	// The continuations have 10 MB each, and six fit into the budget.
	s.expect(t, "[waits,{error,eagain}]", `
		Ws = [e2e:start(E, ["sh", "-c", "echo; exec sleep 1000"], #{flow => {active, false}}) || _ <- lists:seq(1, 8)],
		Waiting = [Ask(X, {get_until, unicode, "", e2e_fan, hoard, [10000000, self()]}) || X <- Ws],
		[receive hoarded -> ok after 120000 -> error(hoard) end || _ <- Ws],
		e2e:until(fun() -> length([1 || {io_reply, _, _} <- element(2, process_info(self(), messages))]) >= 2 end),
		lists:usort([receive {io_reply, X, A} -> A after 0 -> waits end || X <- Waiting])`)
	s.expect(t, "ok", `[exit(X, kill) || X <- Ws], e2e:call(W, {close, stdin})`)
	s.expect(t, `{<<"x">>,<<>>,{exit_status,0},normal}`, `e2e:outcome(e2e:start(E, ["printf", "x"]))`)
	e.bounded(t, r)
}

// erluv refuses a regular expression whose compiled form is too large. Any other matches quickly,
// whichever text a program writes.
func TestHeavyPatterns(t *testing.T) {
	e := newErluv(t, newNode(t, nodeOptions{}))
	r := e.roles(t)
	s := e.session(t)
	s.expect(t, "[{error,bad_option}]", `
		Start = fun(RE, Cmd) -> e2e:call(E, {spawn, ["sh", "-c", Cmd], #{ready => {line, RE}, ready_timeout => 120000}}) end,
		lists:usort([{error, element(1, element(2, {error, _} = Start(RE, "echo")))} || RE <- [
			lists:flatten(lists:duplicate(400, "(x?){1000}")),
			"((((x{0,100}){0,100}){0,100}){0,100})",
			lists:flatten(lists:duplicate(1300, "\\pL")),
			"((((((((((x{1000})))))))))){1000}"]])`)
	s.expect(t, "{ok,true}", `
		Echo = e2e_fan:echo(E),
		{ok, W} = Start("^(x?){50}y$", "head -c 500000 /dev/zero | tr '\\0' x; echo; echo y; sleep 1000"),
		{N, _} = e2e_fan:echoed(Echo),
		{ok, _} = e2e:call(W, stop), {ok, N > 0}`)
	e.bounded(t, r)
}

// The child is killed in the middle of a fan-out. Main sends the rest, and each monitor gets one
// message.
func TestFanOutAndCrash(t *testing.T) {
	const monitors, rounds = 300_000, 5
	e, s := crashing(t, "--die-timeout", "60s")
	for n := range rounds {
		s.eval(t, round(n, fmt.Sprintf(`W_ = e2e:start(E, ["sleep", "1000"], #{owner => none}), unlink(W_ ),
			P_ = e2e_fan:monitors(W_ , %d), ok`, monitors)))
		s.patient(t, "ok", round(n, `e2e_fan:set_up(P_ , 120000)`))
		r := e.roles(t)
		s.expect(t, "ok", round(n, `exit(W_ , kill), e2e:until(fun() ->
			{message_queue_len, N_ } = process_info(P_ , message_queue_len), N_ > 1000 end)`))
		kill(t, r.child, syscall.SIGKILL)
		if how := s.down(t, n); how != "{signal,sigkill}" {
			t.Fatalf("it is down: %s", how)
		}
		told := s.eval(t, round(n, `#{} = Seen_ = e2e_fan:downs(P_ , 120000),
			{lists:sort(maps:keys(Seen_ )), lists:sum(maps:values(Seen_ ))}`))
		s.respawn(t)
		switch told {
		case fmt.Sprintf("{[child_crashed,killed],%d}", monitors):
			p := peak(t, r.main)
			if t.Logf("main has used %d MiB", p>>20); p > largest {
				t.Errorf("main has used %d MiB", p>>20)
			}
			return
		case fmt.Sprintf("{[killed],%d}", monitors): // the child had sent everything
		default:
			t.Fatalf("the monitors were told %s", told)
		}
	}
	t.Errorf("the child has told all before it died, %d times", rounds)
}

// While the node does not read, messages about programs wait: of job control only the last, and
// then the end.
func TestJobControlOfASilentNode(t *testing.T) {
	const toggles = 300
	p := accept(t)
	r := p.roles(t)
	over := filepath.Join(shelf(t, 0o777), "over")
	script := fmt.Sprintf("read x; (i=0; while [ $i -lt %d ]; do kill -STOP $$; sleep 0.001; kill -CONT $$; sleep 0.001; i=$((i+1)); done) & wait; echo >%s; exit 7", toggles, over)
	started, _ := p.request(t, etf.Tuple{etf.Atom("spawn"), etf.Binary(script), etf.Map{
		{Key: etf.Atom("link"), Value: etf.Atom("false")},
	}}).(etf.Tuple)
	w, _ := started[1].(etf.Pid)
	// This answer is not read, so erluv reads no later request.
	p.send(t, p.regSend(t, p.caller, "erluv", call(p.caller, p.ref(), etf.Atom("info"))))
	start, err := etf.AppendTerm(dist.BeginSend(nil, w), etf.Tuple{p.caller, etf.Tuple{etf.Atom("command"), etf.Binary("\n")}})
	if err != nil {
		t.Fatal(err)
	}
	p.send(t, dist.End(start, 0))
	large := etf.Binary(make([]byte, 15_000_000)) // it comes back, and is more than the connection holds
	p.send(t, p.regSend(t, p.caller, "erluv", call(p.self, p.ref(), large)))
	eventually(t, "the program is over", func() bool {
		_, err := os.Stat(over)
		return err == nil
	})
	jobs, last := 0, ""
	for last != "[exit_status 7]" {
		v, err := etf.Decode(p.next(t))
		if err != nil {
			t.Fatal(err)
		}
		tu, _ := v.(etf.Tuple)
		if len(tu) != 2 || tu[0] != etf.Term(w) {
			continue
		}
		switch said := fmt.Sprint(tu[1]); {
		case strings.HasPrefix(said, "[stopped"), said == "continued":
			jobs++
		default:
			last = said
		}
	}
	t.Logf("%d messages of job control", jobs)
	if jobs > toggles {
		t.Errorf("%d messages of job control", jobs)
	}
	p.works(t)
	p.bounded(t, r)
}

// Runs whose joint output exceeds the space wait for each other, and each gets all its output.
func TestManyRuns(t *testing.T) {
	e := newErluv(t, newNode(t, nodeOptions{}))
	r := e.roles(t)
	s := e.session(t)
	s.expect(t, "[{exit_status,0,15000000}]", `
		S = self(),
		[spawn_link(fun() ->
			{ok, #{stdout := Out, exit := {exit_status, N}}} = gen_server:call({erluv, E}, {run, "head -c 15000000 /dev/zero", #{}}, infinity),
			S ! {ran, {exit_status, N, byte_size(Out)}}
		end) || _ <- lists:seq(1, 20)],
		lists:usort([receive {ran, How} -> How after 120000 -> none end || _ <- lists:seq(1, 20)])`)
	e.bounded(t, r)
}
