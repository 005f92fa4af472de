package spawner

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"syscall"

	"erluv/ipc"
	"erluv/sandbox"

	"golang.org/x/sys/unix"
)

// To enter a system call filter takes up to a tenth of the time of a start; to inherit one takes
// none. So the serving thread has the filter of an ordinary program, and its programs inherit it.
// No process can drop a filter. A program with more allowed calls is forked by a thread without
// filter, and enters its own before its exec.

// openThread forks programs with more allowed calls. It lasts as long as the process, because the
// kernel sends a program's PDEATHSIG at the end of the thread that forked it.
type openThread struct{ jobs chan func() }

// forkWord is an argument that clone3(2) does not use. With it the call passes the filter, which
// cannot see the call's flags. Programs do not know the word.
var forkWord uintptr

// forking is fork, on one of the two threads.
type forking func(program string, argv []string, attr *syscall.ProcAttr, c confinement) (numbers, *forkError)

func (s *spawner) fork(program string, argv []string, attr *syscall.ProcAttr, c confinement) (numbers, *forkError) {
	return fork(program, argv, attr, c)
}

// denyOrdinary makes a thread without filter, and then gives the calling thread the filter.
func denyOrdinary() (*openThread, error) {
	var word [8]byte
	if _, err := rand.Read(word[:]); err != nil {
		return nil, fmt.Errorf("cannot draw a random number: %w", err)
	}
	forkWord = uintptr(binary.NativeEndian.Uint64(word[:]) | 1)
	filter, err := sandbox.Denials{Ordinary: true, Fork: uint64(forkWord)}.Filter()
	if err != nil {
		return nil, err
	}
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot read the accuracy of timers: %w", err)
	}
	o := &openThread{jobs: make(chan func())}
	go func() { // ends with the process
		runtime.LockOSThread()
		// Programs inherit it, and the runtime may have another one: see mainproc/crew/stage.go. It
		// is 0 after a real-time policy. A 0 in the call would mean this thread's default.
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(max(slack, 1)), 0, 0, 0)
		for job := range o.jobs {
			job()
		}
	}()
	o.do(func() {})
	return o, sandbox.Deny(filter)
}

func (o *openThread) do(job func()) {
	done := make(chan struct{})
	o.jobs <- func() {
		defer close(done)
		job()
	}
	<-done
}

func (o *openThread) fork(program string, argv []string, attr *syscall.ProcAttr, c confinement) (is numbers, failed *forkError) {
	o.do(func() { is, failed = fork(program, argv, attr, c) })
	return is, failed
}

// forkFor returns the function that forks a program. It sets c.Deny if the program needs a filter
// of its own, since the open thread has none to inherit.
func (s *spawner) forkFor(c *ipc.Confine) forking {
	if s.open == nil || c.Allow&^ipc.AllowAttributes == 0 {
		return s.fork
	}
	c.Deny = true
	return s.open.fork
}

// filterOf returns the filter that a program needs beyond the inherited one; nil: none. If the root
// is a path for execution, a program gains nothing by a memfd, and the filter allows executable
// ones. The same holds for files' modes and flags if the root is a path for writing.
func filterOf(c *ipc.Confine) (*unix.SockFprog, error) {
	flags := c.Files && !holdsRoot(c.Write)
	k := filterKey{
		deny: c.Deny, flags: flags, owned: flags && c.Allow&ipc.AllowAttributes == 0, memfds: c.Files && !holdsRoot(c.Exec),
		net: c.Ports, connect: c.Ports && len(c.Connect) > 0,
	}
	if k == (filterKey{}) {
		return nil, nil
	}
	if c.Deny {
		k.allow = c.Allow &^ ipc.AllowAttributes // no other program is denied these
	}
	filters.Lock()
	defer filters.Unlock()
	if f := filters.of[k]; f != nil {
		return f, nil
	}
	f, err := sandbox.Denials{
		Ordinary: k.deny, Allow: k.allow.Names(), Owned: k.owned, Flags: k.flags, Memfds: k.memfds, Net: k.net, Connect: k.connect,
	}.Filter()
	if len(filters.of) >= maxFilters {
		clear(filters.of)
	}
	if err == nil {
		filters.of[k] = f
	}
	return f, err
}

func holdsRoot(paths []string) bool { return slices.Contains(paths, "/") }

// filterKey identifies a filter.
type filterKey struct {
	allow                                    ipc.Allow
	deny, owned, flags, memfds, net, connect bool
}

// maxFilters bounds the kept filters, of up to 4 kB each. A node uses a few combinations. When
// there are more, the spawner drops all kept filters and makes the new one.
const maxFilters = 64

var filters = struct {
	sync.Mutex
	of map[filterKey]*unix.SockFprog
}{of: make(map[filterKey]*unix.SockFprog)}
