package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"erluv/relay/certtest"
)

// own writes a file that only erluv may read.
func own(t *testing.T, path string, content []byte) string {
	t.Helper()
	err := os.WriteFile(path, content, 0o400)
	if err == nil && credential != nil {
		err = os.Chown(path, int(credential.Uid), int(credential.Gid))
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// flags are the flags of an erluv that speaks TLS with the nodes.
func (p *pki) flags(t *testing.T) []string {
	t.Helper()
	cert, key := filepath.Join(p.dir, "erluv.pem"), filepath.Join(p.dir, "erluv.key")
	if _, err := os.Lstat(cert); err != nil {
		own(t, cert, p.cert)
		own(t, key, p.key)
	}
	return []string{"--tls", "on", "--tls-ca", p.caf, "--tls-cert", cert, "--tls-key", key}
}

// relays returns the processes that speak TLS for an erluv.
func (e *erluv) relays() (list []process) {
	for _, p := range children(e.cmd.Process.Pid) {
		if name(p.pid) == "erluv_relay" {
			list = append(list, p)
		}
	}
	return list
}

// relay returns the only relay.
func (e *erluv) relay(t *testing.T) process {
	t.Helper()
	list := e.relays()
	if len(list) != 1 {
		t.Fatalf("there are %d relays", len(list))
	}
	return list[0]
}

// renewing has, for each version of TLS, the options of a node that renews its keys all the time.
var renewing = map[string]string{
	"tlsv1.2": "{versions, ['tlsv1.2']}, {renegotiate_at, 300}",
	"tlsv1.3": "{versions, ['tlsv1.3']}, {key_update_at, 5000000}",
}

// The TLS connection outlives a killed child, while both sides send and the keys are renewed. No
// byte is lost or wrong.
//
//erluv:releases
//erluv:users
func TestTLSCrash(t *testing.T) {
	for _, version := range []string{"tlsv1.2", "tlsv1.3"} {
		t.Run(version, func(t *testing.T) {
			p := newPKI(t, certtest.Wish{Names: []string{"127.0.0.1"}})
			e, s := crashingOn(t, p.node(t, false, renewing[version]), append(p.flags(t), "--die-timeout", "60s")...)
			relay := e.relay(t)
			for n := range counts(6, 500) {
				s.eval(t, round(n, "T_ = [e2e:talk(E) || _ <- lists:seq(1, 4)], ok"))
				<-time.After(viable) // as in killChild
				wait(50 * time.Millisecond)
				kill(t, e.roles(t).child, syscall.SIGKILL)
				if how := s.down(t, n); how != "{signal,sigkill}" {
					t.Fatalf("round %d: %s", n, how)
				}
				s.expect(t, "[child_crashed]", round(n, "lists:usort([e2e:talked(T) || T <- T_ ])"))
				s.expect(t, "{error,child_down}", "e2e:call(E, info)")
				s.respawn(t)
			}
			if got := e.relay(t); got != relay {
				t.Errorf("the relay is %v, it was %v", got, relay)
			}
			s.expect(t, "{true,none}", "{lists:member(E, nodes(hidden)), receive {nodedown, E} -> nodedown after 0 -> none end}")
			// The last message of an orderly end arrives.
			if err := e.stop(); err != nil {
				t.Error(err)
			}
			s.expect(t, "{stopping,shutdown}", "receive {erluv, E, {stopping, _} = Last} -> Last after 120000 -> none end")
			if !relay.gone() {
				t.Error("the relay lives on")
			}
		})
	}
}

// erluv serves a node with -proto_dist inet_tls and one without. When the relay is killed or
// stopped, its connection is made anew, and the other one does not notice.
//
//erluv:releases
//erluv:users
func TestTLSMixed(t *testing.T) {
	p := newPKI(t, certtest.Wish{Names: []string{"127.0.0.1"}})
	nodes := []*node{newNode(t, nodeOptions{}), p.node(t, false, "{versions, ['tlsv1.2', 'tlsv1.3']}")}
	e, s := servingNodes(t, nodes, append(p.flags(t), "--serve", "all", "--tls-nodes", nodes[1].name, "--die-timeout", "60s")...)
	for _, s := range s {
		e.isUp(t, s)
	}
	s[0].eval(t, `W = e2e:start(E, ["cat"], #{link => false}), ok`)
	handOver(t, s[0], s[1], "W", "W")
	for n, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		relay, before := e.relay(t), e.roles(t)
		kill(t, relay.pid, sig)
		s[1].expect(t, "{nodedown,up}", round(n, `{receive {nodedown, E} -> nodedown after 120000 -> none end,
			receive {erluv, E, {up, _}} -> monitor_node(E, true), up after 120000 -> none end}`))
		if !until(endTime, relay.gone) {
			t.Errorf("%v: the relay is left behind", sig)
		}
		s[0].expect(t, `<<"x">>`, `ok = e2e:call(W, {write, <<"x">>}), receive {W, {stdout, Said}} -> Said after 120000 -> none end`)
		s[0].expect(t, "none", "receive Other -> Other after 0 -> none end")
		if after := e.roles(t); after != before {
			t.Errorf("%v: the roles are %+v, they were %+v", sig, after, before)
		}
		s[1].expect(t, "ok", `e2e:call(W, {write, <<"y">>})`)
		s[0].expect(t, `<<"y">>`, `receive {W, {stdout, Told}} -> Told after 120000 -> none end`)
	}
	for _, want := range []string{"was killed: killed", "the relay did not answer"} {
		if !strings.Contains(e.stderr.String(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
}

// After a relay with the only connection is killed, the child and the spawner live on. When main
// ends, the relay ends.
//
//erluv:users
func TestTLSRolesEnd(t *testing.T) {
	p := newPKI(t, certtest.Wish{Names: []string{"127.0.0.1"}})
	n := p.node(t, true, "{versions, ['tlsv1.2', 'tlsv1.3']}")
	t.Run("relay", func(t *testing.T) {
		e := newErluv(t, n, append(p.flags(t), "--reconnect", "exit")...)
		e.fails = true
		before := family(e.cmd.Process.Pid)
		kill(t, e.relay(t).pid, syscall.SIGKILL)
		if status := e.exits(t, endTime); status != 1 {
			t.Errorf("it ends with status %d", status)
		}
		if err := endOf(before); err != nil {
			t.Error(err)
		}
	})
	t.Run("main", func(t *testing.T) {
		e := newErluv(t, n, p.flags(t)...)
		e.fails = true
		before := family(e.cmd.Process.Pid)
		kill(t, e.cmd.Process.Pid, syscall.SIGKILL)
		if err := endOf(before); err != nil {
			t.Error(err)
		}
	})
	t.Run("node", func(t *testing.T) {
		e := newErluv(t, n, append(p.flags(t), "--reconnect", "exit")...)
		e.fails = true
		relay := e.relay(t)
		e.eval(t, "erlang:disconnect_node(E)")
		if status := e.exits(t, endTime); status != 1 || !relay.gone() {
			t.Errorf("it ends with status %d", status)
		}
	})
}

// ping and run explain each error in words.
//
//erluv:releases
//erluv:users
func TestTLSWords(t *testing.T) {
	p := newPKI(t, certtest.Wish{Names: []string{"127.0.0.1"}})
	stranger := certtest.NewAuthority("a stranger")
	file := func(name string, content []byte) string { return own(t, filepath.Join(p.dir, name), content) }
	both := p.node(t, true, "{versions, ['tlsv1.2', 'tlsv1.3']}")
	plain := newNode(t, nodeOptions{noise: true})
	flags := p.flags(t)
	with := func(changes ...string) []string { // pairs of a flag and its new value
		out := slices.Clone(flags)
		for i := 0; i < len(changes); i += 2 {
			if at := slices.Index(out, changes[i]); at >= 0 {
				out[at+1] = changes[i+1]
			} else {
				out = append(out, changes[i], changes[i+1])
			}
		}
		return out
	}
	strange, strangeKey := stranger.Issue(certtest.Wish{})
	old, oldKey := p.ca.Issue(certtest.Wish{From: time.Now().Add(-2 * time.Hour), To: time.Now().Add(-time.Hour)})
	open := file("open.key", p.key)
	if err := os.Chmod(open, 0o444); err != nil {
		t.Fatal(err)
	}
	optfile := file("client.conf", fmt.Appendf(nil, `[{client, [{cacertfile, %q}, {certfile, %q}, {keyfile, %q}, {verify, verify_peer}]}].`,
		p.caf, flags[5], flags[7]))
	for name, tt := range map[string]struct {
		node   *node
		flags  []string
		status int
		want   string
	}{
		"all is well":        {node: both, flags: flags, want: "pong"},
		"by an optfile":      {node: both, flags: []string{"--tls", "on", "--tls-optfile", optfile}, want: "pong"},
		"any name":           {node: both, flags: with("--tls-server-name", "*"), want: "pong"},
		"not verified":       {node: both, flags: append([]string{"--tls-verify", "none"}, slices.Concat(flags[:2], flags[4:])...), want: "pong"},
		"no authority":       {node: both, flags: []string{"--tls", "on"}, status: 2, want: "no authority is named"},
		"another authority":  {node: both, flags: with("--tls-ca", file("other.pem", stranger.PEM)), status: 1, want: "is signed by none of the authorities in tls_ca"},
		"another host":       {node: both, flags: with("--tls-server-name", "db1.example.com"), status: 1, want: "is for 127.0.0.1, not for db1.example.com"},
		"no certificate":     {node: both, flags: flags[:4], status: 1, want: "demands a certificate of ours"},
		"a stranger's":       {node: both, flags: with("--tls-cert", file("s.pem", strange), "--tls-key", file("s.key", strangeKey)), status: 1, want: "does not know the authority that has signed our certificate"},
		"expired":            {node: both, flags: with("--tls-cert", file("o.pem", old), "--tls-key", file("o.key", oldKey)), status: 1, want: "refuses our certificate (tls_cert, certfile)"},
		"an open key":        {node: both, flags: with("--tls-key", open), status: 2, want: "holds a private key, and others can read it (mode 0444)"},
		"TLS where it is":    {node: plain, flags: flags, status: 1, want: "without -proto_dist inet_tls"},
		"TLS where it isn't": {node: both, status: 1, want: "it speaks TLS (-proto_dist inet_tls), and this side does not: set tls to on"},
		"not for this node":  {node: plain, flags: with("--tls-nodes", "*@elsewhere"), want: "pong"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"--node", tt.node.name, "--host", "127.0.0.1", tt.node.cookieFile()}, tt.flags...)
			if tt.want == "pong" {
				tt.node.pings(t, args, 0, "")
				return
			}
			tt.node.pings(t, args, tt.status, tt.want)
			e, err := tt.node.run(nil, append([]string{"run"}, args...)...)
			if err != nil {
				t.Fatal(err)
			}
			if status := e.exits(t, endTime); status != tt.status || !strings.Contains(e.stderr.String(), tt.want) {
				t.Errorf("run ends with status %d and says\n%s", status, e.stderr.String())
			}
		})
	}
}

// pings runs the command ping, with a wanted status and text.
func (n *node) pings(t *testing.T, args []string, status int, want string) {
	t.Helper()
	e, err := n.run(nil, append([]string{"ping"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.exits(t, endTime); got != status || !strings.Contains(e.stderr.String(), want) {
		t.Errorf("ping ends with status %d and says\n%s", got, e.stderr.String())
	}
}

// A renewed certificate counts from the next connection on.
func TestTLSRenewed(t *testing.T) {
	p := newPKI(t, certtest.Wish{Names: []string{"127.0.0.1"}})
	n := p.node(t, true, "{versions, ['tlsv1.2', 'tlsv1.3']}")
	flags := p.flags(t)
	e, s := crashingOn(t, n, flags...)
	stranger, key := certtest.NewAuthority("a stranger").Issue(certtest.Wish{})
	replace := func(cert, key []byte) {
		for path, content := range map[string][]byte{flags[5]: cert, flags[7]: key} {
			own(t, path+".new", content)
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace(stranger, key)
	s.expect(t, "true", "erlang:disconnect_node(E)")
	if !until(endTime, func() bool {
		return strings.Contains(e.stderr.String(), "does not know the authority that has signed our certificate")
	}) {
		t.Fatal("the new certificate does not count")
	}
	replace(p.ca.Issue(certtest.Wish{}))
	s.expect(t, "up", "receive {erluv, E, {up, _}} -> up after 120000 -> none end")
}

// Nodes connect by themselves, one with TLS and one without, as tls_nodes says. The connections
// outlive the child. A node that must speak TLS and does not is refused, with the reason.
//
//erluv:releases
//erluv:users
func TestTLSAccept(t *testing.T) {
	// OTP 25 looks up the host of our name as a DNS name, later releases as an address.
	p := newPKI(t, certtest.Wish{Names: []string{"127.0.0.1"}, DNSNames: []string{"127.0.0.1"}})
	p.cert, p.key = p.ca.Issue(certtest.Wish{Names: []string{"127.0.0.1"}, DNSNames: []string{"127.0.0.1"}})
	over, plain := p.node(t, true, "{versions, ['tlsv1.2', 'tlsv1.3']}"), newNode(t, nodeOptions{})
	refused := newNode(t, nodeOptions{noise: true})
	e := listening(t, plain, append(p.flags(t), "--tls-nodes", strings.Join([]string{over.name, refused.name}, ","), "--die-timeout", "60s")...)
	on := func(n *node) session {
		s := n.session(t)
		s.eval(t, e.binds().String()+"process_flag(trap_exit, true), W = e2e:start(E, [\"cat\"]), monitor_node(E, true)")
		return s
	}
	s := []session{on(over), on(plain)}
	if len(e.relays()) != 1 {
		t.Errorf("there are %d relays", len(e.relays()))
	}
	handOver(t, s[0], s[1], "W", "V")
	s[1].expect(t, "ok", `e2e:call(V, {write, <<"x">>})`)
	s[0].expect(t, `<<"x">>`, "receive {W, {stdout, Said}} -> Said after 120000 -> none end")
	refused.expect(t, "pang", "net_adm:ping(E)", e.binds())
	e.wrote(t, "it does not speak TLS, and tls_nodes has its name")
	// The child is killed: both connections stay.
	relay := e.relay(t)
	kill(t, s[0].childOf(t), syscall.SIGKILL)
	for _, s := range s {
		s.expect(t, "child_crashed", "receive {'EXIT', W, Why} -> Why after 120000 -> none end")
	}
	s[0].eval(t, "{erluv_main, E} ! respawn")
	for _, s := range s {
		s.expect(t, "ok", "e2e:until(fun() -> is_map(catch e2e:call(E, info)) end)")
		s.expect(t, "none", "receive {nodedown, E} -> down after 0 -> none end")
	}
	if e.relay(t) != relay {
		t.Error("there is another relay")
	}
	// The relay ends with the node's connection.
	s[0].expect(t, "true", "erlang:disconnect_node(E)")
	if !until(endTime, relay.gone) {
		t.Error("the relay is left behind")
	}
	s[1].expect(t, "true", "is_map(e2e:call(E, info))")
}

// childOf returns the child of the erluv that a session has as E.
func (s session) childOf(t *testing.T) int {
	t.Helper()
	pid, err := strconv.Atoi(s.eval(t, "e2e:call(E, {info, child_os_pid})"))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// Each stranger that begins to speak TLS costs main a process. Their number is bounded, at once and
// in a second. A node can connect beside them. With -v the test prints their cost.
func TestTLSStrangers(t *testing.T) {
	p := newPKI(t, certtest.Wish{Names: []string{"127.0.0.1"}, DNSNames: []string{"127.0.0.1"}})
	p.cert, p.key = p.ca.Issue(certtest.Wish{Names: []string{"127.0.0.1"}, DNSNames: []string{"127.0.0.1"}})
	n, late := p.node(t, true, "{versions, ['tlsv1.2', 'tlsv1.3']}"), p.node(t, true, "{versions, ['tlsv1.2', 'tlsv1.3']}")
	e := listening(t, n, p.flags(t)...)
	n.expect(t, "pong", "net_adm:ping(E)", e.binds())
	address := fmt.Sprintf("127.0.0.1:%d", e.port(t))
	for i := range 200 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// The beginning of a record, or bytes that are not a record.
		_, _ = conn.Write([][]byte{{0x16, 3, 1, 2, 0}, []byte("\x16\x03\x01\x00\x02junk")}[i%2])
	}
	most := 0
	if !until(startTime, func() bool { most = max(most, len(e.relays())); return most > 10 }) {
		t.Fatalf("only %d relays were started", most)
	}
	relays := e.relays()
	memory, known := 0, 0
	for _, r := range relays {
		if bytes := private(r.pid); bytes > 0 {
			memory, known = memory+bytes, known+1
		}
	}
	t.Logf("%d relays of strangers have %d KiB each of their own", len(relays)-1, memory/max(known, 1)>>10)
	late.getsIn(t, e)
	n.expect(t, "true", "is_map(e2e:call(E, info))", e.binds())
	if !until(2*endTime, func() bool { most = max(most, len(e.relays())); return len(e.relays()) == 2 }) {
		t.Errorf("%d relays are left", len(e.relays()))
	}
	if most > 2+48 {
		t.Errorf("there were %d relays", most)
	}
}

// A crowd begins to speak TLS, larger than the number of relays that main starts. In one case most
// are pushed out while they wait for a relay, which must not count as a start. In the other as many
// wait as there is room for. A node from another address can connect beside the crowd, and another
// one after it.
func TestTLSCrowd(t *testing.T) {
	for name, crowds := range map[string]struct {
		atOnce int
		kind   string
	}{"pushed out": {300, "tls"}, "in the way": {120, "tls junk"}} {
		t.Run(name, func(t *testing.T) {
			p := newPKI(t, certtest.Wish{Names: []string{"127.0.0.1"}, DNSNames: []string{"127.0.0.1"}})
			p.cert, p.key = p.ca.Issue(certtest.Wish{Names: []string{"127.0.0.1"}, DNSNames: []string{"127.0.0.1"}})
			n, late := p.node(t, true, "{versions, ['tlsv1.2', 'tlsv1.3']}"), p.node(t, true, "{versions, ['tlsv1.2', 'tlsv1.3']}")
			e := listening(t, n, p.flags(t)...)
			stop := crowd(t, "127.0.0.2", e.port(t), crowds.atOnce, crowds.kind)
			e.wrote(t, "left_out=") // it has come for ten seconds
			begun := time.Now()
			late.getsIn(t, e)
			t.Logf("a node was let in after %v, beside %d strangers", time.Since(begun), stop())
			begun = time.Now()
			n.getsIn(t, e)
			t.Logf("and after them another one in %v", time.Since(begun))
		})
	}
}
