package childproc

import (
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"erluv/ipc"
	"erluv/stat"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// info is erluv's report of itself to a node.
func (m *manager) info(target etf.Atom) etf.Map {
	n := m.node(target, true)
	return stat.Terms(n.Items())
}

func (m *manager) node(target etf.Atom, look bool) stat.Node {
	s := &m.start
	n := stat.Node{
		Name: string(m.name), Target: string(target), Version: s.ErluvVersion, Status: m.host.state.String(), Host: m.hostStat(look),
		User: s.User, UID: s.UID, GID: s.GID, AllowUsers: m.allowed(),
		MainPID: int(s.MainPID), ChildPID: os.Getpid(), SpawnerPID: int(s.SpawnerPID),
		Cookie: s.CookieSource, Controller: s.Controller,
		Contained: s.Contain, Reach: reach(s), Groups: s.Kept, Sandbox: sandbox(s.Sandbox),
		Uptime: time.Since(m.since), Workers: len(m.procs), MaxWorkers: int(s.MaxWorkers), RefusedFrames: m.refused,
	}
	n.Connections = m.connections()
	for i, dir := range s.Limits {
		n.Limits = append(n.Limits, stat.Limit{Name: ipc.Limit(i).String(), Has: dir != ""})
	}
	return n
}

// reach is how a stop finds the processes of a worker: by control group or by process group.
func reach(s *ipc.Start) string {
	if s.Leaves != "" && s.Contain != "group" {
		return "cgroup"
	}
	return "group"
}

// sandbox reports the child's sandbox: the mode and the parts as main has checked them, and the
// rest as the kernel reports it.
func sandbox(said string) stat.Sandbox {
	mode, parts, _ := strings.Cut(said, " ")
	part := func(name string) bool { return slices.Contains(strings.Fields(parts), name) }
	noNewPrivs, _ := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	dumpable, _ := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	var caps [2]unix.CapUserData
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	err := unix.Capget(&hdr, &caps[0])
	return stat.Sandbox{
		Mode: mode, Seccomp: part("seccomp"), Files: part("files"), Ports: part("ports"), Scope: part("scope"),
		NoNewPrivs:   noNewPrivs == 1,
		Capabilities: err != nil || caps[0].Permitted|caps[1].Permitted != 0,
		Dumpable:     dumpable != 0,
	}
}

func (m *manager) infoOf(target etf.Atom, key etf.Term) etf.Term {
	n := m.node(target, slices.Contains(ofMachine, key))
	for _, p := range stat.Terms(n.Items()) {
		if p.Key == key {
			return p.Value
		}
	}
	return gen.BadRequest(gen.Encode(etf.Tuple{etf.Atom("info"), key}))
}

const (
	// maxListed is the maximum number of workers in a list, so that the answer fits into the
	// outbox. Each needs about 150 bytes besides its command or path.
	maxListed = 200_000

	// listedText is the maximum number of bytes of commands and paths in a list, of all workers
	// together. For 10,000 workers that is 838 bytes each.
	listedText = 8 << 20
)

// list returns [{Worker, Info}], with the parts of Info that cost nothing.
func (m *manager) list() etf.Term {
	if len(m.procs) > maxListed {
		return gen.TooLarge(len(m.procs), maxListed)
	}
	share := listedText / max(len(m.procs), 1)
	l := make(etf.List, 0, len(m.procs))
	for _, p := range m.procs {
		l = append(l, etf.Tuple{p.self().pid, p.brief(m, share)})
	}
	return l
}

// brief is the method of proc.
func (p *program) brief(m *manager, longest int) etf.Map {
	prog := m.program(p, longest)
	return stat.Terms(prog.Items())
}

func (m *manager) program(p *program, longest int) stat.Program {
	told := stat.Program{
		Worker: process(p.pid), ID: m.ids.of[p], PID: p.w.PID(), Command: arguments(p.cmd, longest), User: m.start.Allowed[p.user].User,
		State: p.state(), Started: p.startedAt(), Restarts: p.restarts(),
	}
	if c := m.host.members[p]; c != nil {
		told.Class = c.Name
	}
	if p.run != nil {
		told.Caller = process(p.owner)
	}
	return told
}

// arguments splits a shortened command, and returns as many arguments as there is room for.
func arguments(cmd string, longest int) (list []string) {
	for a := range strings.SplitSeq(cmd, "\x00") {
		if longest <= 0 {
			break
		}
		list = append(list, cutShort(a, longest))
		longest -= len(a) + argumentCost
	}
	return list
}

// startedAt is the time of the start, zero before it.
func (e *entry) startedAt() time.Time {
	if e.started == 0 {
		return time.Time{}
	}
	return time.UnixMilli(e.started)
}

func process(pid etf.Pid) stat.Process {
	return stat.Process{Node: string(pid.Node), ID: pid.ID, Serial: pid.Serial, Creation: pid.Creation}
}

// state is the state of the program, or of the worker without it.
func (p *program) state() string {
	switch {
	case p.life.paused():
		return "resting"
	case p.stopped && p.w.State() == workers.Running:
		return "stopped"
	case p.life.drains():
		return workers.Draining.String() // for a reader
	}
	return p.w.State().String()
}

// info is the method of proc.
func (p *program) info(m *manager) etf.Map {
	prog := m.program(p, math.MaxInt)
	prog.Detail = m.detail(p)
	return stat.Terms(prog.Items())
}

func (m *manager) detail(p *program) *stat.Detail {
	counted := p.w.Counted()
	d := &stat.Detail{
		Ready: p.readiness(), Name: string(p.registered()), Owner: process(p.owner), Detached: p.detached != nil, Lost: p.lostOwner(), Restart: p.policy(),
		Packet: p.out.Packet.Told(), Active: p.out.Activity(), Counted: stat.Counted(counted),
		Stdin: m.streamInfo(p, workers.Stdin), Stdout: m.streamInfo(p, workers.Stdout), Stderr: m.streamInfo(p, workers.Stderr),
	}
	if cpu, rss, ok := usage(p.w); ok {
		d.CPU, d.RSS = &cpu, &rss
	}
	for s := range p.w.ExtraPipes {
		d.Further = append(d.Further, m.streamInfo(p, s))
	}
	return d
}

func (m *manager) streamInfo(p *program, s workers.Stream) stat.Stream {
	info := stat.Stream{No: int(s), Open: p.w.Open(s), Bytes: int64(p.w.Bytes(s))}
	if s == workers.Stdin {
		waiting := int64(p.w.Waiting())
		info.Waiting = &waiting
		return info
	}
	if !p.out.Has(s) {
		return info
	}
	info.Output = true
	if wait, ok := p.out.Waits(p, s); ok {
		info.Held = &stat.Held{By: process(wait.By), Bytes: int64(wait.Bytes), Queue: wait.Queue, Since: wait.Since, Lost: int64(wait.Lost)}
	}
	return info
}

// A worker keeps this much of its command for info, in bytes and in arguments. 10,000 workers with
// 2 MiB each would need 20 GiB.
const (
	cmdBytes = 4096
	cmdArgs  = 64
)

// argumentCost is how many bytes an argument needs in a list besides its own.
const argumentCost = 5

// cutShort returns s, or its first limit bytes and "..." if it is longer.
func cutShort(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "..."
}

// shorten keeps the beginning of a command, with NUL bytes between arguments, which contain none.
// "..." marks an omission.
func shorten(args []string) string {
	kept := make([]string, 0, min(len(args), cmdArgs+1))
	left := cmdBytes
	for i, a := range args {
		if i == cmdArgs || len(a) > left {
			kept = append(kept, a[:min(len(a), left)]+"...")
			break
		}
		kept = append(kept, a)
		left -= len(a)
	}
	return strings.Clone(strings.Join(kept, "\x00"))
}
