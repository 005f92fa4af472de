// Command fleet is make demo-fleet: control nodes and hosts, each in a network namespace of its
// own. Some of these go, and demo_fleet.erl, on the last control node, tells what happens to
// programs.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"erluv/test/lan"
)

var (
	binary   = flag.String("erluv", "build/erluv", "the `file` to run")
	library  = flag.String("library", "", "the `directory` of the Erlang library; compiled if it is missing")
	control  = flag.Int("control", 3, "control nodes")
	hosts    = flag.Int("hosts", 10, "hosts")
	programs = flag.Int("programs", 200, "programs")
)

const (
	bound   = 5 * time.Minute  // for the whole demo
	endTime = 30 * time.Second // for an erluv to end
)

func main() {
	flag.Parse()
	runtime.LockOSThread() // programs started here end with this thread, if not before
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	ctx, cancel := context.WithTimeout(ctx, bound)
	err := run(ctx)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo-fleet:", err)
		os.Exit(1)
	}
}

// demo is the state of the running demo.
type demo struct {
	ctx     context.Context
	lan     *lan.LAN
	dir     string // where every user can execute erluv
	began   []*process
	control []string // names of nodes
	on      []*lan.Machine
}

type process struct {
	cmd    *exec.Cmd
	output *bytes.Buffer // its output, once it has ended
	ended  chan struct{}
}

func run(ctx context.Context) (err error) {
	if os.Getuid() != 0 {
		return errors.New("run it as root: it makes network namespaces and cables between them (CAP_SYS_ADMIN, CAP_NET_ADMIN)")
	}
	d := &demo{ctx: ctx}
	if d.dir, err = os.MkdirTemp("", "erluv-demo-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
	if err := d.build(); err != nil {
		return err
	}
	if d.lan, err = lan.New(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.lan.Close()) }()
	defer func() { err = errors.Join(err, d.end()) }()
	teller, err := d.begin()
	if err != nil {
		return err
	}
	select {
	case <-teller.ended:
	case <-ctx.Done():
		return fmt.Errorf("it was ended: %w", context.Cause(ctx))
	}
	if !teller.cmd.ProcessState.Success() {
		_ = d.end() // so that all output is written
		for _, p := range d.began {
			fmt.Fprint(os.Stderr, p.output)
		}
		return fmt.Errorf("the control node that tells what happens: %v", teller.cmd.ProcessState)
	}
	return nil
}

// build makes a copy of erluv that every user may execute, compiles the library, and writes a cookie.
func (d *demo) build() error {
	if err := os.Chmod(d.dir, 0o755); err != nil {
		return err
	}
	text, err := os.ReadFile(*binary)
	if err != nil {
		return err
	}
	sources := []string{"test/demo/demo_fleet.erl"}
	if *library == "" {
		*library = d.dir
		all, err := filepath.Glob("erlang/src/*.erl")
		if err != nil {
			return err
		}
		sources = append(sources, all...)
	}
	if out, err := exec.Command("erlc", append([]string{"-o", d.dir}, sources...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("erlc: %v\n%s", err, out)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(d.dir, "erluv"), text, 0o755),
		os.WriteFile(filepath.Join(d.dir, ".erlang.cookie"), []byte(rand.Text()), 0o400))
}

// begin starts everything, and returns the control node that reports the events: the last one.
func (d *demo) begin() (teller *process, err error) {
	for i := range *control {
		m, err := d.lan.Machine()
		if err != nil {
			return nil, err
		}
		d.on, d.control = append(d.on, m), append(d.control, fmt.Sprintf("control%d@%s", i+1, m.Address))
		if _, err := d.start(m, false, "epmd", "-address", m.Address); err != nil {
			return nil, err
		}
		if err := d.await(i, ""); err != nil {
			return nil, err
		}
	}
	last := *control - 1
	for i := range *control {
		source := fmt.Sprintf("demo_fleet:main(%s, %d, %d).", list(d.control[:last]), *hosts, *programs)
		if i < last {
			source = "demo_fleet:control(" + list(d.control[:i]) + ")."
		}
		if teller, err = d.node(i, source); err != nil {
			return nil, err
		}
		if err := d.await(i, "name control"); err != nil {
			return nil, err
		}
	}
	for i := range *hosts {
		if err := d.host(i); err != nil {
			return nil, err
		}
	}
	return teller, nil
}

// await waits until the EPMD of a control node prints this word.
func (d *demo) await(i int, word string) error {
	for {
		out, err := d.on[i].Command("epmd", "-names").Output()
		switch {
		case err == nil && strings.Contains(string(out), word):
			return nil
		case d.ctx.Err() != nil:
			return fmt.Errorf("%s does not start: %w", d.control[i], context.Cause(d.ctx))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func list(nodes []string) string {
	if len(nodes) == 0 {
		return "[]"
	}
	return "['" + strings.Join(nodes, "','") + "']"
}

// node starts a control node, which evaluates source.
func (d *demo) node(i int, source string) (*process, error) {
	m := d.on[i]
	return d.start(m, i == *control-1, "erl", "-noinput", "+pc", "unicode", "-name", d.control[i], "-start_epmd", "false", "-pa", d.dir, *library,
		"-kernel", "inet_dist_use_interface", "{"+strings.ReplaceAll(m.Address, ".", ",")+"}", "-kernel", "logger_level", "none", "-eval", source)
}

// host starts an erluv that serves one of the control nodes. Each control node has about as many
// hosts.
func (d *demo) host(i int) error {
	m, err := d.lan.Machine()
	if err != nil {
		return err
	}
	first := i % *control
	nodes := strings.Join(append(append([]string{}, d.control[first:]...), d.control[:first]...), ",")
	_, err = d.start(m, false, filepath.Join(d.dir, "erluv"), "run", "--config", "none", "--nodes", nodes, "--name", fmt.Sprintf("host%02d", i+1),
		"--host", m.Address, "--controller", "erluv_fleet", "--reconnect", "always", "--on-disconnect", "keep", "--control", "off",
		"--log-level", "error", "--cookie-file", filepath.Join(d.dir, ".erlang.cookie"))
	return err
}

// start starts a program on a machine. Its output is shown now, or when the demo fails.
func (d *demo) start(m *lan.Machine, shown bool, program string, args ...string) (*process, error) {
	p := &process{cmd: m.Command(program, args...), output: &bytes.Buffer{}, ended: make(chan struct{})}
	p.cmd.Env = []string{"HOME=" + d.dir, "PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "ERL_CRASH_DUMP_BYTES=0"}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true} // ^C goes to the demo, which ends them
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if shown {
		p.cmd.Stdout, p.cmd.Stderr = os.Stdout, os.Stderr
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	d.began = append(d.began, p)
	go func() { // end waits for it
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// end ends all programs in order, and reports those whose end was not.
func (d *demo) end() error {
	for _, p := range d.began {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	var errs []error
	late := time.After(endTime)
	for _, p := range d.began {
		select {
		case <-p.ended:
		case <-late:
			errs = append(errs, fmt.Errorf("it had to be killed: %v\n%s", p.cmd, p.output))
			_ = p.cmd.Process.Kill()
			<-p.ended
		}
	}
	return errors.Join(errs...)
}
