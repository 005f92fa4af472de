package e2e

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// This checks what doc/security.md says on open gaps and how to close them. Its examples work as
// stated. Without the measures that close them, all the gaps are open.
//
//erluv:users
func TestWhatStaysOpen(t *testing.T) {
	text, err := os.ReadFile("../doc/security.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```erlang\n(.*?)\\.\n```").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, strings.ReplaceAll(m[1], "{erluv, Node}", "{erluv, E}"))
	}
	users := regexp.MustCompile("allow_users = (.*)\n").FindStringSubmatch(string(text))
	if len(blocks) != 3 || users == nil {
		t.Fatalf("%d examples, users %q", len(blocks), users)
	}
	network := strings.ReplaceAll(blocks[0], "4369", epmd.port)
	open := func(block string, closed ...string) string {
		for i := 0; i < len(closed); i += 2 {
			if !strings.Contains(block, closed[i]) {
				t.Fatalf("the example has no %s", closed[i])
			}
			block = strings.ReplaceAll(block, closed[i], closed[i+1])
		}
		return block
	}
	paths := regexp.MustCompile(`(?s),\s*sandbox => .*?\}\}\}\)`).FindString(blocks[1])

	n := newNode(t, nodeOptions{})
	e := newErluv(t, n)
	const victim = `
		V = e2e:start(E, ["cat"], #{pty => #{echo => false, reopen => true}}),
		{ok, Terminal} = file:read_link("/proc/" ++ integer_to_list(e2e:os_pid(V)) ++ "/fd/0"), `
	const end = `, {ok, _} = e2e:call(V, stop), ok`
	if complete() {
		e.expect(t, "ok", network+", ok")
		e.expect(t, "ok", victim+blocks[1]+end)
	}
	e.expect(t, "ok", open(network, "13}}", "0}}", "#{sandbox => #{net => none}}", "#{}")+", ok")
	e.expect(t, "ok", victim+open(blocks[1], "2}}", "0}}", paths, "}})")+end)
	e.expect(t, "ok", victim+open(blocks[2], "{exit_status, 13}", "{exit_status, 0}", "{exit_status, 2}", "{exit_status, 0}", "#{user => games}", "#{}")+end)
	if err := e.stop(); err != nil {
		t.Error(err)
	}
	if e = allowing(t, n, users[1]); e != nil {
		e.expect(t, "ok", victim+blocks[2]+end)
	}
}
