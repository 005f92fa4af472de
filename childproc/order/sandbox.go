package order

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"erluv/ipc"
	"erluv/wire/etf"
)

const (
	// The most paths in each list of a sandbox, and the most ports. The spawner opens each path
	// whenever it starts the program.
	maxSandboxPaths = 64
	maxSandboxPorts = 64

	// The bounds of limits. With less memory than minMemory no program could begin. The other
	// bounds are the kernel's: it counts bytes in a signed number, and process numbers end at 2^22.
	minMemory, maxMemory = 1 << 20, 1 << 62 // bytes
	minPIDs, maxPIDs     = 1, 1 << 22
	minCPU, maxCPUShare  = 1, 100 * 8192 // percent of one processor
)

// toSandbox takes #{read => [Path], write => [Path], exec => [Path], net => none, connect =>
// [Port]}, or such pairs in a list.
func toSandbox(to *ipc.Confine, v etf.Term) error {
	list, bad := Options(v)
	if bad != nil {
		return errors.New("must be a map or list of read, write, exec, net and connect")
	}
	*to = ipc.Confine{Allow: to.Allow}
	none := false
	for _, p := range list {
		var err error
		switch key := p.Key.(etf.Atom); key {
		case "read":
			to.Files = true
			to.Read, err = sandboxPaths(key, p.Value)
		case "write":
			to.Files = true
			to.Write, err = sandboxPaths(key, p.Value)
		case "exec":
			to.Files = true
			to.Exec, err = sandboxPaths(key, p.Value)
		case "net":
			to.Ports, none = true, true
			if p.Value != etf.Atom("none") {
				err = errors.New("net must be none; for connections to some ports give connect instead")
			}
		case "connect":
			to.Ports = true
			to.Connect, err = sandboxPorts(p.Value)
		default:
			err = fmt.Errorf("%s is none of read, write, exec, net and connect", key)
		}
		if err != nil {
			return err
		}
	}
	if none && len(to.Connect) > 0 {
		return errors.New("net => none and connect exclude each other")
	}
	return nil
}

func sandboxPaths(key etf.Atom, v etf.Term) ([]string, error) {
	list, ok := v.(etf.List)
	if !ok || len(list) > maxSandboxPaths {
		return nil, fmt.Errorf("%s must be a list of up to %d paths, binaries or strings", key, maxSandboxPaths)
	}
	var paths []string
	for _, t := range list {
		p, err := pathOf(t)
		if err != nil || !path.IsAbs(p) {
			return nil, fmt.Errorf("%s must hold absolute paths, as binaries or strings", key)
		}
		paths = append(paths, p)
	}
	return paths, nil
}

func sandboxPorts(v etf.Term) ([]uint16, error) {
	bad := fmt.Errorf("connect must be a list of 1 to %d ports, numbers from 1 to 65535", maxSandboxPorts)
	list, ok := etf.Elements(v)
	if !ok || len(list) == 0 || len(list) > maxSandboxPorts {
		return nil, bad
	}
	var ports []uint16
	for _, t := range list {
		n, ok := t.(int64)
		if !ok || n < 1 || n > 65535 {
			return nil, bad
		}
		ports = append(ports, uint16(n))
	}
	return ports, nil
}

// toAllow takes a list of groups of system calls.
func toAllow(to *ipc.Confine, v etf.Term) error {
	bad := errors.New("must be a list of " + strings.Join(ipc.AllAllowed().Names(), ", "))
	list, ok := v.(etf.List)
	if !ok {
		return bad
	}
	to.Allow = 0
	for _, t := range list {
		name, ok := t.(etf.Atom)
		if !ok {
			return bad
		}
		a := ipc.AllowOf(string(name))
		if a == 0 {
			return fmt.Errorf("%w: there is no %s", bad, name)
		}
		to.Allow |= a
	}
	return nil
}

// settleAllow refuses an option that would undo a sandbox.
func (r *reading) settleAllow() *BadOption {
	c := &r.o.Spec.Attributes.Confine
	if c.Allow&ipc.AllowIOUring != 0 && (c.Files || c.Ports) {
		return &BadOption{etf.Atom("allow"), "io_uring does what sandbox forbids: give one of the two"}
	}
	return nil
}

// toLimits takes #{memory => Bytes, pids => N, cpu => Percent}, or such pairs in a list. A missing
// limit, or infinity, means no limit: the kernel's word for it is max.
func toLimits(to *ipc.Limits, v etf.Term) error {
	list, bad := Options(v)
	if bad != nil {
		return errors.New("must be a map or list of memory, pids and cpu")
	}
	*to = ipc.Limits{}
	for _, p := range list {
		var err error
		switch key := p.Key.(etf.Atom); key {
		case "memory":
			to.Memory, err = limitIn(p.Value, minMemory, maxMemory, "memory must be a number of bytes")
		case "pids":
			var n uint64
			n, err = limitIn(p.Value, minPIDs, maxPIDs, "pids must be a number of processes and threads")
			to.PIDs = uint32(n)
		case "cpu":
			var n uint64
			n, err = limitIn(p.Value, minCPU, maxCPUShare, "cpu must be a percentage of one processor, an integer")
			to.CPU = uint32(n)
		default:
			err = fmt.Errorf("%.50s is none of memory, pids and cpu", key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// limitIn reads a limit. It returns 0 for no limit.
func limitIn(v etf.Term, low, high int64, what string) (uint64, error) {
	if v == etf.Atom("infinity") {
		return 0, nil
	}
	n, ok := v.(int64)
	if !ok || n < low || n > high {
		return 0, fmt.Errorf("%s from %d to %d, or infinity", what, low, high)
	}
	return uint64(n), nil
}
