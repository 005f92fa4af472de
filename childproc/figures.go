package childproc

import (
	"cmp"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"erluv/childproc/order"
	"erluv/eintr"
	"erluv/stat"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

const (
	// maxMeasured is the maximum number of workers that one request measures. Each needs a look
	// into /proc, during which the loop does no other work.
	maxMeasured = 1000

	// maxNew is the maximum number of workers in one answer, newText the most bytes of their
	// commands.
	maxNew  = 2000
	newText = 1 << 20
)

// totals are counts since the child's start, including ended programs. They cost an addition when a
// program starts, ends or is held.
type totals struct {
	started uint64
	ended   [numEnds]uint64
	output  uint64        // of ended programs
	paused  time.Duration // of ended connections
}

// end is why a program has ended, or was not started. It is the label of a metric, so there are
// few.
type end uint8

const (
	endNormal end = iota
	endStatus
	endSignal
	endOOM
	endStopped // the worker was stopped
	endFault   // it ran too long, was silent, or was not ready in time
	endNotStarted
	numEnds
)

var endNames = [numEnds]string{"normal", "exit_status", "signal", "oom", "stopped", "timeout", "not_started"}

// endOf returns why a program has ended. A request to stop it counts more than its exit status.
func (p *program) endOf(e workers.Exit) end {
	switch {
	case p.life.told, p.restart != nil && p.restart.asked:
		return endStopped
	case p.told().failing != nil:
		return endFault
	case e.OOM:
		return endOOM
	case e.Signal != 0:
		return endSignal
	case e.Status != 0:
		return endStatus
	}
	return endNormal
}

// countEnd counts an ended program, and its output.
func (m *manager) countEnd(p *program, e workers.Exit) {
	m.totals.ended[p.endOf(e)]++
	m.totals.output += p.written()
}

// written is how many bytes the run of a program has written into pipes.
func (p *program) written() (n uint64) {
	for s := range p.out.Streams {
		n += p.w.Bytes(s)
	}
	return n
}

// figuresRequest answers {figures, Since, Workers, Then}, for callers that ask again and again. The
// answer has new workers and changed figures, and no more.
func (m *manager) figuresRequest(to caller, a args) bool {
	since, isNumber := a.list[0].(int64)
	list, isList := a.list[1].(etf.List)
	then, isTime := a.list[2].(int64)
	if !isNumber || since < 0 || !isList || len(list) > maxMeasured || !isTime || then < 0 {
		return false
	}
	of := make([]etf.Pid, len(list))
	for i, t := range list {
		pid, ok := t.(etf.Pid)
		if !ok {
			return false
		}
		of[i] = pid
	}
	f := m.figures(since, of, time.Duration(then)*time.Millisecond)
	to.reply(stat.Terms(f.Items()))
	return true
}

func (m *manager) figures(since int64, of []etf.Pid, then time.Duration) stat.Figures {
	t := &m.totals
	f := stat.Figures{
		Uptime: time.Since(m.since).Truncate(time.Millisecond), Status: m.host.state.String(), MaxWorkers: int(m.start.MaxWorkers),
		Started: t.started, Output: t.output, Paused: t.paused, Crashes: uint64(m.host.given.Crashes),
		Roles: m.roles(), Load: m.host.machine.Load(), Memory: m.host.machine.Memory(),
	}
	for i, n := range t.ended {
		f.Ended = append(f.Ended, stat.Count{Name: endNames[i], N: n})
	}
	for _, c := range m.clients {
		f.Paused += c.Paused()
		if c.isNode() {
			f.Nodes++
		}
	}
	f.Newest = int64(m.nextPid % gen.Numbers)
	if since > f.Newest { // the numbers have begun again
		since = 0
	}
	states := make(map[string]uint64)
	var found []*program
	for _, p := range m.procs {
		p, ok := p.(*program)
		if !ok {
			continue
		}
		f.Programs++
		states[p.state()]++
		if p.w.State() < workers.Gone {
			f.Output += p.written()
		}
		if numberOf(p.pid) > since {
			found = append(found, p)
		}
	}
	for name, n := range states {
		f.States = append(f.States, stat.Count{Name: name, N: n})
	}
	slices.SortFunc(f.States, func(a, b stat.Count) int { return cmp.Compare(a.Name, b.Name) })
	if len(found) > maxNew {
		slices.SortFunc(found, func(a, b *program) int { return cmp.Compare(numberOf(a.pid), numberOf(b.pid)) })
		found = found[:maxNew]
		f.Newest = numberOf(found[maxNew-1].pid)
	}
	for _, p := range found {
		f.New = append(f.New, stat.New{
			Program: m.program(p, newText/max(len(found), 1)), Name: string(p.registered()), Restart: p.policy(),
		})
	}
	for _, pid := range of {
		if p, ok := m.find(pid).(*program); !ok {
			f.Gone = append(f.Gone, process(pid))
		} else if seen := m.measure(p, f.Uptime); seen.changed >= then {
			f.Measured = append(f.Measured, seen.is)
		}
	}
	return f
}

// numberOf returns the number that newPid gave to a pid.
func numberOf(p etf.Pid) int64 { return int64(p.Serial)<<gen.IDBits | int64(p.ID) }

// policy is the option restart.
func (p *program) policy() string {
	when := order.Temporary
	if p.restart != nil {
		when = p.restart.When
	}
	return when.String()
}

// seen is the last measurement of a program.
type seen struct {
	is      stat.Measured
	changed time.Duration // the child's uptime when a measurement found another value
	clock   int64         // the program's processor time, in nanoseconds; 0: unknown
	read    time.Duration // uptime of the last look into /proc
}

// readFor is how long the child trusts the memory of a program that does not run. The kernel can take
// some of it back.
const readFor = 30 * time.Second

// measure returns the changing figures of a program, with the time of their last change.
//
// Most programs sleep most of the time. One system call reads a program's clock. If the clock has
// not moved, the program has used nothing since. A look into /proc takes twenty times as long.
func (m *manager) measure(p *program, now time.Duration) *seen {
	is := stat.Measured{
		Worker: process(p.pid), PID: p.w.PID(), State: p.state(), Started: p.startedAt(), Restarts: p.restarts(), Output: p.written(),
	}
	for s := range p.out.Streams {
		if _, held := p.out.Waits(p, s); held {
			is.Held = true
		}
	}
	if m.seen == nil {
		m.seen = make(map[uint64]*seen)
	}
	last := m.seen[key(p.pid)]
	clock, read := clockOf(is.PID), now
	if last != nil && clock != 0 && clock == last.clock && is.PID == last.is.PID && now-last.read < readFor {
		is.CPU, is.RSS, read = last.is.CPU, last.is.RSS, last.read
	} else if cpu, rss, ok := usage(p.w); ok {
		is.CPU, is.RSS = &cpu, &rss
	}
	if used := p.w.Memory(); used >= 0 && is.RSS != nil {
		is.RSS = &used
	}
	if last == nil {
		last = &seen{}
		m.seen[key(p.pid)] = last
	}
	if !last.is.Equal(&is) {
		last.changed = now
	}
	last.is, last.clock, last.read = is, clock, read
	return last
}

// clockOf returns the processor time of a process by its clock (clock_getcpuclockid(3)), or 0.
func clockOf(pid int) (nanoseconds int64) {
	const clockOfProcess = 2 // CPUCLOCK_SCHED, in the low three bits
	var t unix.Timespec
	if pid <= 0 || unix.ClockGettime(int32(^pid<<3|clockOfProcess), &t) != nil {
		return 0
	}
	return t.Nano()
}

// roles are erluv's own processes, as far as the child knows them.
func (m *manager) roles() []stat.Role {
	roles := []stat.Role{
		{Name: "main", PID: int(m.start.MainPID)}, {Name: "child", PID: os.Getpid()}, {Name: "spawner", PID: int(m.start.SpawnerPID)},
	}
	for _, user := range slices.Sorted(maps.Keys(m.otherPIDs)) {
		if pid := m.otherPIDs[user]; pid != 0 {
			roles = append(roles, stat.Role{Name: "spawner", PID: int(pid)})
		}
	}
	for i := range roles {
		if cpu, rss, ok := statOf(roles[i].PID); ok {
			roles[i].CPU, roles[i].RSS = &cpu, &rss
		}
	}
	return roles
}

// usage returns the resources that a worker's program has used. It then sends signal 0 to the
// program, so that the figures cannot be those of another process with the same number.
func usage(w *workers.Worker) (cpu time.Duration, rss int64, ok bool) {
	if cpu, rss, ok = statOf(w.PID()); !ok || w.Signal(0) != nil {
		return 0, 0, false
	}
	return cpu, rss, true
}

// statOf reads processor time and memory of a process (proc_pid_stat(5)).
func statOf(pid int) (cpu time.Duration, rss int64, ok bool) {
	if pid <= 0 {
		return 0, 0, false
	}
	fd, err := eintr.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, 0, false
	}
	defer unix.Close(fd)
	var text [1024]byte // 52 fields, including a name of 15 characters
	n, err := eintr.Read(fd, text[:])
	if err != nil {
		return 0, 0, false
	}
	b := string(text[:n])
	f := strings.Fields(b[strings.LastIndexByte(b, ')')+1:])
	if len(f) < 22 {
		return 0, 0, false
	}
	utime, _ := strconv.ParseInt(f[11], 10, 64)
	stime, _ := strconv.ParseInt(f[12], 10, 64)
	pages, _ := strconv.ParseInt(f[21], 10, 64)
	const clockTick = 10 * time.Millisecond // USER_HZ is 100 on every Linux architecture
	return time.Duration(utime+stime) * clockTick, pages * int64(os.Getpagesize()), true
}
