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

// A filter of system calls costs as much as a tenth of a start when it is entered, and
// nothing when it is inherited. So the thread that serves has the filter of an ordinary
// program, and its programs inherit it. A filter cannot be given up: a program that is
// allowed more is forked by a thread that has none, and enters its own before its exec.

// openThread forks the programs that are allowed more. It lasts as long as the process,
// for a program's PDEATHSIG is sent when the thread that started it ends.
type openThread struct{ jobs chan func() }

// forkWord is an argument that clone3(2) does not use. With it the call passes the
// filter, which cannot see what is asked for; a program does not know it.
var forkWord uintptr

// forking is fork, on whatever thread.
type forking func(program string, argv []string, attr *syscall.ProcAttr, c confinement) (numbers, *forkError)

func (s *spawner) fork(program string, argv []string, attr *syscall.ProcAttr, c confinement) (numbers, *forkError) {
	return fork(program, argv, attr, c)
}

// denyOrdinary gives the calling thread the filter, once there is a thread without it.
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
	o := &openThread{jobs: make(chan func())}
	go func() { // ends with the process
		runtime.LockOSThread()
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

// forkFor says by which thread a program is forked, and whether it is denied anything
// before its exec that the others have inherited.
func (s *spawner) forkFor(c *ipc.Confine) forking {
	if s.open == nil || c.Allow&^ipc.AllowAttributes == 0 {
		return s.fork
	}
	c.Deny = true
	return s.open.fork
}

// filterOf is what a program is denied beside what it inherits; nil: nothing. Everything
// may be executed, or written to, where a path is the root: then nothing is gained by a
// memfd, or by a file's mode.
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
		k.allow = c.Allow &^ ipc.AllowAttributes // which no other program is denied
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

// filterKey is what the filters differ in.
type filterKey struct {
	allow                                    ipc.Allow
	deny, owned, flags, memfds, net, connect bool
}

// maxFilters bounds the filters that are kept, of up to 4 kB each: a node asks for a few
// combinations, and any further one is made anew.
const maxFilters = 64

var filters = struct {
	sync.Mutex
	of map[filterKey]*unix.SockFprog
}{of: make(map[filterKey]*unix.SockFprog)}
