package spawner

import (
	"errors"
	"fmt"
	"strconv"

	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// limiter makes the control groups (cgroups(7)) of programs with limits. In version 1, a program
// gets a group in each hierarchy that its limits need, in a directory that main has made
// (cgroup.Limits). The group is removed when the program is over. In version 2 the program's leaf
// has the limits, and is not reused.
type limiter struct {
	dirs [ipc.NumLimits]limitDir
	next uint32
	used []uint32 // released; some may still have processes
}

type limitDir struct {
	path string // "": this limit is not available
	fd   int
	leaf bool // version 2: the directory of the leaves
}

// setting is one value of a limit, in a file of a group. An optional file may be missing.
type setting struct {
	file, value string
	optional    bool
}

// cpuPeriod is the period, in microseconds, over which the kernel counts a share of a processor:
// the kernel's default.
const cpuPeriod = 100000

// settings are the values of one limit, in version 1 (Documentation/admin-guide/cgroup-v1) or 2
// (cgroup-v2.rst). A limit of memory includes swap, where the kernel accounts swap.
func settings(limit ipc.Limit, value uint64, v2 bool) []setting {
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	quota := number(value * cpuPeriod / 100)
	switch {
	case limit == ipc.LimitMemory && v2:
		return []setting{{"memory.max", number(value), false}, {"memory.swap.max", "0", true}}
	case limit == ipc.LimitMemory:
		return []setting{{"memory.limit_in_bytes", number(value), false}, {"memory.memsw.limit_in_bytes", number(value), true}}
	case limit == ipc.LimitPIDs:
		return []setting{{"pids.max", number(value), false}}
	case v2:
		return []setting{{"cpu.max", quota + " " + number(cpuPeriod), false}}
	}
	return []setting{{"cpu.cfs_period_us", number(cpuPeriod), false}, {"cpu.cfs_quota_us", quota, false}}
}

func newLimiter(dirs ipc.LimitDirs, leaves string) (*limiter, error) {
	l := &limiter{}
	for i, path := range dirs {
		d := &l.dirs[i]
		d.path, d.fd, d.leaf = path, -1, path != "" && path == leaves
		if path == "" || d.leaf {
			continue
		}
		var err error
		if d.fd, err = eintr.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
			return nil, fmt.Errorf("cannot open %s: %w", path, err)
		}
	}
	return l, nil
}

// each calls f for each requested limit, until f refuses.
func (l *limiter) each(want *ipc.Limits, f func(i ipc.Limit, d *limitDir) *ipc.Refusal) *ipc.Refusal {
	for i := range ipc.NumLimits {
		if want.Of(i) == 0 {
			continue
		}
		if no := f(i, &l.dirs[i]); no != nil {
			return no
		}
	}
	return nil
}

// inLeaf reports whether a program's limits need a leaf that no program has used before.
func (l *limiter) inLeaf(want *ipc.Limits) (yes bool) {
	l.each(want, func(_ ipc.Limit, d *limitDir) *ipc.Refusal {
		yes = yes || d.leaf
		return nil
	})
	return yes
}

// site is a program's place: its leaf, and its groups beside that.
type site struct {
	leaf   leaf
	number uint32 // of the groups; 0: none
	enter  []int  // the files cgroup.procs of the groups, and of a leaf of version 1
	inLeaf bool   // the leaf has limits too
}

func (p *site) close() {
	ipc.CloseAll(p.enter)
	p.enter = nil
}

func refusedLimit(i ipc.Limit, err error) *ipc.Refusal {
	return &ipc.Refusal{Stage: ipc.StageLimits, Errno: ipc.ErrnoOf(err), Limit: i}
}

// take makes the groups for the requested limits, and sets the limits.
func (l *limiter) take(want *ipc.Limits, p *site) *ipc.Refusal {
	if want.None() {
		return nil
	}
	p.inLeaf = l.inLeaf(want)
	l.retry()
	no := l.each(want, func(i ipc.Limit, d *limitDir) *ipc.Refusal {
		if d.path == "" {
			return refusedLimit(i, unix.ENOTSUP)
		}
		return nil
	})
	if no == nil {
		no = l.make(want, p)
	}
	if no != nil {
		l.undo(p)
	}
	return no
}

func (l *limiter) make(want *ipc.Limits, p *site) *ipc.Refusal {
	defer asKeeper()()
	made := make(map[string]bool)
	return l.each(want, func(i ipc.Limit, d *limitDir) *ipc.Refusal {
		at := p.leaf.fd
		if !d.leaf {
			if p.number == 0 {
				if err := l.number(d, p); err != nil {
					return refusedLimit(i, err)
				}
				made[d.path] = true
			}
			fd, err := l.enter(d, p, !made[d.path])
			made[d.path] = true
			if err != nil {
				return refusedLimit(i, err)
			}
			defer unix.Close(fd)
			at = fd
		}
		for _, s := range settings(i, want.Of(i), d.leaf) {
			if err := write(at, s.file, s.value); err != nil && (!s.optional || err != unix.ENOENT) {
				return refusedLimit(i, err)
			}
		}
		return nil
	})
}

// number chooses the number of a program's groups, and makes the first of them.
func (l *limiter) number(d *limitDir, p *site) error {
	for {
		l.next++
		err := eintr.Mkdirat(d.fd, name(l.next), 0o755)
		if err == unix.EEXIST {
			continue
		}
		if err == nil {
			p.number = l.next
		}
		return err
	}
}

// enter opens a group and its file cgroup.procs. With fresh it makes the group first. Otherwise the
// group exists for another controller of the same hierarchy.
func (l *limiter) enter(d *limitDir, p *site, fresh bool) (fd int, err error) {
	if fresh {
		if err := eintr.Mkdirat(d.fd, name(p.number), 0o755); err != nil && err != unix.EEXIST {
			return -1, err
		}
	}
	// The mode must not depend on the umask, which is the last program's.
	if err := eintr.Fchmodat(d.fd, name(p.number), 0o755, 0); err != nil {
		return -1, err
	}
	if fd, err = eintr.Openat(d.fd, name(p.number), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return -1, err
	}
	if err := p.open(fd); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// open opens the file that a program enters a group by.
func (p *site) open(group int) error {
	defer asKeeper()()
	procs, err := eintr.Openat(group, "cgroup.procs", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		p.enter = append(p.enter, procs)
	}
	return err
}

func write(dir int, file, value string) error {
	fd, err := eintr.Openat(dir, file, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = eintr.Write(fd, []byte(value))
	return err
}

// undo removes the groups of a program that was not started.
func (l *limiter) undo(p *site) {
	p.close()
	if p.number != 0 {
		l.release([]uint32{p.number})
		p.number = 0
	}
}

// release removes groups that are no longer needed. A group may still have processes that the
// program left behind. The limiter tries again when it makes or releases others.
func (l *limiter) release(numbers []uint32) {
	l.used = append(l.used, numbers...)
	l.retry()
}

// maxRetries is how many groups one call of retry tries to remove.
const maxRetries = 64

func (l *limiter) retry() {
	if len(l.used) == 0 {
		return
	}
	defer asKeeper()()
	for range min(len(l.used), maxRetries) {
		n := l.used[0]
		l.used = l.used[1:]
		if !l.remove(n) {
			l.used = append(l.used, n)
		}
	}
}

func (l *limiter) remove(n uint32) bool {
	gone := true
	for _, d := range l.dirs {
		if d.path != "" && !d.leaf {
			err := eintr.Unlinkat(d.fd, name(n), unix.AT_REMOVEDIR)
			gone = gone && !errors.Is(err, unix.EBUSY)
		}
	}
	return gone
}
