// Package machine looks at the machine for the request info: load, memory, and the space of file
// systems. It looks only when it is asked. Package childproc calls it in the loop's thread, so the
// duration of a look is bounded. A file system that does not answer delays one look by patience,
// and counts as unknown.
package machine

import (
	"math"
	"path"
	"runtime"
	"strconv"
	"strings"
	"time"

	"erluv/eintr"
	"erluv/stat"

	"golang.org/x/sys/unix"
)

const (
	// patience is how long a look waits for file systems.
	patience = 20 * time.Millisecond

	// fresh is how long an answer of the file systems is used again.
	fresh = time.Second

	// maxLevels is how many control groups above the child's are checked.
	maxLevels = 32
)

// Looker looks at the machine. Only one goroutine may use it. The zero Looker knows no file
// systems.
type Looker struct {
	Paths []string // the file systems that have these paths

	root   string                          // the directory with proc and sys; "" means the machine's own
	statfs func(string) (stat.Disk, error) // nil means the kernel's

	disks []stat.Disk      // the last answer
	at    time.Time        // time of that answer
	under chan []stat.Disk // a look that has not ended; nil: there is none

	text [8 << 10]byte // for read: meminfo has 1,500 bytes, memory.stat 2,000
}

// Load returns the machine's load, nil if it cannot be read.
func (l *Looker) Load() *stat.Load {
	f := strings.Fields(l.read("/proc/loadavg"))
	if len(f) < 3 {
		return nil
	}
	load := &stat.Load{CPUs: runtime.NumCPU()}
	for i, to := range []*float64{&load.Avg1, &load.Avg5, &load.Avg15} {
		v, err := strconv.ParseFloat(f[i], 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		*to = v
	}
	return load
}

// Memory returns the machine's memory, within the limits of the child's control groups. It returns
// nil if it cannot be read.
func (l *Looker) Memory() *stat.Memory {
	m := &stat.Memory{Total: -1, Available: -1}
	for line := range strings.Lines(l.read("/proc/meminfo")) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, err := strconv.ParseInt(f[1], 10, 53)
		if err != nil {
			continue
		}
		switch f[0] {
		case "MemTotal:":
			m.Total = kib << 10
		case "MemAvailable:":
			m.Available = kib << 10
		}
	}
	if m.Total < 0 || m.Available < 0 {
		return nil
	}
	l.bound(m)
	return m
}

// files are the files of a version of control groups (cgroups(7)).
type files struct{ base, limit, usage, inactive string }

var (
	version2 = files{"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"}
	version1 = files{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"}
)

// bound applies the limits of the control groups of this process.
func (l *Looker) bound(m *stat.Memory) {
	for line := range strings.Lines(l.read("/proc/self/cgroup")) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(f) < 3:
		case f[0] == "0":
			l.boundBy(m, version2, f[2])
		case f[1] == "memory":
			l.boundBy(m, version1, f[2])
		}
	}
}

// boundBy checks a group and those above it. A container may not see the group under its name. In
// that case the group at the mount point is its own.
func (l *Looker) boundBy(m *stat.Memory, v files, group string) {
	group = path.Clean("/" + group)
	for range maxLevels {
		dir := v.base + group
		limit, ok := l.number(dir + "/" + v.limit)
		if ok && limit < m.Total && (m.Limit == 0 || limit < m.Limit) {
			m.Limit = limit
		}
		if usage, has := l.number(dir + "/" + v.usage); ok && has && limit < m.Total {
			left := limit - (usage - l.inactive(dir, v))
			m.Available = max(0, min(m.Available, left))
		}
		if group == "/" {
			return
		}
		group = path.Dir(group)
	}
}

// inactive is how many bytes of inactive file pages a group has. The kernel reclaims them first.
func (l *Looker) inactive(dir string, v files) int64 {
	for line := range strings.Lines(l.read(dir + "/memory.stat")) {
		if n, ok := strings.CutPrefix(line, v.inactive+" "); ok {
			bytes, _ := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
			return bytes
		}
	}
	return 0
}

// number reads a file with one number. ok is false for "max".
func (l *Looker) number(file string) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(l.read(file)), 10, 64)
	return n, err == nil
}

// read returns the content of a file of the kernel, or "". One call reads such a file whole.
func (l *Looker) read(file string) string {
	fd, err := eintr.Open(l.root+file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	n, err := eintr.Read(fd, l.text[:])
	if err != nil {
		return ""
	}
	return string(l.text[:n])
}

// Disks returns the file systems as they are, or were a second ago.
func (l *Looker) Disks() []stat.Disk {
	if l.disks != nil && time.Since(l.at) < fresh {
		return l.disks
	}
	if l.under != nil { // do not wait again for file systems that have not answered before
		select {
		case l.disks = <-l.under:
			l.under, l.at = nil, time.Now()
		default:
		}
		return l.told()
	}
	done := make(chan []stat.Disk, 1)
	go func() { done <- l.look() }() // the goroutine ends when the file systems have answered
	bound := time.NewTimer(patience)
	defer bound.Stop()
	select {
	case l.disks = <-done:
		l.at = time.Now()
	case <-bound.C:
		l.under = done
	}
	return l.told()
}

// told returns the last answer, or all file systems as unknown.
func (l *Looker) told() []stat.Disk {
	if l.disks != nil {
		return l.disks
	}
	unknown := make([]stat.Disk, len(l.Paths))
	for i, p := range l.Paths {
		unknown[i] = stat.Disk{Path: p, Unknown: true}
	}
	return unknown
}

func (l *Looker) look() []stat.Disk {
	ask := l.statfs
	if ask == nil {
		ask = statfs
	}
	disks := make([]stat.Disk, len(l.Paths))
	for i, p := range l.Paths {
		var err error
		disks[i], err = ask(p)
		disks[i].Path, disks[i].Unknown = p, err != nil
	}
	return disks
}

func statfs(p string) (d stat.Disk, err error) {
	var s unix.Statfs_t
	if err := eintr.Statfs(p, &s); err != nil {
		return d, err
	}
	unit := s.Frsize
	if unit == 0 {
		unit = s.Bsize
	}
	size := func(blocks uint64) int64 {
		if unit <= 0 || blocks > math.MaxInt64/uint64(unit) {
			return math.MaxInt64
		}
		return int64(blocks) * unit
	}
	return stat.Disk{Total: size(s.Blocks), Available: size(s.Bavail)}, nil
}
