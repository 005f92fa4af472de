package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"erluv/test/lan"
)

// underWay are the commands that run until their erluv ends: by way of the control socket, of --at and of
// --node. All have a terminal.
type underWay struct {
	sessions, logs, tops map[string]*terminal
}

// begins starts each command by each way, on a machine if it is not nil, and waits until it shows something.
// The erluv has a program w with a log. With --node there is no exec.
func begins(t *testing.T, on *lan.Machine, by map[string][]string) underWay {
	t.Helper()
	u := underWay{map[string]*terminal{}, map[string]*terminal{}, map[string]*terminal{}}
	for name, way := range by {
		begin := func(shows string, args ...string) *terminal {
			t.Helper()
			cmd := commandOn(on, executable, slices.Concat(args[:1], way, args[1:])...)
			x := onTerminal(t, 40, 150, cmd.Path, cmd.Args[1:]...)
			x.shows(t, shows)
			return x
		}
		if name != "node" {
			u.sessions[name] = begin("here\r\n", "exec", "--", "sh", "-c", "echo here; exec sleep 1000")
			u.sessions[name].isRaw(t, true)
		}
		u.logs[name] = begin("line\r\n", "logs", "-f", "w")
		u.tops[name] = begin(" running", "top")
	}
	return u
}

// end waits for the commands, which must end with these statuses and leave their terminals as they were. The
// sessions and logs must show a reason, unless it is empty. top must show its own, and end by a key.
func (u underWay) end(t *testing.T, session, log int, reason string, top map[string]string) {
	t.Helper()
	for status, list := range map[int]map[string]*terminal{session: u.sessions, log: u.logs} {
		for name, x := range list {
			x.ends(t, status)
			said := strings.Contains(x.out.String(), "erluv: ")
			if reason != "" {
				said = until(startTime, func() bool { return strings.Contains(x.out.String(), reason) })
			}
			if said != (reason != "") {
				t.Errorf("by %s, with status %d: %q", name, status, x.out.String())
			}
		}
	}
	for name, x := range u.tops {
		l := &live{x, t}
		l.showing(name+", "+top[name], func(picture string) bool { return strings.Contains(picture, top[name]) })
		l.types(t, "q")
		l.leaves()
	}
}

// When main, the spawner or the node is killed, each command says so or goes on, and leaves its terminal as it
// was.
//
//erluv:users
func TestCommandsSeeTheEnd(t *testing.T) {
	same := func(text string) map[string]string {
		return map[string]string{"control": text, "at": text, "node": text}
	}
	for _, role := range []string{"main", "spawner", "node"} {
		t.Run(role, func(t *testing.T) {
			n := newNode(t, nodeOptions{})
			socket := n.home + "/c.sock"
			n.env = append(n.env, "ERLUV_CONTROL="+socket)
			name := fmt.Sprintf("e%d", serial.Add(1))
			e, err := n.run(nil, "run", "--name", name, "--host", "127.0.0.1", "--listen", "local", "--node", n.name, "--reconnect", "always", n.cookieFile())
			if err != nil {
				t.Fatal(err)
			}
			e.erluv = name + "@127.0.0.1"
			ended := false
			t.Cleanup(func() {
				if !ended {
					if err := e.stop(); err != nil {
						t.Error(err)
					}
				}
				e.report(t)
			})
			e.eval(t, `e2e:wait_hidden(E), {ok, _} = e2e:call(E, {spawn, "echo line; exec sleep 1000", #{keep => true, owner => none, link => false, name => w}}), ok`)
			far := []string{"--config", "none", n.cookieFile()}
			ways := map[string][]string{"control": {"--control", socket}, "at": append(far, "--at", e.erluv), "node": append(far, "--node", n.name)}
			if role == "node" {
				ways = map[string][]string{"node": ways["node"]}
			}
			u := begins(t, nil, ways)
			r := e.roles(t)
			switch role {
			case "main":
				kill(t, r.main, syscall.SIGKILL)
				u.end(t, 255, 1, "erluv: ", same("! "))
				<-e.ended
				ended = true
			case "spawner": // it takes the programs with it, and there is another one
				kill(t, r.spawner, syscall.SIGKILL)
				u.end(t, 128+9, 0, "", same("programs 0 of"))
			case "node":
				n.killed = true
				kill(t, n.cmd.Process.Pid, syscall.SIGKILL)
				u.end(t, 255, 1, "erluv: "+e.erluv+": the node has ended the connection", same("! "))
				e.wrote(t, "to=connecting")
			}
		})
	}
}

// When the network between a command and its erluv goes, the command says so after a while. When it is back,
// top goes on.
func TestCommandsSeeNoNetwork(t *testing.T) {
	f := newFleet(t, 1, quick)
	c := f.control[0]
	h := f.host(t, f.control, "--listen", "0.0.0.0")
	epmdOn(t, h.on)
	h.erluv.wrote(t, "registered with EPMD")
	h.at[c].eval(t, `{ok, _} = e2e:call(E, {spawn, "echo line; exec sleep 1000", #{keep => true, owner => none, link => false, name => w}}), ok`)
	operator := f.machine(t)
	u := begins(t, operator, map[string][]string{"at": {"--config", "none", c.cookieFile(), "--at", h.erluv.erluv}})
	f.cut(t, operator, h.on)
	top := u.tops["at"]
	(&live{top, t}).showing("that the network has gone", has("! ", "not answered within 10s"))
	reasons := map[string]string{"sessions": "the connection to erluv is lost", "logs": "erluv has not answered within 30s"}
	for name, x := range map[string]*terminal{"sessions": u.sessions["at"], "logs": u.logs["at"]} {
		x.ends(t, map[string]int{"sessions": 255, "logs": 1}[name])
		x.shows(t, reasons[name])
	}
	f.mend(t, operator, h.on)
	(&live{top, t}).showing("the programs again", func(p string) bool { return has("1 running")(p) && !strings.Contains(p, "! ") })
	top.types(t, "q")
	(&live{top, t}).leaves()
}
