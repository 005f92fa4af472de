package e2e

import (
	"strconv"
	"strings"
	"testing"
)

// largest is how much memory main and the child may have used at their peak, in bytes. It holds for
// all input from a node.
const largest = 256 << 20

// peak is the most memory that a process has had, in bytes.
func peak(t *testing.T, pid int) int {
	t.Helper()
	kib, err := strconv.Atoi(strings.TrimSuffix(status(pid, pid)["VmHWM"], " kB"))
	if err != nil {
		t.Fatalf("VmHWM of %d: %v", pid, err)
	}
	return kib << 10
}

// bounded complains if main and the child have used too much memory, or are not the same processes
// as before.
func (e *erluv) bounded(t *testing.T, before roles) {
	t.Helper()
	bounded(t, before, e.roles(t))
}

func bounded(t *testing.T, before, now roles) {
	t.Helper()
	if now != before {
		t.Fatalf("the roles are %v, they were %v", now, before)
	}
	for role, pid := range map[string]int{"main": before.main, "the child": before.child} {
		p := peak(t, pid)
		t.Logf("%s has used %d MiB", role, p>>20)
		if p > largest {
			t.Errorf("%s has used %d MiB", role, p>>20)
		}
	}
}

// Each observer of an end gets one message, however many there are and however long the reason is.
// Another worker is served meanwhile.
func TestFanOuts(t *testing.T) {
	for name, source := range map[string]string{
		"2,000 links, a reason of 60 kB": `
			R = binary:copy(<<"r">>, 60000),
			P = e2e_fan:linked(W, 2000), exit(W, R), 2000 = e2e_fan:told(P, R)`,
		"200 links, a reason of 1 MB": `
			R = {because, binary:copy(<<"r">>, 1000000)},
			P = e2e_fan:linked(W, 200), exit(W, R), 200 = e2e_fan:told(P, R)`,
		"stops with tags of 20 MB": `
			Tag = binary:copy(<<"t">>, 20000000), S = self(),
			[W ! {'$gen_call', {S, [N | Tag]}, stop} || N <- lists:seq(1, 20)],
			Large = {error, {too_large, byte_size(term_to_binary([1 | Tag])) - 1, 4096}},
			[receive {[N | Tag], A} -> Large = A after 120000 -> error(N) end || N <- lists:seq(1, 20)]`,
		"a thousand stops": `
			S = self(),
			Deaf = e2e:start(E, ["sh", "-c", "trap '' TERM; echo; exec sleep 1000"], #{kill_timeout => 2000}),
			receive {Deaf, {stdout, _}} -> ok end,
			[Deaf ! {'$gen_call', {S, N}, stop} || N <- lists:seq(1, 1000)],
			[receive {N, {ok, {signal, sigkill}}} -> ok after 120000 -> error(N) end || N <- lists:seq(1, 1000)]`,
		"reasons of 20 MB": `
			R = binary:copy(<<"r">>, 20000000),
			Ws = [e2e:start(E, ["sleep", "1000"], #{owner => none}) || _ <- lists:seq(1, 20)],
			[exit(X, R) || X <- Ws],
			[receive {'EXIT', X, {too_large, Size, 4194304}} when Size > 20000000 -> ok after 120000 -> error(X) end || X <- Ws]`,
	} {
		t.Run(name, func(t *testing.T) {
			e := newErluv(t, newNode(t, nodeOptions{}))
			r := e.roles(t)
			s := e.session(t)
			s.eval(t, `
				process_flag(trap_exit, true),
				W = e2e:start(E, ["sleep", "1000"], #{owner => none}), unlink(W),
				Echo = e2e_fan:echo(E), ok`)
			s.expect(t, "ok", source+`, ok`)
			t.Log(s.eval(t, `e2e_fan:echoed(Echo)`))
			e.bounded(t, r)
		})
	}
}

// patient evaluates source until the result is not wait. That takes minutes on a busy machine.
func (s session) patient(t *testing.T, want, source string) {
	t.Helper()
	const attempts = 10 // of a minute
	for range attempts {
		if got := s.eval(t, source); got != "wait" {
			if got != want {
				t.Errorf("%s is %s, want %s", source, got, want)
			}
			return
		}
	}
	t.Fatalf("%s: not within %d minutes", source, attempts)
}

// A million monitors of one worker get its end. Another worker is served meanwhile.
func TestFanOutOfAWorker(t *testing.T) {
	e := newErluv(t, newNode(t, nodeOptions{}))
	r := e.roles(t)
	s := e.session(t)
	s.eval(t, `
		process_flag(trap_exit, true),
		W = e2e:start(E, ["sleep", "1000"], #{owner => none}), unlink(W),
		P = e2e_fan:monitors(W, 1000000), ok`)
	s.patient(t, "ok", `e2e_fan:set_up(P, 120000)`)
	s.eval(t, `Echo = e2e_fan:echo(E), exit(W, kill)`)
	s.patient(t, "#{killed => 1000000}", `e2e_fan:downs(P, 120000)`)
	t.Log(s.eval(t, `e2e_fan:echoed(Echo)`))
	e.bounded(t, r)
}

// 900,000 monitors of the node get its end and the reason.
func TestFanOutOfTheNode(t *testing.T) {
	e := newErluv(t, newNode(t, nodeOptions{}))
	s := e.session(t)
	r := e.roles(t)
	s.eval(t, `P = e2e_fan:monitors({erluv, E}, 900000), ok`)
	s.patient(t, "ok", `e2e_fan:set_up(P, 120000)`)
	e.bounded(t, r)
	s.expect(t, "ok", `e2e:call(E, {stop, {shutdown, over}})`)
	s.patient(t, "#{{shutdown,over} => 900000}", `e2e_fan:downs(P, 120000)`)
}
