package spawner

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// TestNoRoomForARequest: a request is answered even if its descriptors find no room, also in a
// memfd. Running programs continue, and with room everything works again.
func TestNoRoomForARequest(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		p := serving(t, reports)
		pid := p.cmd.Process.Pid
		runs := p.spawned(program("sleep", "1000"))
		pipe := func(args ...string) *ipc.Spawn {
			m := program(args...)
			m.Streams[0].Source = ipc.SourceFD
			return m
		}
		long := pipe("true", strings.Repeat("x", ipc.MaxPacket))
		packet, memfd, err := ipc.PackSpawn(long.Seq, ipc.Append(nil, long))
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(memfd)
		null := none(t)
		for range 3 {
			var old unix.Rlimit
			if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
				t.Fatal(err)
			}
			if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}, nil); err != nil {
				t.Fatal(err)
			}
			want := ipc.Spawned{Seq: 9, Refusal: ipc.Refusal{Stage: ipc.StageProgram, Errno: unix.EMFILE}}
			p.say(p.child, pipe("true"), null)
			if m := answer(p); m != want {
				t.Errorf("%#v", m)
			}
			if err := p.child.Send(packet, patience, null, memfd); err != nil {
				t.Fatal(err)
			}
			if m := answer(p); m != want {
				t.Errorf("%#v", m)
			}
			if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &old, nil); err != nil {
				t.Fatal(err)
			}
			p.say(p.child, pipe("true"), null)
			if m := answer(p); m.Stage != ipc.StageNone {
				t.Errorf("%+v", m)
			}
		}
		if gone(runs.PID) {
			t.Error("another program has ended")
		}
	})
}

// answer returns the next message that is not about the end of a program.
func answer(p *process) ipc.Spawned {
	p.t.Helper()
	for {
		m, _ := p.hear(p.child)
		if s, ok := m.(ipc.Spawned); ok {
			return s
		}
	}
}

// TestEndWithoutDescriptors: the spawner ends its programs under any limit of descriptors.
func TestEndWithoutDescriptors(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		p := serving(t, reports)
		a := p.spawned(program("sleep", "1000"))
		var old unix.Rlimit
		if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
			t.Fatal(err)
		}
		if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}, nil); err != nil {
			t.Fatal(err)
		}
		p.childEnds()
		if !gone(a.PID) {
			t.Error("its program is left")
		}
	})
}

// none returns a descriptor of /dev/null.
func none(t *testing.T) int {
	t.Helper()
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// TestProgramThatCannotBeHandedOver: if too many descriptors are on their way to the child, a new
// program is ended, and the child gets an error.
func TestProgramThatCannotBeHandedOver(t *testing.T) {
	var as *syscall.Credential
	if os.Getuid() == 0 { // the limit does not apply to root
		as = &syscall.Credential{Uid: 61_234, Gid: 61_234}
	}
	const limit = 30
	p := beginAs(t, as, strconv.Itoa(limit))
	p.serve(ipc.StartSpawner{Reports: !ipc.PidfdsSuffice()})
	// Their pidfds stay on their way until the test receives them.
	const n = limit + 2
	for range n {
		p.say(p.child, program("sleep", "1000"))
	}
	p.say(p.child, ipc.SignalGroup{PID: 1 << 21})
	all := n*len(ipc.Append(nil, ipc.Spawned{})) + len(ipc.Append(nil, ipc.GroupSignalled{}))
	for end := time.Now().Add(patience); ; <-time.After(5 * time.Millisecond) {
		waiting, err := unix.IoctlGetInt(p.child.FD(), unix.TIOCINQ)
		if err != nil || time.Now().After(end) {
			t.Fatalf("%d bytes of %d are answered, %v", waiting, all, err)
		}
		if waiting == all {
			break
		}
	}
	var pids []uint32
	for range n {
		m, _ := p.hear(p.child)
		s := m.(ipc.Spawned)
		if s.Stage == ipc.StageNone {
			pids = append(pids, s.PID)
		} else if s != (ipc.Spawned{Seq: 9, Refusal: ipc.Refusal{Stage: ipc.StageProgram, Errno: unix.ETOOMANYREFS}}) {
			t.Fatalf("%+v", s)
		}
	}
	if m, _ := p.hear(p.child); m != (ipc.GroupSignalled{PID: 1 << 21, Errno: uint32(unix.ESRCH)}) {
		t.Errorf("%#v", m)
	}
	if len(pids) != limit+1 {
		t.Errorf("%d programs were handed over, the limit is %d", len(pids), limit)
	}
	for _, pid := range pids {
		if gone(pid) {
			t.Error("one that was handed over has ended")
		}
	}
}

// TestReserve: the reserve serves when there is no other descriptor, and is renewed later.
func TestReserve(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	r, err := newReserve()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		next := none(t) // the next descriptor has a higher number
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(next) + 1, Max: old.Max}); err != nil {
			t.Fatal(err)
		}
		_, before := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		fd, err := r.openat(unix.AT_FDCWD, "/dev/null", unix.O_RDONLY)
		if err != nil || before != unix.EMFILE {
			t.Errorf("opened: %v, and before: %v", err, before)
		}
		_ = unix.Close(fd)
		if again, err := r.openat(unix.AT_FDCWD, "/dev/null", unix.O_RDONLY); err != nil {
			t.Error(err)
		} else {
			_ = unix.Close(again)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
		fd, _ = r.openat(unix.AT_FDCWD, "/dev/null", unix.O_RDONLY)
		_ = unix.Close(fd)
		if r.fd < 0 {
			t.Error("there is no reserve any more")
		}
	}
	_ = unix.Close(r.fd)
}
