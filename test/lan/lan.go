// Package lan has machines on one computer, for tests and for the demo of the fleet. Each is a
// network namespace with one cable to a router, which is a namespace too. While the way from one
// machine to another is cut, packets on it are lost silently. No link goes down, and neither side
// gets an error.
//
// The namespaces have no names. Each lives as long as a process in it. So nothing is left of them
// when the process that made them ends, in any way.
package lan

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// LAN is the router, and everything connected to it.
type LAN struct {
	router  *holder
	holders []*holder // of the machines
}

// Machine is a network namespace with the loopback and one address.
type Machine struct {
	Address string // of IPv4

	holder *holder
}

// holder is the process that keeps a namespace. It ends when its standard input does.
type holder struct {
	cmd *exec.Cmd
	in  io.Closer
}

// New makes a router without machines. It needs root, CAP_SYS_ADMIN and CAP_NET_ADMIN, and
// iproute2.
func New() (*LAN, error) {
	for _, program := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("cannot lay cables: %w (Debian has it in iproute2 and util-linux)", err)
		}
	}
	router, err := hold()
	if err != nil {
		return nil, fmt.Errorf("cannot make a network namespace, which root with CAP_SYS_ADMIN can: %w", err)
	}
	l := &LAN{router: router}
	if err := l.run("echo 1 >/proc/sys/net/ipv4/ip_forward"); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func hold() (*holder, error) {
	h := &holder{cmd: exec.Command("cat")}
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	in, err := h.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	h.in = in
	return h, h.cmd.Start()
}

func (h *holder) close() error {
	return errors.Join(h.in.Close(), h.cmd.Wait())
}

// inside makes a command that becomes a program in the namespace.
func (h *holder) inside(program string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--target=" + strconv.Itoa(h.cmd.Process.Pid), "--net", program}, args...)...)
}

// run has the router's shell run a script, with the arguments $1 and so on.
func (l *LAN) run(script string, args ...string) error {
	cmd := l.router.inside("sh", append([]string{"-euc", script, "sh"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot lay cables, which root with CAP_NET_ADMIN can: %v: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// cable connects a machine, whose holder is $2, as number $1.
const cable = `
	ip link add "m$1" type veth peer name eth0 netns "$2"
	ip address add "10.77.$1.1/30" dev "m$1"
	ip link set "m$1" up
	nsenter --target="$2" --net sh -euc '
		ip link set lo up
		ip address add "10.77.$1.2/30" dev eth0
		ip link set eth0 up
		ip route add default via "10.77.$1.1"' sh "$1"`

// Machine adds a machine.
func (l *LAN) Machine() (*Machine, error) {
	h, err := hold()
	if err != nil {
		return nil, fmt.Errorf("cannot make a network namespace: %w", err)
	}
	l.holders = append(l.holders, h)
	number := len(l.holders)
	if err := l.run(cable, strconv.Itoa(number), strconv.Itoa(h.cmd.Process.Pid)); err != nil {
		return nil, err
	}
	return &Machine{Address: fmt.Sprintf("10.77.%d.2", number), holder: h}, nil
}

// Command makes a command that becomes the program, on the machine. Its process ID is the
// program's.
func (m *Machine) Command(program string, args ...string) *exec.Cmd {
	return m.holder.inside(program, args...)
}

// Cut makes all packets from one machine to another be lost from now on. Cut a way only once.
func (l *LAN) Cut(from, to *Machine) error { return l.rule("add", from, to) }

// Mend undoes Cut.
func (l *LAN) Mend(from, to *Machine) error { return l.rule("delete", from, to) }

func (l *LAN) rule(what string, from, to *Machine) error {
	return l.run(`ip rule "$1" from "$2" to "$3" blackhole`, what, from.Address, to.Address)
}

// Close ends the processes that hold the namespaces. If a program runs on a machine, the machine
// exists until the program ends, without a cable.
func (l *LAN) Close() error {
	var errs []error
	for _, h := range append(l.holders, l.router) {
		errs = append(errs, h.close())
	}
	return errors.Join(errs...)
}
