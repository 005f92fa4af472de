package dist_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for an event that must come.
const patience = 2 * time.Minute

// otp returns the path of a program of the OTP under test: $ERLUV_ERL or its neighbours, or else
// from PATH.
func otp(t *testing.T, name string) string {
	t.Helper()
	if erl := os.Getenv("ERLUV_ERL"); erl != "" {
		if name == "erl" {
			return erl
		}
		path := filepath.Join(filepath.Dir(erl), name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("this test needs Erlang/OTP (ERLUV_ERL, or in PATH): %v", err)
	}
	return path
}

// run starts a program that ends with the test, and returns the first match of
// ready in its output.
func run(t *testing.T, cmd *exec.Cmd, ready string) []string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that panics does not clean up
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	pattern := regexp.MustCompile(ready)
	match, ended := make(chan []string, 1), make(chan struct{})
	var log strings.Builder // its output; read after ended
	go func() {             // ends with the program
		defer close(ended)
		defer r.Close()
		waiting := true
		for lines := bufio.NewScanner(io.TeeReader(r, &log)); lines.Scan(); {
			if m := pattern.FindStringSubmatch(lines.Text()); waiting && m != nil {
				match <- m
				waiting = false
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(cmd.Path), log.String())
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case m := <-match:
		return m
	case <-ended:
		t.Fatalf("%s ended at once: %s", cmd.Path, log.String())
	case <-ctx.Done():
		t.Fatalf("%s is not ready after %v", cmd.Path, patience)
	}
	return nil
}

// freePort returns a port on which nothing listens at present.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// node is a real Erlang node, with an EPMD of its own.
type node struct {
	name string
	addr string // of its distribution listener
}

const cookie = "a cookie'of:theirs"

// probe is a process of the node. It evaluates received expressions in its own process, with P
// bound to the sender and W to another pid or name of the test. It answers {value, V}. It passes
// any other message to the last sender as {got, It}.
const probe = `
	register(probe, spawn(fun() ->
		process_flag(trap_exit, true),
		(fun Loop(Last) ->
			receive
				{eval, P, W, Text} ->
					{ok, Tokens, _} = erl_scan:string(binary_to_list(Text)),
					{ok, Exprs} = erl_parse:parse_exprs(Tokens),
					{value, V, _} = erl_eval:exprs(Exprs, [{'P', P}, {'W', W}]),
					P ! {value, V},
					Loop(P);
				It ->
					Last ! {got, It},
					Loop(Last)
			end
		end)(none)
	end)),
	{port, Port, _} = erl_epmd:port_please(hd(string:split(atom_to_list(node()), "@")), {127, 0, 0, 1}),
	io:format("up ~p ~s ~n", [Port, node()]).`

// startNode starts a node. The kind is -sname or -name, and args are further arguments of erl.
func startNode(t *testing.T, kind, name string, args ...string) node {
	t.Helper()
	port := freePort(t)
	env := append(os.Environ(), "ERL_EPMD_PORT="+port, "HOME="+t.TempDir())
	// With two -d, EPMD reports when it listens.
	epmd := exec.Command(otp(t, "epmd"), "-d", "-d", "-port", port, "-address", "127.0.0.1")
	run(t, epmd, "entering the main select")

	erl := exec.Command(otp(t, "erl"), append([]string{
		"-noshell", kind, name, "-setcookie", cookie, "-kernel", "inet_dist_use_interface", "{127,0,0,1}",
		"-eval", probe,
	}, args...)...)
	erl.Env = env
	up := run(t, erl, `^up (\d+) (\S+)`)
	return node{name: up[2], addr: net.JoinHostPort("127.0.0.1", up[1])}
}

// dial opens a connection to a node, which is closed at the end of the test.
func (n node) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", n.addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// quote is an Erlang atom's text.
func quote(atom string) string { return fmt.Sprintf("'%s'", atom) }
