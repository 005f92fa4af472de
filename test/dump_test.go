package e2e

import (
	"strings"
	"syscall"
	"testing"

	"erluv/relay/certtest"
)

// At SIGQUIT each role logs its state, with any log_level, and goes on.
//
//erluv:users
func TestSIGQUITSaysHowItStands(t *testing.T) {
	n := newNode(t, nodeOptions{})
	e := newErluv(t, n, "--log-level", "error")
	s := e.session(t)
	s.eval(t, `
		Ws = [e2e:start(E, ["sh", "-c", "exec sleep 1000", "Gh3ime"]) || _ <- lists:seq(1, 25)],
		W = hd(Ws),
		ok`)
	r := e.roles(t)
	for role, want := range map[string][]string{
		"main":    {`msg="how main stands" crew=serving `, `msg="how main stands: a link" state=served `},
		"spawner": {`msg="how the spawner stands" role=spawner `, " processes=25 ", `msg="how the spawner stands: a process" role=spawner pid=`},
		"child": {
			`msg="how the child stands" role=child phase=running `, " workers=25 ", `msg="how the child stands: a node" role=child node=` + n.name + " ",
			`msg="how the child stands: a spawner" role=child user=`, " running=25 ",
			`msg="how the child stands: a worker" role=child worker=`, " program=sh state=running ",
			`msg="how the child stands: more workers" role=child count=5`,
		},
	} {
		if err := syscall.Kill(r.each()[role], syscall.SIGQUIT); err != nil {
			t.Fatal(err)
		}
		for _, part := range want {
			if !until(endTime, func() bool { return strings.Contains(e.stderr.String(), part) }) {
				t.Errorf("the %s does not say %s", role, part)
			}
		}
	}
	// A flood of signals causes no flood of lines, and every role survives it.
	for range 1000 {
		for _, pid := range r.each() {
			_ = syscall.Kill(pid, syscall.SIGQUIT)
		}
	}
	s.expect(t, "true", "e2e:alive(e2e:os_pid(W)) andalso is_pid(e2e:start(E, [\"cat\"]))")
	if now := e.roles(t); now != r {
		t.Errorf("the roles were %v, and now are %v", r, now)
	}
	text := e.stderr.String()
	if lines := strings.Count(text, "\n"); lines > 500 {
		t.Errorf("%d lines", lines)
	}
	if strings.Contains(text, "Gh3ime") || strings.Contains(text, "goroutine ") {
		t.Error("it says more than how it stands")
	}
	if t.Failed() {
		t.Log(text[:min(len(text), 10000)])
	}
}

// A relay logs its state too, and goes on relaying.
//
//erluv:users
func TestSIGQUITOfARelay(t *testing.T) {
	p := newPKI(t, certtest.Wish{Names: []string{"127.0.0.1"}})
	e := newErluv(t, p.node(t, false, "{versions, ['tlsv1.3']}"), append(p.flags(t), "--log-level", "error")...)
	s := e.session(t)
	relay := e.relay(t)
	if err := syscall.Kill(relay.pid, syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	const want = `msg="how the relay stands" role=relay what="TLS 1.3 with `
	if !until(endTime, func() bool { return strings.Contains(e.stderr.String(), want) }) {
		t.Errorf("the relay does not say %s", want)
	}
	s.expect(t, "true", `e2e:alive(e2e:os_pid(e2e:start(E, ["cat"])))`)
	if now := e.relay(t); now != relay {
		t.Errorf("the relay was %v, and now is %v", relay, now)
	}
}
