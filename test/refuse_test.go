package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The exit statuses of the contract.
const (
	failed  = 1
	usage   = 2
	refused = 3
)

// Each refusal is one clear line on standard error that names the remedy, and has its exit status,
// in run and in ping.
//
//erluv:releases
//erluv:users
func TestRefusals(t *testing.T) {
	t.Parallel()
	n := newNode(t, nodeOptions{noise: true})
	taken := newErluv(t, n)
	takenName, _, _ := strings.Cut(taken.erluv, "@")
	other, err := newHome("another-cookie")
	if err != nil {
		t.Fatal(err)
	}
	open, err := newHome(cookie)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(open, ".erlang.cookie"), 0o444); err != nil {
		t.Fatal(err)
	}
	strict := newNode(t, nodeOptions{noise: true})
	strict.expect(t, "ok", "net_kernel:allow(['nobody@127.0.0.1'])")
	for name, tc := range map[string]struct {
		args   []string
		status int
		words  []string
	}{
		"wrong cookie": {
			[]string{"--node", n.name, "--host=127.0.0.1", "--cookie-file=" + filepath.Join(other, ".erlang.cookie")},
			refused,
			[]string{n.name, "the cookies differ", filepath.Join(other, ".erlang.cookie")},
		},
		"name taken": {
			[]string{"--node", n.name, "--host=127.0.0.1", "--name", takenName, n.cookieFile()},
			refused,
			[]string{taken.erluv, "name"},
		},
		"not allowed": {
			[]string{"--node", strict.name, "--host=127.0.0.1", n.cookieFile()},
			refused,
			[]string{strict.name, "allow"},
		},
		"no such node": {
			[]string{"--node", "nowhere@127.0.0.1", "--host=127.0.0.1", n.cookieFile()},
			failed,
			[]string{"nowhere", epmd.String()},
		},
		"nothing listening": {
			[]string{"--node", n.name, "--host=127.0.0.1", "--address=127.0.0.1:1", n.cookieFile()},
			failed,
			[]string{n.name, "127.0.0.1:1"},
		},
		"no EPMD": {
			[]string{"--node", n.name, "--host=127.0.0.1", "--epmd-port=1", n.cookieFile()},
			failed,
			[]string{"127.0.0.1:1", "EPMD"},
		},
		"no such host": {
			[]string{"--node", "n@host.invalid", "--host=127.0.0.1", n.cookieFile()},
			failed,
			[]string{"cannot find the host", "host.invalid"},
		},
		"another node": {
			[]string{"--node", "other@127.0.0.1", "--host=127.0.0.1", "--address", strict.listener(t), n.cookieFile()},
			refused, nil,
		},
		"no node": {
			[]string{n.cookieFile()},
			usage,
			[]string{"--node"},
		},
		"no such flag": {
			[]string{"--node", n.name, "--no-such-flag"},
			usage,
			[]string{"no-such-flag"},
		},
		"cookie for all to read": {
			[]string{"--node", n.name, "--host=127.0.0.1", "--cookie-file=" + filepath.Join(open, ".erlang.cookie")},
			usage,
			[]string{"0444", ".erlang.cookie"},
		},
		"no cookie": {
			[]string{"--node", n.name, "--host=127.0.0.1", "--cookie-file=/no/such/cookie"},
			usage,
			[]string{"/no/such/cookie"},
		},
	} {
		for _, command := range [][]string{{"ping"}, {"run", "--reconnect=exit", "--log-level=error"}} { // swept trees are logged at warn
			t.Run(name+" "+command[0], func(t *testing.T) {
				e, err := n.run(nil, append(command, tc.args...)...)
				if err != nil {
					t.Fatal(err)
				}
				if status := e.exits(t, startTime); status != tc.status && name != "another node" {
					t.Errorf("exit status %d, want %d", status, tc.status)
				} else if status == 0 {
					t.Error("exit status 0")
				}
				text := e.stderr.String()
				if lines := strings.Count(text, "\n"); lines != 1 || !strings.HasSuffix(text, "\n") {
					t.Errorf("%d lines on standard error, want one:\n%s", lines, text)
				}
				for _, word := range tc.words {
					if !strings.Contains(text, word) {
						t.Errorf("standard error does not name %s:\n%s", word, text)
					}
				}
				if strings.Contains(text, cookie) || strings.Contains(text, "another-cookie") {
					t.Errorf("the cookie is in the output:\n%s", text)
				}
			})
		}
	}
	taken.expect(t, "pong", "net_adm:ping(E)")
}

// listener returns the address where a node listens.
func (n *node) listener(t *testing.T) string {
	t.Helper()
	_, host, _ := strings.Cut(n.name, "@")
	name, _, _ := strings.Cut(n.name, "@")
	return host + ":" + n.eval(t, "{port, Port, _} = erl_epmd:port_please(Name, {127,0,0,1}), Port", bind{"Name": source(strconv.Quote(name))})
}

//erluv:releases
//erluv:check
func TestPong(t *testing.T) {
	n := newNode(t, nodeOptions{})
	for _, args := range [][]string{nil, {"--address", n.listener(t)}, {"--address", n.listener(t), "--epmd-port", "1"}} {
		e, err := n.run(nil, append([]string{"ping", "--node", n.name, n.cookieFile()}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		if status := e.exits(t, startTime); status != 0 {
			t.Errorf("ping %v: exit status %d:\n%s", args, status, e.stderr.String())
		}
	}
	n.expect(t, "ok", "e2e:until(fun() -> nodes(hidden) =:= [] end)")
}

// When the node goes, erluv tries again at growing intervals. It is up soon after another node of
// that name is.
//
//erluv:releases
func TestItWaitsForTheNode(t *testing.T) {
	t.Parallel()
	n := newNode(t, nodeOptions{})
	name := "mortal" + strconv.FormatInt(serial.Add(1), 10)
	first := newNode(t, nodeOptions{name: name})
	e, err := first.connect()
	if err != nil {
		t.Fatal(err)
	}
	e.node = n // this node outlives the first
	t.Cleanup(func() { e.report(t) })
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first.killed = true
	eventually(t, "attempts to connect", func() bool { return strings.Count(e.stderr.String(), "trying again") >= 4 })
	if !e.running() {
		t.Fatal("it does not wait")
	}
	second := newNode(t, nodeOptions{name: name})
	second.expect(t, "ok", "e2e:wait_hidden(E)", e.binds())
	second.expect(t, "ok", `{ok, _} = e2e:call(E, {run, "true", #{}}), ok`, e.binds())
	if err := e.stop(); err != nil {
		t.Error(err)
	}
	busy := e.cmd.ProcessState.UserTime() + e.cmd.ProcessState.SystemTime()
	if busy > 2*time.Second {
		t.Errorf("it took %v of processor time", busy)
	}
	if lines := strings.Count(e.stderr.String(), "\n"); lines > 20 {
		t.Errorf("it wrote %d lines", lines)
	}
}

// With reconnect = always, erluv may start before the node. If the node refuses it, erluv does not
// try again.
func TestItIsThereFirst(t *testing.T) {
	t.Parallel()
	n := newNode(t, nodeOptions{noise: true})
	name := "later" + strconv.FormatInt(serial.Add(1), 10)
	e, err := n.run(nil, "--node", name+"@127.0.0.1", "--name="+name+"e", "--host=127.0.0.1", "--reconnect=always", n.cookieFile())
	if err != nil {
		t.Fatal(err)
	}
	e.erluv = name + "e@127.0.0.1"
	t.Cleanup(func() {
		if err := e.stop(); err != nil {
			t.Error(err)
		}
		e.report(t)
	})
	eventually(t, "attempts to connect", func() bool { return strings.Count(e.stderr.String(), "trying again") >= 3 })
	if !e.running() {
		t.Fatal("it does not wait")
	}
	later := newNode(t, nodeOptions{name: name})
	later.expect(t, "ok", "e2e:wait_hidden(E)", e.binds())
	later.expect(t, "ok", `{ok, _} = e2e:call(E, {run, "true", #{}}), ok`, e.binds())

	other, err := n.run(nil, "--node", n.name, "--host=127.0.0.1", "--reconnect=always", "--cookie=OTHER")
	if err != nil {
		t.Fatal(err)
	}
	if status := other.exits(t, startTime); status != refused {
		t.Errorf("exit status %d, want %d:\n%s", status, refused, other.stderr.String())
	}
}

// erluv finds the cookie where a node in the same environment would find it. The test asks the node
// (auth.erl of kernel) and erluv config.
//
//erluv:releases
func TestCookieOfNode(t *testing.T) {
	for name, tc := range map[string]struct {
		files   []string // in the home directory
		environ string   // $HOME is that
	}{
		"home":          {[]string{".erlang.cookie", ".config/erlang/.erlang.cookie"}, ""},
		"xdg":           {[]string{".config/erlang/.erlang.cookie"}, "XDG_CONFIG_HOME="},
		"xdg elsewhere": {[]string{".config/erlang/.erlang.cookie", "x/erlang/.erlang.cookie"}, "XDG_CONFIG_HOME=$HOME/x"},
	} {
		t.Run(name, func(t *testing.T) {
			home, err := newHome("")
			if err == nil {
				err = os.Remove(filepath.Join(home, ".erlang.cookie"))
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, file := range tc.files {
				file = filepath.Join(home, file)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, fmt.Appendf(nil, "COOKIE%d", i), 0o400); err != nil {
					t.Fatal(err)
				}
				if credential != nil {
					if err := os.Chown(file, int(credential.Uid), int(credential.Gid)); err != nil {
						t.Fatal(err)
					}
				}
			}
			run := func(program string, args ...string) string {
				cmd := exec.Command(program, args...)
				cmd.Env, cmd.Dir = append(environment(home), strings.ReplaceAll(tc.environ, "$HOME", home)), home
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
				out, err := cmd.Output()
				if err != nil {
					t.Fatalf("%s: %v\n%s", program, err, out)
				}
				return string(out)
			}
			want := run(erl, "-noinput", "-name", fmt.Sprintf("n%d@127.0.0.1", serial.Add(1)), "-start_epmd", "false",
				"-kernel", "inet_dist_use_interface", "{127,0,0,1}",
				"-eval", "io:format(\"~s\", [erlang:get_cookie()]), halt()")
			_, line, _ := strings.Cut(run(executable, "config"), "\ncookie_file ")
			file, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			got, err := os.ReadFile(file)
			if err != nil || string(got) != want {
				t.Errorf("%s: %q, %v; the node has %q", file, got, err, want)
			}
		})
	}
}
