// Bench runs the workloads of doc/performance.md on a node of its own, by open_port
// and by erluv in turns, and prints the medians and their ratios as Markdown. It is
// run as root, so that erluv is as it is in use: "make bench".
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 5, "how often each workload is run by each peer")
	binary := flag.String("erluv", "build/erluv", "the executable that is measured")
	erl := flag.String("erl", "erl", "the Erlang that is measured on")
	verbose := flag.Bool("v", false, "print each measurement as it comes, to standard error")
	flag.Parse()
	if err := bench(*rounds, *binary, *erl, flag.Args(), *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

const name = "bench@127.0.0.1"

func bench(rounds int, binary, erl string, only []string, verbose bool) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	// The static program is run by nobody, so others must reach it.
	dir, err := os.MkdirTemp("", "erluv-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	static := filepath.Join(dir, "static")
	cookie := filepath.Join(dir, ".erlang.cookie")
	if err := errors.Join(
		os.Chmod(dir, 0o755),
		os.WriteFile(static, endsAtOnce(), 0o755),
		os.WriteFile(cookie, fmt.Appendf(nil, "bench%d", time.Now().UnixNano()), 0o400),
	); err != nil {
		return err
	}
	if out, err := exec.Command("erlc", "-o", dir, "bench/bench.erl").CombinedOutput(); err != nil {
		return fmt.Errorf("cannot compile bench/bench.erl: %w\n%s", err, out)
	}
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go serveEcho(echo) // ends with the process
	port, err := freePort()
	if err != nil {
		return err
	}
	env := append(os.Environ(), "HOME="+dir, "ERL_EPMD_PORT="+port, "ERL_EPMD_ADDRESS=127.0.0.1", "ERLUV_CONF=none", "ERLUV_LOG_LEVEL=warn")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	start := func(program string, args ...string) (*exec.Cmd, io.ReadCloser, error) {
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Env, cmd.Stderr = env, os.Stderr
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			return nil, nil, fmt.Errorf("cannot start %s: %w", program, err)
		}
		return cmd, out, nil
	}
	epmd, _, err := start("epmd", "-port", port, "-address", "127.0.0.1")
	if err != nil {
		return err
	}
	defer end(epmd)
	node, out, err := start(erl, append([]string{
		"-noinput", "-name", name, "-pa", dir, "-run", "bench", "main",
		"measured@127.0.0.1", strconv.Itoa(rounds), static, strconv.Itoa(echo.Addr().(*net.TCPAddr).Port), binary, cookie,
	}, only...)...)
	if err != nil {
		return err
	}
	defer end(node)
	erluv, err := startErluv(ctx, env, binary, cookie)
	if err != nil {
		return err
	}
	defer end(erluv)
	t := table{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if verbose {
			fmt.Fprintln(os.Stderr, lines.Text())
		}
		f := strings.Split(lines.Text(), "\t")
		if len(f) != 4 {
			return fmt.Errorf("the node says %q", lines.Text())
		}
		v, err := strconv.ParseFloat(f[3], 64)
		if err != nil {
			return fmt.Errorf("the node says %q: %w", lines.Text(), err)
		}
		t.add(f[0], f[1], f[2], v)
	}
	t.print(os.Stdout)
	return nil
}

// startErluv starts the erluv that is measured; it goes on trying until the node
// is there.
func startErluv(ctx context.Context, env []string, binary, cookie string) (*exec.Cmd, error) {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		ping := exec.CommandContext(ctx, binary, "ping", "--node", name, "--cookie-file", cookie)
		ping.Env = env
		out, err := ping.CombinedOutput()
		if err == nil {
			break
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("the node does not come up: %s", out)
		}
	}
	cmd := exec.CommandContext(ctx, binary, "--node", name, "--name", "measured", "--host", "127.0.0.1", "--cookie-file", cookie, "--reconnect", "exit")
	cmd.Env, cmd.Stderr = env, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start erluv: %w", err)
	}
	return cmd, nil
}

// end ends a process of ours, in order if it can.
func end(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(os.Interrupt)
	timer := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	timer.Stop()
}

func serveEcho(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) // read and write, not splice
		}()
	}
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}
