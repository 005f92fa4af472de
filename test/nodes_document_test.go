package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// The commands of doc/nodes.md make certificates. With its options and settings, a node and erluv
// accept each other in both directions.
func TestNodesDocument(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../doc/nodes.md")
	if err != nil {
		t.Fatal(err)
	}
	_, tlsPart, _ := strings.Cut(string(text), "\n## TLS\n")
	dir, err := os.MkdirTemp(dir, "nodes-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err == nil && credential != nil {
		err = os.Chown(dir, int(credential.Uid), int(credential.Gid))
	}
	if err != nil {
		t.Fatal(err)
	}
	block := func(language string) string {
		_, rest, found := strings.Cut(tlsPart, "\n```"+language+"\n")
		code, _, ends := strings.Cut(rest, "\n```")
		if !found || !ends {
			t.Fatalf("doc/nodes.md has no %s about TLS", language)
		}
		return strings.NewReplacer("db1 app1 app2", "localhost", "db1", "localhost", "app1", "localhost",
			"/etc/shop", dir, "/etc/erluv", dir).Replace(code)
	}
	script := exec.CommandContext(limited(t, evalTime), "sh", "-e", "-c", block("sh"))
	script.Dir, script.SysProcAttr = dir, &syscall.SysProcAttr{Credential: credential}
	if out, err := script.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	own(t, filepath.Join(dir, "inet_tls.conf"), []byte(block("erlang")))
	n := newNode(t, nodeOptions{short: true, args: []string{"-proto_dist", "inet_tls", "-ssl_dist_optfile", filepath.Join(dir, "inet_tls.conf")}})
	var flags []string
	for line := range strings.Lines(block("toml")) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		flags = append(flags, "--"+strings.ReplaceAll(key, "_", "-"), strings.Trim(value, `"`))
	}
	s := n.session(t)
	e := newErluv(t, n, flags...)
	s.expect(t, "pong", e.binds().String()+"net_adm:ping(E)")
	if err := e.stop(); err != nil {
		t.Error(err)
	}
	e = listening(t, n, flags...)
	s.expect(t, "pong", "E2 = '"+e.erluv+"', net_adm:ping(E2)")
	s.expect(t, "tls", "{ok, _} = gen_server:call({erluv, E2}, {run, [\"true\"], #{}}), [#{transport := T}] = gen_server:call({erluv, E2}, {info, connections}), T")
}

// TestNodesSessions types the shell sessions of doc/nodes.md: into two nodes that erluv serves, and,
// after "Let nodes connect", into a third one. It compares the answers, but for pids.
// The first node ends before the last session.
func TestNodesSessions(t *testing.T) {
	text, err := os.ReadFile("../doc/nodes.md")
	if err != nil {
		t.Fatal(err)
	}
	nodes := newNodes(t, make([]nodeOptions, 3))
	e, sessions := servingNodes(t, nodes[:2], "--serve", "all", "--on-disconnect", "keep", "--lost-after", "1h", "--listen", "127.0.0.1")
	sessions = append(sessions, nodes[2].session(t))
	ping := exec.Command(executable, "ping", "--nodes", nodes[0].name+","+nodes[1].name, "--serve", "all", "--name", "pinging",
		"--host", "127.0.0.1", nodes[0].cookieFile())
	ping.Env, ping.SysProcAttr = nodes[0].env, &syscall.SysProcAttr{Credential: credential}
	pong, err := ping.Output()
	_, shown, _ := strings.Cut(string(text), "    $ erluv ping\n")
	shown, _, _ = strings.Cut(strings.ReplaceAll(shown, "    ", ""), "\n\n")
	if want := strings.NewReplacer("shop@app1", nodes[0].name, "shop@app2", nodes[1].name).Replace(shown) + "\n"; err != nil || string(pong) != want {
		t.Errorf("ping: %v, %q, want %q", err, pong, want)
	}
	for _, s := range sessions[:2] {
		e.isUp(t, s)
	}
	real := strings.NewReplacer("shop@app1", "'"+nodes[0].name+"'", "shop@app2", "'"+nodes[1].name+"'", "erluv_db1@db1", "'"+e.erluv+"'",
		"flush()", "receive Shell -> Shell end")
	pids := regexp.MustCompile(`<\d+\.\d+\.\d+>`)
	blocks := regexp.MustCompile("(?ms)^```erlang\n(\\(shop.*?)^```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 5 {
		t.Fatalf("there are %d sessions", len(blocks))
	}
	compared := 0
	for i, block := range blocks {
		if i == len(blocks)-1 {
			nodes[0].killed = true
			if err := nodes[0].cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			sessions[1].eval(t, e.binds().String()+`e2e:until(fun() -> is_map(maps:get(lost, gen_server:call({backup, E}, info), false)) end)`)
		}
		steps := regexp.MustCompile(`(?m)^\(shop@app(\d)\)\d+> (.*)\.\n((?:[^(].*\n)*)`).FindAllStringSubmatch(block[1], -1)
		for _, step := range steps {
			want := strings.TrimSuffix(strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(step[3], "Shell got "), "ok\n")), "\n")
			if want == "" && step[3] != "" {
				want = "ok"
			}
			n := int(step[1][0] - '1')
			got := sessions[n].eval(t, real.Replace(step[2]))
			if step[3] != "" {
				compared++
			}
			if want = real.Replace(want); step[3] != "" && pids.ReplaceAllString(got, "<>") != pids.ReplaceAllString(want, "<>") {
				t.Errorf("%s\ngot  %s\nwant %s", step[2], got, want)
			}
		}
	}
	if compared < 7 {
		t.Errorf("%d answers were compared", compared)
	}
}
