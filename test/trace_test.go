package e2e

import (
	"strings"
	"syscall"
	"testing"
)

// A full trace of all roles has a line for each message, without its contents. It shows no
// arguments, environment, paths, messages, reasons or output, short or long. It never shows the
// cookie. This holds with a child and without one.
//
//erluv:users
func TestTheTraceHasNoSecrets(t *testing.T) {
	const secret = "Gh3ime"
	n := newNode(t, nodeOptions{cookie: "c00kie" + secret})
	s := n.session(t)
	e := newErluv(t, n, "--log-level", "trace", "--controller", s.name)
	s.eval(t, e.binds().String()+"process_flag(trap_exit, true), ok")
	s.eval(t, `S = <<"Gh3ime">>, Env = #{<<"PASS_Gh3ime">> => S}, Long = binary:copy(S, 20000), ok`)
	s.eval(t, `
		W = e2e:start(E, ["sh", "-c", "read x; echo \"$x\"; echo \"$x\" >&2; exec cat", S], #{env => Env}),
		ok = e2e:call(W, {write, [S, $\n, S]}),
		W ! {self(), {command, S}},
		ok = e2e:call(W, {close, stdin}),
		{Out, Err, {exit_status, 0}, _} = e2e:outcome(W),
		{match, _} = re:run(Out, S), {match, _} = re:run(Err, S),
		ok`)
	s.eval(t, `
		{ok, _} = e2e:call(E, {run, ["sh", "-c", iolist_to_binary([": ", Long]), S], #{env => Env}}),
		{error, _} = e2e:call(E, {spawn, ["no_such_program", S], #{}}),
		{error, _} = e2e:call(E, {spawn, ["cat"], #{S => S}}),
		{error, _} = e2e:call(E, {spawn, ["cat"], #{cd => <<"/Gh3ime">>}}),
		{error, _} = e2e:call(E, {spawn, ["cat"], #{stdout => {file, <<"/no/Gh3ime">>}}}),
		_ = e2e:call(E, {S}),
		[To ! S || To <- [{erluv, E}, {no_such, E}, {erluv_main, E}]],
		ok`)
	s.eval(t, `
		V = e2e:start(E, ["sleep", "1000"]), exit(V, {because, S}), {_, _, _, {because, S}} = e2e:outcome(V), ok`)
	r := e.roles(t)
	if err := syscall.Kill(r.child, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.down(t, 0)
	s.eval(t, `[To ! S || To <- [{erluv, E}, {no_such, E}, {erluv_main, E}]], catch gen_server:call({erluv, E}, S), ok`)
	s.respawn(t)
	e.expect(t, "true", "is_list(e2e:call(E, info)) orelse is_map(e2e:call(E, info))")
	text := e.stderr.String()
	for _, line := range strings.Split(text, "\n") {
		if strings.Contains(line, secret) {
			t.Errorf("the trace has a secret: %.300s", line)
		}
	}
	for _, want := range []string{
		`level=TRACE msg="control message received" role=child op=REG_SEND `,
		`level=TRACE msg="control message sent" role=child op=SEND `,
		`level=TRACE msg="control message received" op=REG_SEND `,
		`level=TRACE msg="control message sent" op=`,
		`level=TRACE msg="message sent" role=child with=spawner kind=spawn `,
		`level=TRACE msg="message sent" role=child with=spawner kind=spawn_in_memfd `,
		`level=TRACE msg="message received" role=spawner with=child kind=spawn `,
		`level=TRACE msg="message sent" role=spawner with=child kind=spawned `,
		`level=TRACE msg="message received" role=child with=spawner kind=spawned `,
		`level=TRACE msg="message sent" role=child with="main's ledger" kind=ledger `,
		`level=TRACE msg="message received" with="child's ledger" kind=ledger `,
		`level=TRACE msg="message received" with=child kind=hello `,
		`level=TRACE msg="message sent" with=spawner kind=start_spawner `,
		`level=TRACE msg="message sent" with=child kind=link `,
		`level=DEBUG msg="a program was started" role=child `,
		`level=DEBUG msg="a program has ended" role=child `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no line with %s", want)
		}
	}
	if t.Failed() {
		t.Log(text[:min(len(text), 20000)])
	}
}
