package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"erluv/test/lan"
)

// A fleet is control nodes and hosts, each on a machine of its own, and the cables between them.
// These tests are rows of doc/fleet.md.
type fleet struct {
	lan     *lan.LAN
	control []*control
	ran     string // the file in which programs say that they have run
}

// A control node has erluv_fleet.
type control struct {
	*node
	on *lan.Machine
}

// A fleetHost is a host of the fleet, with a session on each control node. The session receives the
// fleet's events. In it E is the host, and F the file where programs say that they have run.
type fleetHost struct {
	*erluv
	on *lan.Machine
	at map[*control]session
}

// commandOn makes a command that runs on a machine, or here if on is nil.
func commandOn(on *lan.Machine, program string, args ...string) *exec.Cmd {
	if on == nil {
		return exec.Command(program, args...)
	}
	return on.Command(program, args...)
}

// library compiles the Erlang library once, and returns its directory.
var library = sync.OnceValues(func() (string, error) {
	sources, err := filepath.Glob("../erlang/src/*.erl")
	if err != nil {
		return "", err
	}
	to := filepath.Join(dir, "library")
	if err := os.Mkdir(to, 0o755); err != nil {
		return "", err
	}
	if out, err := exec.Command(beside("erlc"), append([]string{"-o", to}, sources...)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v\n%s", err, out)
	}
	return to, nil
})

// newFleet starts connected control nodes with this net_ticktime, in seconds.
func newFleet(t *testing.T, count, ticktime int) *fleet {
	t.Helper()
	code, err := library()
	if err != nil {
		t.Fatal(err)
	}
	l, err := lan.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	f := &fleet{lan: l, ran: filepath.Join(dir, fmt.Sprintf("ran%d", serial.Add(1)))}
	if err := os.WriteFile(f.ran, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(f.ran, 0o666); err != nil { // whatever the umask
		t.Fatal(err)
	}
	for i := range count {
		m := f.machine(t)
		epmdOn(t, m)
		n := newNode(t, nodeOptions{name: fmt.Sprintf("control%d", i), on: m, noise: true, args: []string{
			"-pa", code, "-kernel", "net_ticktime", strconv.Itoa(ticktime),
		}})
		if i > 0 {
			n.expect(t, "pong", "net_adm:ping('"+f.control[0].name+"')")
		}
		n.session(t).expect(t, "ok", "{ok, _} = erluv_fleet:start_link(#{refresh => infinity}), ok") // it lives as long
		f.control = append(f.control, &control{n, m})
	}
	for _, c := range f.control {
		c.knows(t, count)
	}
	return f
}

// knows waits until a control node knows count control nodes, including itself.
func (c *control) knows(t *testing.T, count int) {
	t.Helper()
	c.expect(t, "ok", fmt.Sprintf("e2e:until(fun() -> length(pg:get_members(erluv_fleet_scope, control)) =:= %d end)", count))
}

func (f *fleet) machine(t *testing.T) *lan.Machine {
	t.Helper()
	m, err := f.lan.Machine()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// epmdOn starts an EPMD on a machine.
func epmdOn(t *testing.T, on *lan.Machine) {
	t.Helper()
	cmd := on.Command(beside("epmd"), "-port", epmd.port, "-address", on.Address)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(t, "EPMD answers", func() bool { return on.Command(beside("epmd"), "-port", epmd.port, "-names").Run() == nil })
}

// host starts an erluv that serves these control nodes, and waits until all control nodes know it.
func (f *fleet) host(t *testing.T, serve []*control, args ...string) *fleetHost {
	t.Helper()
	h := &fleetHost{on: f.machine(t), at: map[*control]session{}}
	name := fmt.Sprintf("h%d", serial.Add(1))
	for _, c := range f.control {
		h.at[c] = c.session(t)
		h.at[c].expect(t, "ok", bind{"E": atom(name + "@" + h.on.Address), "F": f.ran}.String()+"erluv_fleet:subscribe()")
	}
	h.boot(t, name, serve, args...)
	for _, s := range h.at {
		s.eval(t, "e2e_fleet:event(up, E)")
	}
	return h
}

// boot starts the host's erluv.
func (h *fleetHost) boot(t *testing.T, name string, serve []*control, args ...string) {
	t.Helper()
	var names []string
	for _, c := range serve {
		names = append(names, c.name)
	}
	cmd := h.on.Command(executable, append([]string{
		"run", "--nodes", strings.Join(names, ","), "--name", name, "--host", h.on.Address, "--controller", "erluv_fleet",
		"--reconnect", "always", serve[0].cookieFile(),
	}, args...)...)
	e, err := serve[0].exec(nil, cmd.Args[0], cmd.Args[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	e.erluv = name + "@" + h.on.Address
	h.erluv = e
	t.Cleanup(func() {
		if err := e.stop(); err != nil {
			t.Error(err)
		}
		e.report(t)
	})
}

// through waits until these control nodes reach the host through the node by, or each through its
// own connection if by is nil.
func (h *fleetHost) through(t *testing.T, by *control, these ...*control) {
	t.Helper()
	for _, c := range these {
		via := c
		if by != nil {
			via = by
		}
		h.at[c].expect(t, "ok", "e2e:until(fun() -> ['"+via.name+"'] =:= [Via || #{via := Via} <- erluv_fleet:nodes(#{node => E})] end)")
	}
}

// cut drops all packets between two machines.
func (f *fleet) cut(t *testing.T, a, b *lan.Machine) {
	t.Helper()
	if err := errors.Join(f.lan.Cut(a, b), f.lan.Cut(b, a)); err != nil {
		t.Fatal(err)
	}
}

// mend undoes cut.
func (f *fleet) mend(t *testing.T, a, b *lan.Machine) {
	t.Helper()
	if err := errors.Join(f.lan.Mend(a, b), f.lan.Mend(b, a)); err != nil {
		t.Fatal(err)
	}
}
