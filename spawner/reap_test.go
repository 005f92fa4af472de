package spawner

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// signals requests a signal and returns the answer.
func (l *local) signals(m ipc.SignalGroup, fds ...int) unix.Errno {
	l.t.Helper()
	l.say(m, fds...)
	got, _ := l.hear()
	a, ok := got.(ipc.GroupSignalled)
	if !ok || a.PID != m.PID {
		l.t.Fatalf("%#v", got)
	}
	return unix.Errno(a.Errno)
}

// TestSignalByPidfd: a pidfd decides which group is signalled, or which single process. Without a
// pidfd the number decides, also if the descriptor is not a pidfd.
func TestSignalByPidfd(t *testing.T) {
	l := here(t)
	// The group has two processes, and another program is not in it.
	r, w := pipe(t)
	m := program("/bin/sh", "-c", "sleep 1000 & echo $!; exec sleep 1000")
	m.Streams[1].Source = ipc.SourceFD
	leader, with := l.starts(m, int(w.Fd()))
	w.Close()
	defer ipc.CloseAll(with.List())
	out := bufio.NewReader(r)
	must(t, r.SetReadDeadline(time.Now().Add(patience)))
	line, err := out.ReadString('\n')
	must(t, err)
	member, err := strconv.Atoi(strings.TrimSpace(line))
	must(t, err)
	beside, also := l.starts(program("sleep", "1000"))
	defer ipc.CloseAll(also.List())
	null := none(t)

	ask := func(what string, m ipc.SignalGroup, want unix.Errno, fds ...int) {
		t.Helper()
		if got := l.signals(m, fds...); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	const kill = uint32(unix.SIGKILL)
	l.keeps("signals", func() {
		ask("nobody alone", ipc.SignalGroup{PID: leader.PID, Signal: kill, Only: true}, 0)
		ask("two alone", ipc.SignalGroup{PID: leader.PID, Signal: kill, Only: true}, 0, with.Process, also.Process)
		ask("one that is none", ipc.SignalGroup{PID: leader.PID, Signal: kill, Only: true}, 0, null)
		ask("no signal", ipc.SignalGroup{PID: leader.PID}, 0, with.Process)
		ask("a signal that is none", ipc.SignalGroup{PID: leader.PID, Signal: 99}, unix.EINVAL, with.Process)
		ask("by the number", ipc.SignalGroup{PID: leader.PID}, 0, null)
		ask("by the number, with two", ipc.SignalGroup{PID: leader.PID}, 0, null, null)
		ask("nobody", ipc.SignalGroup{PID: 1 << 21}, unix.ESRCH, null)
	})
	if gone(leader.PID) {
		t.Error("a signal to nobody, or to two, has ended a program")
	}
	ask("the leader alone", ipc.SignalGroup{PID: leader.PID, Signal: kill, Only: true}, 0, with.Process)
	if st := l.ends(leader); st.Signal() != unix.SIGKILL {
		t.Errorf("the leader has ended with %#x", st)
	}
	if err := unix.Kill(member, 0); err != nil {
		t.Errorf("a member of its group: %v", err)
	}
	ask("the leader, who is gone", ipc.SignalGroup{PID: leader.PID, Signal: kill, Only: true}, 0, with.Process)
	if ipc.PidfdsSuffice() { // the pidfd counts, not the number
		ask("the rest of the group", ipc.SignalGroup{PID: beside.PID, Signal: kill}, 0, with.Process)
	} else {
		ask("the rest of the group", ipc.SignalGroup{PID: leader.PID, Signal: kill}, 0)
	}
	if _, err := out.ReadByte(); err != io.EOF {
		t.Errorf("the group goes on: %v", err)
	}
	if gone(beside.PID) {
		t.Error("one beside the group is gone")
	}
	ask("one beside it", ipc.SignalGroup{PID: beside.PID, Signal: kill}, 0, also.Process)
	l.ends(beside)
	ask("what has ended", ipc.SignalGroup{PID: beside.PID}, unix.ESRCH, also.Process)
}

// childrenOf returns the children of a process.
func childrenOf(t *testing.T, pid int) (all []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	must(t, err)
	for _, file := range files {
		b, err := os.ReadFile(file)
		must(t, err)
		all = append(all, strings.Fields(string(b))...)
	}
	return all
}

// TestManyEndsAtOnce: hundreds of programs and their orphans end together. Each is reaped. The
// child learns each program's exit status once, by a message or from the pidfd.
func TestManyEndsAtOnce(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		const n = 200
		p := serving(t, reports)
		r, w := pipe(t)
		started := map[uint32]int{} // with its pidfd
		for range n {
			m := program("/bin/sh", "-c", "setsid cat <&0 & cat; exit 7")
			m.Streams[0].Source = ipc.SourceFD
			p.say(p.child, m, int(r.Fd()))
			got, fds := p.hear(p.child)
			s, ok := got.(ipc.Spawned)
			if !ok || s.Stage != ipc.StageNone || len(fds) != 1 {
				t.Fatalf("%#v", got)
			}
			started[s.PID] = fds[0]
		}
		r.Close()
		w.Close()
		ended := map[uint32]bool{}
		for pid, pidfd := range started {
			if !reports {
				poll := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
				if n, err := unix.Poll(poll, int(patience.Milliseconds())); n != 1 || err != nil {
					t.Errorf("process %d: %v", pid, err)
				}
			}
		}
		for reports && len(ended) < n {
			m, _ := p.hear(p.child)
			c, ok := m.(ipc.Changed)
			if _, ours := started[c.PID]; !ok || ours && (c.Status != 7<<8 || ended[c.PID]) {
				t.Fatalf("%#v, was told: %v", m, ended[c.PID])
			} else if ours {
				ended[c.PID] = true
			}
		}
		soon(t, "nobody is left", func() bool { return len(childrenOf(t, p.cmd.Process.Pid)) == 0 })
		if !reports {
			p.say(p.child, ipc.SignalGroup{PID: 1})
			if m, _ := p.hear(p.child); m != (ipc.GroupSignalled{PID: 1, Errno: uint32(unix.ESRCH)}) {
				t.Errorf("%#v, and pidfds tell of ends", m)
			}
		}
		p.childEnds()
	})
}

// TestStoppedAndContinued: the child learns of each program that is stopped or continued, even of
// many at once.
func TestStoppedAndContinued(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		p := serving(t, reports)
		var all []uint32
		for range 20 {
			all = append(all, p.spawned(program("sleep", "1000")).PID)
		}
		for range 3 {
			for _, step := range []struct {
				sig  unix.Signal
				want uint32 // as in wait(2)
			}{{unix.SIGSTOP, uint32(unix.SIGSTOP)<<8 | 0x7f}, {unix.SIGCONT, 0xffff}} {
				for _, pid := range all {
					must(t, unix.Kill(int(pid), step.sig))
				}
				told := map[uint32]bool{}
				for len(told) < len(all) {
					m, _ := p.hear(p.child)
					c, ok := m.(ipc.Changed)
					if !ok || c.Status != step.want || told[c.PID] {
						t.Fatalf("%#v, want the status %#x", m, step.want)
					}
					told[c.PID] = true
				}
				for _, pid := range all {
					if !told[pid] {
						t.Errorf("nothing of process %d", pid)
					}
				}
			}
		}
		p.childEnds()
		for _, pid := range all {
			if !gone(pid) {
				t.Errorf("process %d is left", pid)
			}
		}
	})
}
