package spawner

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// requests returns one request of each kind.
func requests() []ipc.Message {
	all := program("/bin/true", "x")
	all.Env, all.Terminal = []string{"A=1"}, &ipc.Terminal{Rows: 1}
	all.Attributes.CPUs, all.Attributes.Rlimits = []uint16{0}, []ipc.Rlimit{{Resource: 1}}
	all.Attributes.Confine = ipc.Confine{Read: []string{"/"}, Connect: []uint16{80}}
	return []ipc.Message{
		all,
		ipc.SpawnInMemfd{Seq: 1, Size: 9},
		ipc.Rotate{Seq: 2, Dir: "/", Path: "x"},
		ipc.Release{Empty: []uint32{1}, Left: []uint32{2}, Limited: []uint32{3}},
		ipc.Forget{Seq: 4},
		ipc.SignalGroup{PID: 5},
	}
}

// TestTornRequests: the decoder takes neither a part of a request nor a request with an extra byte.
func TestTornRequests(t *testing.T) {
	for _, m := range requests() {
		whole := ipc.Append(nil, m)
		for n := range whole {
			if err := (&spawner{log: ipc.NoLogger()}).request(whole[:n], nil); err == nil || !strings.Contains(err.Error(), "ipc: ") {
				t.Errorf("%d bytes of %d of %T: %v", n, len(whole), m, err)
			}
		}
		if err := (&spawner{log: ipc.NoLogger()}).request(append(whole, 0), nil); err == nil {
			t.Errorf("%T and a byte", m)
		}
	}
}

// TestNoRequests: a message that the child never sends, or that only the spawner sends, ends the
// spawner. The spawner closes its descriptors.
func TestNoRequests(t *testing.T) {
	for _, m := range []ipc.Message{
		ipc.Hello{},
		ipc.Start{},
		ipc.StartSpawner{},
		ipc.Ready{},
		ipc.Failed{},
		ipc.Stop{},
		ipc.Stopped{Cause: ipc.CauseAsked},
		ipc.Drain{},
		ipc.Beat{},
		ipc.Logs{},
		ipc.Log{},
		ipc.Link{},
		ipc.Spawned{},
		ipc.Changed{},
		ipc.GroupSignalled{},
		ipc.Rotated{},
	} {
		t.Run(fmt.Sprintf("%T", m), func(t *testing.T) {
			l := here(t)
			null := none(t)
			l.settled()
			before := descriptors(t)
			l.say(m, null, null)
			l.say(ipc.SignalGroup{PID: 1}) // is ignored
			want := fmt.Sprintf("the child sent %T, which is no request", m)
			if err := l.over(); err == nil || err.Error() != want {
				t.Errorf("%v, want %q", err, want)
			}
			if n, _, err := l.child.TryRecv(make([]byte, 10)); !errors.Is(err, ipc.ErrEmpty) {
				t.Errorf("an answer of %d bytes, %v", n, err)
			}
			noneLeft(t, want, before)
		})
	}
}

// TestDescriptorsThatNobodyWants: surplus descriptors of a request are closed, and no program gets
// them.
func TestDescriptorsThatNobodyWants(t *testing.T) {
	l := here(t)
	many := slices.Repeat([]int{none(t)}, ipc.MaxFDs)
	l.keeps("requests", func() {
		for range 100 {
			l.say(ipc.Forget{Seq: 77}, many...)
			l.say(ipc.Release{Empty: []uint32{7}, Left: []uint32{8}, Limited: []uint32{9}}, many...)
			l.say(ipc.Rotate{Dir: "/no/such", Path: "x"}, many...)
			if m, fds := l.hear(); m != (ipc.Rotated{Errno: uint32(unix.ENOENT)}) || len(fds) > 0 {
				t.Fatalf("%#v, %v", m, fds)
			}
			l.say(ipc.SignalGroup{PID: 1 << 21}, many...)
			if m, _ := l.hear(); m != (ipc.GroupSignalled{PID: 1 << 21, Errno: uint32(unix.ESRCH)}) {
				t.Fatalf("%#v", m)
			}
			l.refused("a program that is none", changed(func(m *ipc.Spawn) { m.Program = "/no/such" }, "x"),
				ipc.Refusal{Stage: ipc.StageProgram, Errno: unix.ENOENT}, many...)
		}
	})
	other, err := unix.MemfdCreate("unwanted", unix.MFD_CLOEXEC)
	must(t, err)
	defer unix.Close(other)
	m := program("/bin/sh", "-c", "ls -l /proc/self/fd")
	r, w := pipe(t)
	m.Streams[1].Source = ipc.SourceFD
	is, with := l.starts(m, append([]int{int(w.Fd())}, slices.Repeat([]int{other}, 20)...)...)
	defer ipc.CloseAll(with.List())
	w.Close()
	text, err := io.ReadAll(r)
	must(t, err)
	l.ends(is)
	if !strings.Contains(string(text), " 1 -> ") || strings.Contains(string(text), "unwanted") {
		t.Errorf("the program has %s", text)
	}
}

// TestPacketsThatAreNone: neither side of a conversation can have sent these packets.
func TestPacketsThatAreNone(t *testing.T) {
	for want, packet := range map[string][2]int{
		"cannot read from the child: ipc: a packet of more than 65536 bytes":      {ipc.MaxPacket + 1, 1},
		"cannot read from the child: ipc: a packet with more than 24 descriptors": {1, ipc.MaxFDs + 1},
	} {
		l := here(t)
		l.settled()
		fds := slices.Repeat([]int{none(t)}, packet[1])
		before := descriptors(t)
		must(t, unix.Sendmsg(l.child.FD(), make([]byte, packet[0]), unix.UnixRights(fds...), nil, 0))
		if err := l.over(); err == nil || err.Error() != want {
			t.Errorf("%v, want %q", err, want)
		}
		noneLeft(t, want, before)
	}
}

// TestOutOfOrder: messages about things that do not exist, or no longer exist, have no effect.
func TestOutOfOrder(t *testing.T) {
	l := here(t)
	m := changed(func(m *ipc.Spawn) { m.Notify = true }, "true")
	for range 3 {
		l.say(ipc.Forget{Seq: m.Seq})
		l.say(ipc.Release{Empty: []uint32{0, 1, 1}, Left: []uint32{2, 2}, Limited: []uint32{3, 3}})
		is, with := l.starts(m)
		l.ends(is)
		ipc.CloseAll(with.List())
		l.say(ipc.Forget{Seq: m.Seq})
	}
	is, with := l.starts(program("sleep", "1000"))
	defer ipc.CloseAll(with.List())
	if is.Leaf != 0 || is.Limited != 0 {
		t.Errorf("%+v, and there are no groups", is)
	}
	must(t, unix.Kill(int(is.PID), unix.SIGKILL))
	l.ends(is)
}

// TestAnswerToNobody: the spawner ends well if the child ends before it reads an answer.
func TestAnswerToNobody(t *testing.T) {
	child, ours, err := ipc.Pair()
	must(t, err)
	defer ours.Close()
	s := &spawner{child: ours, log: ipc.NoLogger(), leaves: &leaves{dir: -1}}
	ask := ipc.Append(nil, ipc.SignalGroup{PID: 1})
	must(t, s.request(ask, nil))
	_ = child.Close()
	for range 2 {
		if err := s.request(ask, nil); !errors.Is(err, unix.EPIPE) {
			t.Error(err)
		}
	}
}

// TestChildDies: the spawner ends well at any moment of the child's end. It leaves no process
// behind: neither orphans nor processes in sessions of their own, nor stopped ones, nor those that
// ignore signals.
func TestChildDies(t *testing.T) {
	const family = `trap "" TERM HUP INT; setsid sleep 1000 & (setsid -f sleep 1000); sleep 1000 & kill -STOP $!; `
	spawns := func(p *process, w *os.File, times int, change func(m *ipc.Spawn)) {
		for range times {
			m := program("/bin/sh", "-c", family+"wait")
			m.Streams[1].Source = ipc.SourceFD
			if change != nil {
				change(m)
			}
			packet, memfd, err := ipc.PackSpawn(m.Seq, ipc.Append(nil, m))
			must(p.t, err)
			fds := []int{int(w.Fd())}
			if memfd >= 0 {
				defer unix.Close(memfd)
				fds = append(fds, memfd)
			}
			must(p.t, p.child.Send(packet, patience, fds...))
		}
	}
	for name, step := range map[string]func(p *process, w *os.File){
		"nothing was asked": func(*process, *os.File) {},
		"asked for one":     func(p *process, w *os.File) { spawns(p, w, 1, nil) },
		"asked for many":    func(p *process, w *os.File) { spawns(p, w, 40, nil) },
		"heard of some":     func(p *process, w *os.File) { spawns(p, w, 40, nil); p.hear(p.child); p.hear(p.child) },
		"in a memfd": func(p *process, w *os.File) {
			spawns(p, w, 1, func(m *ipc.Spawn) { m.Env = []string{strings.Repeat("x", ipc.MaxPacket)} })
		},
		"by the role become": func(p *process, w *os.File) { spawns(p, w, 2, func(m *ipc.Spawn) { byTheRole(p.t, m) }) },
		"no session":         func(p *process, w *os.File) { spawns(p, w, 2, func(m *ipc.Spawn) { m.Attributes.NoSession = true }) },
		"with a socket":      func(p *process, w *os.File) { spawns(p, w, 2, func(m *ipc.Spawn) { m.Notify = true; m.Seq += 1 }) },
		"a signal was asked": func(p *process, w *os.File) { spawns(p, w, 2, nil); p.say(p.child, ipc.SignalGroup{PID: 1 << 21}) },
		"a new file was asked": func(p *process, w *os.File) {
			spawns(p, w, 2, nil)
			p.say(p.child, ipc.Rotate{Dir: p.t.TempDir(), Path: "x", Mode: 0o600, Keep: 3})
		},
		"with a terminal": func(p *process, w *os.File) {
			spawns(p, w, 2, func(m *ipc.Spawn) {
				m.Terminal = &ipc.Terminal{Rows: 1, Cols: 1}
				m.Streams[0].Source = ipc.SourceTerminal
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			bothModes(t, func(t *testing.T, reports bool) {
				p := serving(t, reports)
				r, w := pipe(t)
				step(p, w)
				w.Close()
				p.childEnds()
				must(t, r.SetReadDeadline(time.Now().Add(patience)))
				if text, err := io.ReadAll(r); err != nil || len(text) > 0 {
					t.Errorf("a process is left: %q, %v", text, err)
				}
			})
		})
	}
}
