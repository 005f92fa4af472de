package e2e

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"

	sockets "erluv/control"
	"erluv/wire/client"
	"erluv/wire/dist"
	"erluv/wire/etf"
)

// Each act of an operator has one line in the log, with the user and the process. A look has none, and no line
// has arguments or data.
//
//erluv:users
//erluv:check
func TestActsAreLogged(t *testing.T) {
	e, s, socket := operated(t)
	s.eval(t, `[e2e:start(E, ["cat"], #{name => N, link => false, keep => true, restart => transient, backoff => {1, 1}}) || N <- [signalled, group, stopped, restarted, written, printed]], ok`)
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	// A process of the test that speaks the protocol at the socket, as erluv web does.
	c, err := client.Dial(limited(t, startTime), conn, dist.Local{Name: "audit@control", Creation: 9, Cookie: sockets.Cookie, Flags: dist.Default}, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	calls := func(to string, request etf.Term) {
		t.Helper()
		if answer, err := c.Call(limited(t, evalTime), etf.Atom(to), request); err != nil {
			t.Errorf("%v: %v, %v", request, answer, err)
		}
	}
	runs := func(args ...string) func() { return func() { t.Helper(); done(t, socket, args...) } }
	execs := func(args ...string) func() {
		return func() {
			t.Helper()
			if _, stderr, status := executes(t, socket, "", args...); status != 0 {
				t.Errorf("%q: %d, %s", args, status, stderr)
			}
		}
	}
	for _, a := range []struct {
		act string // "": there is no line
		do  func()
	}{
		{"", runs("ps", "-a")},
		{"", runs("info")},
		{"", runs("info", "stopped")},
		{"", runs("logs", "stopped")},
		{"", runs("top", "--once")},
		{"", runs("status")},
		{"exec echo", execs("--", "echo", "secret")},
		{"exec cat", execs("-t", "--env", "A=secret", "--", "cat", "/dev/null")},
		{"signal sigcont", runs("signal", "signalled", "CONT")},
		{"signal group sigcont", runs("signal", "--all", "group", "CONT")},
		{"stop", runs("stop", "stopped")},
		{"restart", func() { calls("restarted", etf.Atom("restart")) }},
		{"write", func() { calls("written", etf.Tuple{etf.Atom("write"), etf.Binary("secret")}) }},
		{"spawn true", func() {
			calls("erluv", etf.Tuple{etf.Atom("spawn"), etf.List{etf.Binary("true"), etf.Binary("secret")}, etf.Map{}})
		}},
		{"run true", func() {
			calls("erluv", etf.Tuple{etf.Atom("run"), etf.List{etf.Binary("true"), etf.Binary("secret")}, etf.Map{}})
		}},
		{"io put_chars", func() {
			request := etf.Tuple{etf.Atom("put_chars"), etf.Atom("unicode"), etf.Binary("secret")}
			if err := c.Send(limited(t, startTime), etf.Atom("printed"), etf.Tuple{etf.Atom("io_request"), c.Self(), etf.Atom("ref"), request}); err != nil {
				t.Error(err)
			}
		}},
		{"status set standby", runs("status", "set", "standby")},
		{"status set ready", runs("status", "set", "ready")},
		{"drain", func() { operates(t, socket, "drain", "--deadline", "1ms") }},
	} {
		before := len(e.stderr.String())
		a.do()
		lines := func() (list []string) {
			for line := range strings.Lines(e.stderr.String()[before:]) {
				if strings.Contains(line, `msg="an operator acts"`) {
					list = append(list, line)
				}
			}
			return list
		}
		if a.act == "" {
			if got := lines(); len(got) != 0 { // a late one is one too many for the next act
				t.Errorf("a look is logged: %q", got)
			}
			continue
		}
		want := regexp.MustCompile(fmt.Sprintf(`act="?%s[ "].*by="uid (%d|%d), pid [0-9]+, user [a-z0-9-]+"`, a.act, e.uid(), os.Getuid()))
		if !until(startTime, func() bool { return len(lines()) > 0 }) || len(lines()) != 1 || !want.MatchString(lines()[0]) {
			t.Errorf("%s: %q", a.act, lines())
		}
	}
	if log := e.stderr.String(); strings.Contains(log, "secret") {
		t.Errorf("the log has data:\n%s", log)
	}
}
