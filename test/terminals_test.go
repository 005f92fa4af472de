package e2e

import (
	"strings"
	"testing"
)

// A program attacks the terminal of another program of its user, by its name and by the other's
// descriptors. If erluv is root, no attack works, and the other's terminal stays usable. With
// reopen, and for an ordinary user, all attacks work.
//
//erluv:users
func TestTerminalsOfOthers(t *testing.T) {
	e := allowing(t, newNode(t, nodeOptions{}), `["games"]`, "--contain", "group") // with all processes in /proc
	if ordinary {
		e = common(t)
	}
	users := []string{"", "user => games, "}
	if ordinary {
		users = users[:1]
	}
	for _, user := range users {
		for _, victim := range []string{"pty => true", "pty => #{rows => 50}, oom_score_adj => 900", "pty => #{reopen => true}"} {
			open := ordinary || strings.Contains(victim, "reopen")
			s := e.session(t)
			paths := s.eval(t, `
				V = e2e:start(E, "stty -echo; echo ready; read x; echo $x; tty; stty size >/dev/tty; exec cat", #{`+user+victim+`, link => false}),
				ok = e2e:said(V, stdout, <<"ready\r\n">>),
				Fd = "/proc/" ++ integer_to_list(e2e:os_pid(V)) ++ "/fd/",
				{ok, Terminal} = file:read_link(Fd ++ "0"),
				[Terminal, Fd ++ "0", Fd ++ "1"]`)
			for _, opts := range []string{"", "allow => [userns]", "oom_score_adj => 900", "pty => #{opost => false}"} {
				said := e.intrudes(t, `["terminals" | `+paths+`]`, `#{`+strings.TrimSuffix(user+opts, ", ")+`}`)
				if len(said) < 10 {
					t.Fatalf("%s, %s: only %v", victim, opts, said)
				}
				if strings.Contains(opts, "userns") != (len(said) > 15) {
					t.Errorf("in a namespace of its own, with %s: %v", opts, said)
				}
				for attack, outcome := range said {
					if attack == "userns" || open && strings.HasPrefix(attack, "as root, ") {
						continue // that may work
					}
					if works := outcome == "ok"; works != open {
						t.Errorf("%s, %s, %s: %s: %s", user, victim, opts, attack, outcome)
					}
				}
			}
			rows := "24"
			if strings.Contains(victim, "50") {
				rows = "50"
			}
			s.expect(t, "ok", `
				ok = e2e:call(V, {write, "typed\n"}),
				ok = e2e:said(V, stdout, iolist_to_binary(["typed\r\n", Terminal, "\r\n`+rows+` 80\r\n"])),
				{ok, _} = e2e:call(V, stop), ok`)
		}
	}
}

// Usual operations on a program's own terminal work without its name. Programs find the name, and
// open the terminal as /dev/tty. With reopen they can use the name too.
//
//erluv:users
func TestTerminalOfItsOwn(t *testing.T) {
	e := common(t)
	const script = `
		case $(tty) in /dev/pts/*) echo named ;; esac
		[ -r /dev/tty ] && [ -w /dev/tty ] && echo to the terminal >/dev/tty
		read line </dev/tty && echo "$line"
		set -- $(script -qec 'tty; stty size >/dev/tty' /dev/null | tr -d '\r') && [ $1 != $(tty) ] && echo $2 $3
		perl -MPOSIX -e 'print ttyname(0) eq ttyname(2) ? "same\n" : "other\n"'
		perl -e 'for my $name (@ARGV) { print open(my $f, ">", $name) ? "opened\n" : "$!\n" }' /dev/stderr $(tty)`
	const denied, opened = `Permission denied\r\nPermission denied`, `opened\r\nopened`
	for pty, want := range map[string]string{"#{echo => false}": denied, "#{echo => false, reopen => true}": opened, "#{echo => false, reopen => false}": denied} {
		if ordinary {
			want = opened
		}
		e.expect(t, `<<"named\r\nto the terminal\r\ntyped\r\n24 80\r\nsame\r\n`+want+`\r\n">>`, `
			W = e2e:start(E, Script, #{pty => `+pty+`, env => #{"PATH" => "/usr/bin:/bin"}}),
			ok = e2e:call(W, {write, "typed\n"}),
			{Out, none, {exit_status, 0}, normal} = e2e:outcome(W), Out`, bind{"Script": script})
	}
}
