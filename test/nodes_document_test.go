package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
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
