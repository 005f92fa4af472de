package spawner

import (
	"strings"
	"testing"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// TestBadStart: a wrong message of main ends the spawner, which reports the reason to main.
func TestBadStart(t *testing.T) {
	for name, c := range map[string]struct {
		say  func(p *process)
		text string
	}{
		"junk":       {func(p *process) { _ = p.up.Send([]byte{255}, patience) }, "no message has the kind"},
		"no start":   {func(p *process) { p.say(p.up, ipc.Ready{}) }, "main sent ipc.Ready with 0 descriptors"},
		"no socket":  {func(p *process) { p.say(p.up, ipc.StartSpawner{}) }, "with 0 descriptors"},
		"no such":    {func(p *process) { p.say(p.up, ipc.StartSpawner{}, 0) }, "no conversation of erluv"},
		"two":        {func(p *process) { p.say(p.up, ipc.StartSpawner{}, p.up.FD(), p.up.FD()) }, "with 2 descriptors"},
		"child's":    {func(p *process) { p.say(p.up, ipc.Start{}, p.up.FD()) }, "main sent ipc.Start"},
		"junk, with": {func(p *process) { _ = p.up.Send([]byte{3, 1}, patience, 0, 1) }, "ipc:"},
	} {
		t.Run(name, func(t *testing.T) {
			p := begin(t)
			c.say(p)
			m, _ := p.hear(p.up)
			if f, ok := m.(ipc.Failed); !ok || !strings.Contains(f.Text, c.text) {
				t.Errorf("%#v, want the failure %q", m, c.text)
			}
			p.failed(c.text)
		})
	}
	t.Run("main ends", func(t *testing.T) {
		p := begin(t)
		_ = p.up.Close()
		p.ended = true
		if err := p.cmd.Wait(); err != nil || p.stderr.Len() > 0 {
			t.Errorf("the spawner: %v, %q, and main has only given up", err, p.stderr.String())
		}
	})
}

// TestBadRequest: a message that is not a request ends the spawner and all its programs.
func TestBadRequest(t *testing.T) {
	long := program("true")
	long.Args = append(long.Args, strings.Repeat("x", ipc.MaxPacket))
	_, memfd, err := ipc.PackSpawn(long.Seq, ipc.Append(nil, long))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(memfd)
	size := uint32(len(ipc.Append(nil, long)))
	other, err := unix.MemfdCreate("other", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(other)
	ready := ipc.Append(nil, ipc.Ready{})
	if _, err := unix.Write(other, ready); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		say  func(p *process)
		text string
	}{
		"junk":             {func(p *process) { _ = p.child.Send([]byte{255}, patience) }, "no message has the kind"},
		"no request":       {func(p *process) { p.say(p.child, ipc.Ready{}) }, "which is no request"},
		"no memfd":         {func(p *process) { p.say(p.child, ipc.SpawnInMemfd{Size: 5}) }, "without its memfd"},
		"too large":        {func(p *process) { p.say(p.child, ipc.SpawnInMemfd{Size: 1 << 31}, memfd) }, "the limit is"},
		"larger than it":   {func(p *process) { p.say(p.child, ipc.SpawnInMemfd{Size: size + 1}, memfd) }, "ends after"},
		"smaller than it":  {func(p *process) { p.say(p.child, ipc.SpawnInMemfd{Size: size - 1}, memfd) }, "ipc:"},
		"another message":  {func(p *process) { p.say(p.child, ipc.SpawnInMemfd{Size: uint32(len(ready))}, other) }, "instead of a spawn request"},
		"no memfd, a pipe": {func(p *process) { p.say(p.child, ipc.SpawnInMemfd{Size: 5}, p.up.FD()) }, "cannot read a spawn request"},
	} {
		t.Run(name, func(t *testing.T) {
			bothModes(t, func(t *testing.T, reports bool) {
				p := serving(t, reports)
				a := p.spawned(program("sleep", "1000"))
				b := p.spawned(program("/bin/sh", "-c", "setsid sleep 1000 & wait"))
				c.say(p)
				p.failed(c.text)
				for _, s := range []ipc.Spawned{a, b} {
					if s.Stage != ipc.StageNone || !gone(s.PID) {
						t.Errorf("%+v is left", s)
					}
				}
			})
		})
	}
}

// TestBadStreams: senseless streams fail the program, not the spawner.
func TestBadStreams(t *testing.T) {
	with := func(change func(m *ipc.Spawn)) *ipc.Spawn {
		m := program("true")
		change(m)
		return m
	}
	for name, c := range map[string]struct {
		m     *ipc.Spawn
		stage ipc.Stage
		errno unix.Errno
	}{
		"no descriptor": {with(func(m *ipc.Spawn) { m.Streams[1].Source = ipc.SourceFD }), ipc.StageStdout, unix.EBADF},
		"a later one":   {with(func(m *ipc.Spawn) { m.Streams[1] = ipc.Stream{FD: 1, Source: ipc.SourceDup, Dup: 2} }), ipc.StageStdout, unix.EBADF},
		"itself":        {with(func(m *ipc.Spawn) { m.Streams[0] = ipc.Stream{Source: ipc.SourceDup} }), ipc.StageStdin, unix.EBADF},
		"no source":     {with(func(m *ipc.Spawn) { m.Streams[2].Source = 0 }), ipc.StageStderr, unix.EINVAL},
		"twice":         {with(func(m *ipc.Spawn) { m.Streams[2].FD = 1 }), ipc.StageStdout, unix.EBADF},
		"beyond stderr": {with(func(m *ipc.Spawn) { m.Streams = append(null(7), ipc.Stream{Source: 99, FD: 200}) }), ipc.StageFD, unix.EINVAL},
		"far beyond":    {with(func(m *ipc.Spawn) { m.Streams = append(null(3), ipc.Stream{Source: ipc.SourceDup, Dup: 100, FD: 255}) }), ipc.StageFD, unix.EBADF},
		"gaps":          {with(func(m *ipc.Spawn) { m.Streams = append(null(3), ipc.Stream{Source: ipc.SourceDup, Dup: 1, FD: 255}) }), ipc.StageNone, 0},
		"none at all":   {with(func(m *ipc.Spawn) { m.Streams = nil }), ipc.StageNone, 0},
		"many":          {with(func(m *ipc.Spawn) { m.Streams = null(9) }), ipc.StageNone, 0},
		"no arguments":  {with(func(m *ipc.Spawn) { m.Args = nil }), ipc.StageNone, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := serving(t, !ipc.PidfdsSuffice())
			if s := p.spawned(c.m); s.Stage != c.stage || s.Errno != c.errno || (s.PID != 0) != (c.stage == 0) {
				t.Errorf("%+v, want stage %d %s", s, c.stage, unix.ErrnoName(c.errno))
			}
		})
	}
}

func TestSignalGroup(t *testing.T) {
	p := serving(t, true)
	ask := func(pid, sig uint32) unix.Errno {
		t.Helper()
		p.say(p.child, ipc.SignalGroup{PID: pid, Signal: sig})
		m, _ := p.hear(p.child)
		a, ok := m.(ipc.GroupSignalled)
		if !ok || a.PID != pid {
			t.Fatalf("%#v", m)
		}
		return unix.Errno(a.Errno)
	}
	s := p.spawned(program("sleep", "1000"))
	// -1 would mean every process, 0 the spawner's own group.
	for _, pid := range []uint32{0, 1, 1<<22 + 1, 1 << 31, 1<<32 - 1, uint32(p.cmd.Process.Pid)} {
		if e := ask(pid, uint32(unix.SIGKILL)); e != unix.ESRCH {
			t.Errorf("group %d: %s", pid, unix.ErrnoName(e))
		}
	}
	if e := ask(s.PID, 0); e != 0 {
		t.Errorf("a group with a member: %s", unix.ErrnoName(e))
	}
	if e := ask(s.PID, 99); e != unix.EINVAL {
		t.Errorf("a signal that is none: %s", unix.ErrnoName(e))
	}
	if e := ask(s.PID, uint32(unix.SIGKILL)); e != 0 {
		t.Errorf("a group with a member: %s", unix.ErrnoName(e))
	}
	if m, _ := p.hear(p.child); m != (ipc.Changed{PID: s.PID, Status: uint32(unix.SIGKILL)}) {
		t.Errorf("%#v instead of the end", m)
	}
	if e := ask(s.PID, 0); e != unix.ESRCH {
		t.Errorf("an empty group: %s", unix.ErrnoName(e))
	}
}

// TestEndsAfterStarts: the end of a program, even of a very short one, never comes before its
// start. Each program has one end.
func TestEndsAfterStarts(t *testing.T) {
	p := serving(t, true)
	const n = 300
	started, ended := map[uint32]bool{}, map[uint32]bool{}
	asked := 0
	for len(ended) < n {
		for ; asked < n && asked-len(started) < 8; asked++ {
			p.say(p.child, program("true"))
		}
		m, _ := p.hear(p.child)
		switch m := m.(type) {
		case ipc.Spawned:
			if m.Stage != ipc.StageNone || started[m.PID] {
				t.Fatalf("%+v", m)
			}
			started[m.PID] = true
		case ipc.Changed:
			if !started[m.PID] || ended[m.PID] || m.Status != 0 {
				t.Fatalf("%+v, started: %v, ended: %v", m, started[m.PID], ended[m.PID])
			}
			ended[m.PID] = true
		}
	}
}
