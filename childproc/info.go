package childproc

import (
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// pairs makes a map with atoms as keys.
func pairs(kv ...any) etf.Map {
	m := make(etf.Map, 0, len(kv)/2)
	for i := 0; i < len(kv); i += 2 {
		m = append(m, etf.Pair{Key: etf.Atom(kv[i].(string)), Value: kv[i+1]})
	}
	return m
}

// info is what erluv says of itself. Nobody can alter it.
func (m *manager) info() etf.Map {
	s := &m.start
	return pairs(
		"node", etf.Atom(s.Node),
		"target", etf.Atom(s.Target),
		"version", text(s.ErluvVersion),
		"status", etf.Atom(m.phase.String()),
		"user", text(s.User),
		"uid", int64(s.UID),
		"gid", int64(s.GID),
		"main_os_pid", int64(s.MainPID),
		"child_os_pid", int64(os.Getpid()),
		"spawner_os_pid", int64(s.SpawnerPID),
		"allow_users", m.allowed(),
		"cookie", text(s.CookieSource), // where it is from, never what it is
		"controller", etf.Atom(s.Controller),
		"contained", etf.Atom(s.Contain),
		"reach", reach(s),
		"groups", etf.Atom(s.Kept),
		"uptime", time.Since(m.since).Milliseconds(),
		"workers", int64(len(m.procs)),
		"max_workers", int64(s.MaxWorkers),
		"refused_frames", int64(m.refused),
		"sandbox", sandbox(s.Sandbox),
		"limits", limitsInfo(s.Limits),
	)
}

// reach is by what `stop` and the like find what a worker has started.
func reach(s *served) etf.Atom {
	if s.Leaves != "" && s.Contain != "group" {
		return "cgroup"
	}
	return "group"
}

// sandbox is what confines us: main's word for the mode and the parts, which it has
// looked at, and the kernel's for the rest.
func sandbox(said string) etf.Map {
	mode, parts, _ := strings.Cut(said, " ")
	part := func(name string) etf.Term { return boolTerm(slices.Contains(strings.Fields(parts), name)) }
	noNewPrivs, _ := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	dumpable, _ := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	var caps [2]unix.CapUserData
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	err := unix.Capget(&hdr, &caps[0])
	return pairs(
		"mode", etf.Atom(mode),
		"seccomp", part("seccomp"),
		"files", part("files"),
		"ports", part("ports"),
		"scope", part("scope"),
		"no_new_privs", boolTerm(noNewPrivs == 1),
		"capabilities", boolTerm(err != nil || caps[0].Permitted|caps[1].Permitted != 0),
		"dumpable", boolTerm(dumpable != 0),
	)
}

func (m *manager) infoOf(key etf.Term) etf.Term {
	for _, p := range m.info() {
		if p.Key == key {
			return p.Value
		}
	}
	return gen.BadRequest(gen.Encode(etf.Tuple{etf.Atom("info"), key}))
}

const (
	// maxListed bounds how many workers are listed, so that the answer fits into the
	// outbox: each has about 150 bytes besides its command or path.
	maxListed = 200_000

	// listedText is how many bytes of commands and paths there are in a list, of all
	// workers together: 838 of each of 10,000.
	listedText = 8 << 20
)

// list is [{Worker, Info}] with what can be told of each at no cost.
func (m *manager) list() etf.Term {
	if len(m.procs) > maxListed {
		return gen.TooLarge(len(m.procs), maxListed)
	}
	share := listedText / max(len(m.procs), 1)
	l := make(etf.List, 0, len(m.procs))
	for _, p := range m.procs {
		l = append(l, etf.Tuple{p.pid, m.brief(p, share)})
	}
	return l
}

// brief is what is told at no cost, with a command or path of about so many bytes at most.
func (m *manager) brief(p *proc, longest int) etf.Map {
	if p.fs != nil {
		return p.watchBrief(longest)
	}
	var cmd etf.List
	for a := range strings.SplitSeq(p.cmd, "\x00") {
		if longest <= 0 {
			break
		}
		cmd = append(cmd, text(cutShort(a, longest)))
		longest -= len(a) + argumentCost
	}
	var started etf.Term = etf.Atom("undefined")
	if p.started != 0 {
		started = p.started
	}
	return pairs(
		"os_pid", int64(p.w.PID()),
		"cmd", cmd,
		"user", text(m.start.Allowed[p.user].User),
		"state", p.stateTerm(),
		"started", started, // milliseconds, as erlang:system_time(millisecond)
		"restarts", int64(p.restart.restarts()),
	)
}

// stateTerm is the state of the program, or of the worker beyond it.
func (p *proc) stateTerm() etf.Term {
	switch {
	case p.rests():
		return etf.Atom("resting")
	case p.stopped && p.w.State() == workers.Running:
		return etf.Atom("stopped")
	case p.over:
		return etf.Atom(workers.Draining.String()) // to a reader
	}
	return etf.Atom(p.w.State().String())
}

// workerInfo is what a worker says of itself.
func (m *manager) workerInfo(p *proc) etf.Term {
	if p.fs != nil {
		return p.watchInfo()
	}
	cpu, rss := usage(p.w)
	info := append(m.brief(p, math.MaxInt), p.readyInfo()...)
	return append(info, pairs(
		"name", p.nameTerm(),
		"owner", p.ownerTerm(),
		"detached", boolTerm(p.detached),
		"packet", p.packet.term(),
		"active", p.activeTerm(),
		"cpu", cpu, // milliseconds, of all its threads
		"rss", rss, // bytes
		"cgroup", counted(p.w),
		"stdin", m.streamInfo(p, workers.Stdin),
		"stdout", m.streamInfo(p, workers.Stdout),
		"stderr", m.streamInfo(p, workers.Stderr),
		"fds", m.fdsInfo(p),
	)...)
}

// nameTerm is [] without a name, as erlang:process_info(Pid, registered_name).
func (p *proc) nameTerm() etf.Term {
	if p.name == "" {
		return etf.List(nil)
	}
	return p.name
}

func (p *proc) ownerTerm() etf.Term {
	if p.owner == (etf.Pid{}) {
		return etf.Atom("none")
	}
	return p.owner
}

func (m *manager) streamInfo(p *proc, s workers.Stream) etf.Map {
	info := pairs("open", boolTerm(p.w.Open(s)), "bytes", int64(p.w.Bytes(s)))
	if s == workers.Stdin {
		return append(info, etf.Pair{Key: etf.Atom("waiting"), Value: int64(p.w.Waiting())})
	}
	for i := range p.streams {
		if st := &p.streams[i]; st.no == s {
			info = append(info, etf.Pair{Key: etf.Atom("held"), Value: m.heldTerm(p, st)})
		}
	}
	return info
}

// usage reads processor time and memory of a worker's program (proc(5), stat).
// The program is asked for with signal 0 afterwards, so that what was read is not
// that of another process with the same number.
func usage(w *workers.Worker) (cpu, rss etf.Term) {
	none := etf.Atom("undefined")
	b, err := os.ReadFile("/proc/" + strconv.Itoa(w.PID()) + "/stat")
	if err != nil || w.Signal(0) != nil {
		return none, none
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 22 {
		return none, none
	}
	utime, _ := strconv.ParseInt(f[11], 10, 64)
	stime, _ := strconv.ParseInt(f[12], 10, 64)
	pages, _ := strconv.ParseInt(f[21], 10, 64)
	const clockTick = 10 // ms: USER_HZ is 100 on every Linux architecture
	return (utime + stime) * clockTick, pages * int64(os.Getpagesize())
}

// counted is what the control groups of a worker have counted: of the program and all that
// it has started, ended ones too. What nobody counts is not there.
func counted(w *workers.Worker) etf.Map {
	c := w.Counted()
	m := etf.Map{}
	for _, e := range []struct {
		key string
		n   int64
	}{
		{"memory", c.Memory}, {"memory_peak", c.MemoryPeak}, {"oom_kills", c.OOMKills}, // bytes, bytes
		{"pids", c.Processes}, {"cpu", c.CPU}, // milliseconds
	} {
		if e.n >= 0 {
			m = append(m, etf.Pair{Key: etf.Atom(e.key), Value: e.n})
		}
	}
	return m
}

// A worker keeps so much of its command for those who ask, in bytes and in
// arguments; 10,000 workers with 2 MiB each would be 20 GiB.
const (
	cmdBytes = 4096
	cmdArgs  = 64
)

// argumentCost is what an argument costs in a list besides its bytes.
const argumentCost = 5

// cutShort is s, or its first bytes and "..." when it is longer than limit.
func cutShort(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "..."
}

// shorten keeps the beginning of a command, its arguments separated by NUL bytes,
// which none of them has; "..." stands for what was left out.
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
