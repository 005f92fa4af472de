// Bench runs the workloads of doc/performance.md on a node of its own, by open_port and by erluv in
// turns. It prints its measurements as Markdown: the machine, and a table. For each row the table
// has the medians of the rounds, their spread, erluv's ratio to open_port, the target, and whether
// it is met. Bench runs as root, so that erluv is as in use:
//
//	make bench                          all of it, some eight minutes; written to build/bench.md too
//	make bench BENCH="-rounds 3 h i"    three rounds of two workloads
//	make bench BENCH=-short             two minutes: half of the workloads, two rounds
//	make bench BENCH="-o FILE"          written to another file
//	make bench PEERS="DIR DIR"          the same workloads with libraries too, erluv's own among them
//	make bench BEFORE=FILE              beside another executable of erluv, in turns
//
// A DIR has a compiled library, as mix and rebar3 leave it: .../lib/exile, with ebin and priv.
// Known are erlexec, muontrap and exile. Beside the table, build/bench.txt has each figure as
// benchstat reads it.
//
// The speed of a shared machine varies by more than the differences that matter. So in each round
// the peers run a workload one right after the other. The same holds for workloads that are
// compared with each other. With -before, another executable of erluv takes its turn right before
// or after erluv's. So one run shows the effect of a change. The file bench.erl has the workloads,
// and table.go the targets. A workload is named by its letter in the table. The node prints a line
// for each measurement:
//
//	workload TAB peer TAB unit TAB figure
//
// Before these it prints lines about itself and erluv, "is" TAB name TAB value.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "how often each workload is run by each peer")
	flag.StringVar(&o.binary, "erluv", "build/erluv", "the executable that is measured")
	flag.StringVar(&o.before, "before", "", "another `executable` of erluv that runs the same workloads in turns, for a table of before and after in one run")
	flag.StringVar(&o.erl, "erl", "erl", "the Erlang that is measured on")
	flag.StringVar(&o.file, "o", "", "the `file` that the Markdown is written to, besides being printed")
	flag.StringVar(&o.stat, "benchstat", "", "the `file` that each figure is written to, for benchstat")
	flag.BoolVar(&o.short, "short", false, "two rounds of half of the workloads: two minutes")
	flag.StringVar(&o.peers, "peers", "", "the `directories` of compiled libraries that are measured too, and erluv's own")
	flag.BoolVar(&o.verbose, "v", false, "print each measurement as it comes, to standard error")
	flag.Parse()
	o.only = flag.Args()
	if err := bench(&o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	rounds            int
	binary, erl, file string
	before            string // "": none
	stat, peers       string
	verbose, short    bool
	only              []string // workloads; none: all
}

const name = "bench@127.0.0.1"

func bench(o *options) (err error) {
	if err := o.choose(); err != nil {
		return err
	}
	libs, paths, err := compiled(o.peers)
	if err != nil {
		return err
	}
	binary, err := filepath.Abs(o.binary)
	if err != nil {
		return err
	}
	before := ""
	if o.before != "" {
		if before, err = filepath.Abs(o.before); err != nil {
			return err
		}
	}
	// The static program runs as nobody, so other users must reach it.
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
	if out, err := exec.Command("erlc", "-o", dir, "test/bench/bench.erl", "test/bench/peers.erl").CombinedOutput(); err != nil {
		return fmt.Errorf("cannot compile test/bench/bench.erl: %w\n%s", err, out)
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
	env := append(os.Environ(), "HOME="+dir, "ERL_EPMD_PORT="+port, "ERL_EPMD_ADDRESS=127.0.0.1", "ERL_CRASH_DUMP_BYTES=0",
		"ERLUV_CONF=none", "ERLUV_LOG_LEVEL=warn", "BENCH_PEERS="+strings.Join(libs, " "), "BENCH_BEFORE="+before)
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	defer cancel()
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = errors.New("interrupted: the files with the figures are those of an earlier run")
		}
	}()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot become the parent of what open_port leaves behind: %w", err)
	}
	defer sweep()
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
	node, out, err := start(o.erl, slices.Concat([]string{"-noinput", "-name", name, "-pa", dir}, paths, []string{
		"-run", "bench", "main", "measured@127.0.0.1", strconv.Itoa(o.rounds), static,
		strconv.Itoa(echo.Addr().(*net.TCPAddr).Port), binary, cookie,
	}, o.only)...)
	if err != nil {
		return err
	}
	defer end(node)
	if err := awaitNode(ctx, env, binary, cookie); err != nil {
		return err
	}
	erluv, err := startErluv(ctx, env, binary, "measured", cookie)
	if err != nil {
		return err
	}
	defer end(erluv)
	if before != "" {
		other, err := startErluv(ctx, env, before, "before", cookie)
		if err != nil {
			return err
		}
		defer end(other)
	}
	r := results{table: table{}, told: map[string]string{}, begin: time.Now()}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if o.verbose {
			fmt.Fprintln(os.Stderr, lines.Text())
		}
		if err := r.take(lines.Text()); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := node.Wait(); err != nil {
		return fmt.Errorf("the node has not come to the end: %w", err)
	}
	list, err := facts(binary, r.told, o.rounds)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	printFacts(&b, list)
	r.table.print(&b, before != "")
	r.table.printBesides(&b)
	if _, err := os.Stdout.Write(b.Bytes()); err != nil {
		return err
	}
	var stat bytes.Buffer
	r.table.printFormat(&stat)
	for file, text := range map[string][]byte{o.file: b.Bytes(), o.stat: stat.Bytes()} {
		if file == "" {
			continue
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// choose returns the workloads to run: the named ones, else all, or with -short half of them. The
// workloads of libraries run only with libraries.
func (o *options) choose() error {
	if o.rounds < 1 {
		return fmt.Errorf("%d is no number of rounds", o.rounds)
	}
	for _, name := range o.only {
		if !slices.ContainsFunc(slices.Concat(workloads, besides), func(l workload) bool { return l.name == name }) {
			return fmt.Errorf("there is no workload %q", name)
		}
		if strings.HasPrefix(name, "x") && o.peers == "" {
			return fmt.Errorf("the workload %q is one of libraries: name their directories by -peers, or erluv's own by -peers erluv (PEERS=erluv of make)", name)
		}
	}
	if o.short {
		o.rounds = min(o.rounds, 2)
	}
	if len(o.only) > 0 {
		return nil
	}
	if o.short {
		o.only = slices.Clone(short)
	} else {
		o.only = names(workloads)
	}
	if o.peers != "" {
		o.only = append(o.only, names(besides)...)
	}
	return nil
}

func names(list []workload) (names []string) {
	for _, l := range list {
		names = append(names, l.name)
	}
	return names
}

// compiled returns the names of the libraries in directories, with erluv's own as the last. It also
// returns the arguments with which erl finds them and their dependencies. The word erluv stands for
// erluv's own library alone.
func compiled(dirs string) (names, args []string, err error) {
	if dirs == "" {
		return nil, nil, nil
	}
	add := func(dir string) { args = append(args, "-pa", filepath.Join(dir, "ebin")) }
	for _, dir := range strings.Fields(dirs) {
		name := filepath.Base(dir)
		if dir == "erluv" {
			continue
		}
		if !slices.Contains([]string{"erlexec", "muontrap", "exile"}, name) {
			return nil, nil, fmt.Errorf("cannot measure %s: known are erlexec, muontrap and exile, by the last part of the path, and the word erluv", dir)
		}
		if _, err := os.Stat(filepath.Join(dir, "ebin", name+".app")); err != nil {
			return nil, nil, fmt.Errorf("%s is no compiled library: %w", dir, err)
		}
		names = append(names, name)
		add(dir)
	}
	build, err := filepath.Abs("build/bench-elixir")
	if err != nil {
		return nil, nil, err
	}
	mix := exec.Command("mix", "compile")
	mix.Dir, mix.Env = "elixir", append(os.Environ(), "MIX_ENV=prod", "MIX_BUILD_PATH="+build)
	if out, err := mix.CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("cannot compile elixir/: %w\n%s", err, out)
	}
	libs, err := exec.Command("elixir", "-e", ":io.put_chars(Path.dirname(:code.lib_dir(:elixir)))").Output()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot ask Elixir where it is: %w", err)
	}
	for _, lib := range []string{"elixir", "logger"} {
		add(filepath.Join(string(libs), lib))
	}
	for _, lib := range []string{"erluv", "erluv_ex"} {
		add(filepath.Join(build, "lib", lib))
	}
	return append(names, "elixir"), args, nil
}

// results are the lines that the node prints.
type results struct {
	table table
	told  map[string]string
	begin time.Time
}

// take reads one line.
func (r *results) take(line string) error {
	f := strings.Split(line, "\t")
	switch {
	case len(f) == 3 && f[0] == "is":
		r.told[f[1]] = f[2]
		return nil
	case len(f) == 3 && f[0] == "at":
		fmt.Fprintf(os.Stderr, "bench: after %v: %s, round %s\n", time.Since(r.begin).Round(time.Second), f[1], f[2])
		return nil
	case len(f) != 4:
		return fmt.Errorf("the node says %q", line)
	}
	v, err := strconv.ParseFloat(f[3], 64)
	if err != nil {
		return fmt.Errorf("the node says %q: %w", line, err)
	}
	r.table.add(f[0], f[1], f[2], v)
	return nil
}

// awaitNode waits until the node is up.
func awaitNode(ctx context.Context, env []string, binary, cookie string) error {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		ping := exec.CommandContext(ctx, binary, "ping", "--node", name, "--cookie-file", cookie)
		ping.Env = env
		out, err := ping.CombinedOutput()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(end) {
			return fmt.Errorf("the node does not come up: %s", out)
		}
	}
}

// startErluv starts an erluv to measure.
func startErluv(ctx context.Context, env []string, binary, as, cookie string) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, binary, "--node", name, "--name", as, "--host", "127.0.0.1", "--cookie-file", cookie, "--reconnect", "exit")
	cmd.Env, cmd.Stderr = env, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start erluv: %w", err)
	}
	return cmd, nil
}

// end ends a process of bench, in order if it can.
func end(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(os.Interrupt)
	timer := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	timer.Stop()
}

// sweep ends the programs of open_port that have outlived an interrupted node. They are children of
// bench now. Those of erluv have ended with it.
func sweep() {
	for {
		lists, _ := filepath.Glob("/proc/self/task/*/children")
		for _, list := range lists {
			pids, _ := os.ReadFile(list)
			for _, pid := range strings.Fields(string(pids)) {
				if n, err := strconv.Atoi(pid); err == nil {
					_ = unix.Kill(n, unix.SIGKILL)
				}
			}
		}
		if _, err := unix.Wait4(-1, nil, 0, nil); err == unix.ECHILD {
			return
		}
	}
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
