package ipc

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// read reads the fields of a message of kind k. It returns nil if there is no such kind. Fields are
// in the order of their types, here and in the write methods below.
func read(k Kind, r *reader) Message {
	switch k {
	case KindHello:
		return Hello{Version: r.u16(), Role: Role(r.u8()), PID: r.u32()}
	case KindStart:
		return Start{
			Controller: r.str(), ErluvVersion: r.str(), CookieSource: r.str(),
			User: r.str(), UID: r.u32(), GID: r.u32(), Allowed: readAllowedList(r), MainPID: r.u32(),
			MaxWorkers: r.u32(), KillTimeoutMS: r.u32(), Contain: r.str(), Leaves: r.str(), Limits: readLimitDirs(r), Kept: r.str(), Sandbox: r.str(), SpawnerPID: r.u32(), LostAfterMS: r.u32(), Stays: r.bool(), Reports: r.bool(),
			RemoteExec: r.bool(), Path: r.strs(),
			History: r.u32(), LogRing: r.u32(), LogRingTotal: r.u64(),
			Environ: r.strs(),
		}
	case KindLink:
		return Link{
			ID: r.u32(), Node: r.str(), Creation: r.u32(), Target: r.str(), TargetCreation: r.u32(),
			Serial: r.u32(), Respawned: r.bool(), Accepted: r.bool(), Transport: r.str(), Since: r.u64(), Operator: r.str(), Carried: r.u32(),
		}
	case KindAwaited:
		return readAwaited(r)
	case KindCounted:
		return Counted{Programs: r.u32()}
	case KindLost:
		return Lost{ID: r.u32(), Text: r.text()}
	case KindStartSpawner:
		return StartSpawner{Path: r.strs(), Reports: r.bool(), Scope: r.bool(), Deny: r.bool(), Leaves: r.str(), Limits: readLimitDirs(r), Few: r.bool(), Spare: r.bool()}
	case KindReady:
		return Ready{}
	case KindFailed:
		return Failed{Text: r.text()}
	case KindStop:
		return Stop{Reason: r.str()}
	case KindStopped:
		return Stopped{Cause: readCause(r), Text: r.text()}
	case KindLedger:
		return Ledger{Serial: r.u32(), Ticktime: r.u32(), Added: r.strs(), Removed: r.strs()}
	case KindDrain:
		return Drain{}
	case KindBeat:
		return Beat{}
	case KindSpawner:
		return Spawner{User: r.u8(), PID: r.u32(), Leaves: r.str(), Limits: readLimitDirs(r)}
	case KindWantSpawner:
		return WantSpawner{User: r.u8()}
	case KindLogs:
		return Logs{Level: r.level()}
	case KindLog:
		return readLog(r)
	case KindSpawn:
		return readSpawn(r)
	case KindSpawned:
		return Spawned{Seq: r.u32(), PID: r.u32(), OSPID: r.u32(), Refusal: r.refusal(), Leaf: r.u32(), Limited: r.u32()}
	case KindChanged:
		return Changed{PID: r.u32(), Status: r.u32()}
	case KindSignalGroup:
		return SignalGroup{PID: r.u32(), Signal: r.u32(), Leaf: r.u32(), Only: r.bool()}
	case KindGroupSignalled:
		return GroupSignalled{PID: r.u32(), Errno: r.u32()}
	case KindRotate:
		return Rotate{Seq: r.u32(), Dir: r.str(), Umask: r.u32(), Path: r.str(), Mode: r.u32(), Keep: r.u16()}
	case KindRotated:
		return Rotated{Seq: r.u32(), Errno: r.u32()}
	case KindForget:
		return Forget{Seq: r.u32()}
	case KindRelease:
		return Release{Empty: r.u32s(), Left: r.u32s(), Limited: r.u32s()}
	case KindStartRelay:
		return readStartRelay(r)
	case KindHost:
		return readHost(r)
	case KindStanding:
		return readStanding(r)
	case KindSpawnInMemfd:
		return SpawnInMemfd{Seq: r.u32(), Size: r.u32()}
	}
	return nil
}

func (Hello) kind() Kind          { return KindHello }
func (Start) kind() Kind          { return KindStart }
func (Link) kind() Kind           { return KindLink }
func (Lost) kind() Kind           { return KindLost }
func (StartSpawner) kind() Kind   { return KindStartSpawner }
func (Ready) kind() Kind          { return KindReady }
func (Failed) kind() Kind         { return KindFailed }
func (Stop) kind() Kind           { return KindStop }
func (Stopped) kind() Kind        { return KindStopped }
func (Ledger) kind() Kind         { return KindLedger }
func (Drain) kind() Kind          { return KindDrain }
func (Beat) kind() Kind           { return KindBeat }
func (Counted) kind() Kind        { return KindCounted }
func (Spawner) kind() Kind        { return KindSpawner }
func (WantSpawner) kind() Kind    { return KindWantSpawner }
func (Logs) kind() Kind           { return KindLogs }
func (Log) kind() Kind            { return KindLog }
func (*Spawn) kind() Kind         { return KindSpawn }
func (Spawned) kind() Kind        { return KindSpawned }
func (Changed) kind() Kind        { return KindChanged }
func (SignalGroup) kind() Kind    { return KindSignalGroup }
func (GroupSignalled) kind() Kind { return KindGroupSignalled }
func (SpawnInMemfd) kind() Kind   { return KindSpawnInMemfd }
func (Rotate) kind() Kind         { return KindRotate }
func (Rotated) kind() Kind        { return KindRotated }
func (Forget) kind() Kind         { return KindForget }
func (Release) kind() Kind        { return KindRelease }
func (StartRelay) kind() Kind     { return KindStartRelay }
func (Host) kind() Kind           { return KindHost }
func (Standing) kind() Kind       { return KindStanding }

func (m Hello) write(w *writer) {
	w.u16(m.Version)
	w.u8(uint8(m.Role))
	w.u32(m.PID)
}

func (m Start) write(w *writer) {
	w.str(m.Controller)
	w.str(m.ErluvVersion)
	w.str(m.CookieSource)
	w.str(m.User)
	w.u32(m.UID)
	w.u32(m.GID)
	writeAllowed(w, m.Allowed)
	w.u32(m.MainPID)
	w.u32(m.MaxWorkers)
	w.u32(m.KillTimeoutMS)
	w.str(m.Contain)
	w.str(m.Leaves)
	m.Limits.write(w)
	w.str(m.Kept)
	w.str(m.Sandbox)
	w.u32(m.SpawnerPID)
	w.u32(m.LostAfterMS)
	w.bool(m.Stays)
	w.bool(m.Reports)
	w.bool(m.RemoteExec)
	w.strs(m.Path)
	w.u32(m.History)
	w.u32(m.LogRing)
	w.u64(m.LogRingTotal)
	w.strs(m.Environ)
}

func (m Link) write(w *writer) {
	w.u32(m.ID)
	w.str(m.Node)
	w.u32(m.Creation)
	w.str(m.Target)
	w.u32(m.TargetCreation)
	w.u32(m.Serial)
	w.bool(m.Respawned)
	w.bool(m.Accepted)
	w.str(m.Transport)
	w.u64(m.Since)
	w.str(m.Operator)
	w.u32(m.Carried)
}

func (m Ledger) write(w *writer) {
	w.u32(m.Serial)
	w.u32(m.Ticktime)
	w.strs(m.Added)
	w.strs(m.Removed)
}

func (m Lost) write(w *writer) {
	w.u32(m.ID)
	w.text(m.Text)
}

func (Drain) write(*writer)       {}
func (Beat) write(*writer)        {}
func (m Counted) write(w *writer) { w.u32(m.Programs) }
func (Ready) write(*writer)       {}
func (m Failed) write(w *writer)  { w.text(m.Text) }
func (m Stop) write(w *writer)    { w.str(m.Reason) }

func (m Stopped) write(w *writer) {
	w.u8(uint8(m.Cause))
	w.text(m.Text)
}

func readCause(r *reader) Cause {
	c := Cause(r.u8())
	if r.err == nil && c != CauseAsked && c != CauseDisconnected {
		r.err = fmt.Errorf("ipc: no stop has the cause %d", c)
	}
	return c
}

func (m StartSpawner) write(w *writer) {
	w.strs(m.Path)
	w.bool(m.Reports)
	w.bool(m.Scope)
	w.bool(m.Deny)
	w.str(m.Leaves)
	m.Limits.write(w)
	w.bool(m.Few)
	w.bool(m.Spare)
}

func (m *Spawn) write(w *writer) {
	w.u32(m.Seq)
	w.str(m.Program)
	w.str(m.Path)
	w.strs(m.Args)
	w.strs(m.Env)
	w.str(m.Dir)
	w.u8(uint8(len(m.Streams)))
	for _, s := range m.Streams {
		w.u8(uint8(s.Source))
		w.u8(s.Dup)
		w.str(s.Path)
		w.bool(s.Write)
		w.bool(s.Append)
		w.u32(s.Mode)
		w.u8(s.FD)
		w.bool(s.Log)
	}
	m.Attributes.write(w)
	w.bool(m.Terminal != nil)
	if m.Terminal != nil {
		m.Terminal.write(w)
	}
	w.bool(m.Notify)
	w.str(m.Refused)
}

func readSpawn(r *reader) *Spawn {
	m := &Spawn{
		Seq: r.u32(), Program: r.str(), Path: r.str(), Args: r.strs(), Env: r.strs(),
		Dir: r.str(),
	}
	n := int(r.u8())
	for range n {
		if r.err != nil {
			break
		}
		m.Streams = append(m.Streams, Stream{
			Source: Source(r.u8()), Dup: r.u8(), Path: r.str(),
			Write: r.bool(), Append: r.bool(), Mode: r.u32(), FD: r.u8(), Log: r.bool(),
		})
	}
	m.Attributes = readAttributes(r)
	if r.bool() {
		m.Terminal = readTerminal(r)
	}
	m.Notify = r.bool()
	m.Refused = r.str()
	return m
}

func (t *Terminal) write(w *writer) {
	w.u16(t.Rows)
	w.u16(t.Cols)
	for _, m := range []*Modes{&t.Clear, &t.Set} {
		for _, flags := range []uint32{m.Iflag, m.Oflag, m.Cflag, m.Lflag} {
			w.u32(flags)
		}
		w.b = append(w.b, m.Cc[:]...)
	}
	w.bool(t.Reopen)
}

func readTerminal(r *reader) *Terminal {
	t := &Terminal{Rows: r.u16(), Cols: r.u16()}
	for _, m := range []*Modes{&t.Clear, &t.Set} {
		for _, flags := range []*uint32{&m.Iflag, &m.Oflag, &m.Cflag, &m.Lflag} {
			*flags = r.u32()
		}
		copy(m.Cc[:], r.take(len(m.Cc)))
	}
	t.Reopen = r.bool()
	return t
}

func (m Spawned) write(w *writer) {
	w.u32(m.Seq)
	w.u32(m.PID)
	w.u32(m.OSPID)
	w.refusal(m.Refusal)
	w.u32(m.Leaf)
	w.u32(m.Limited)
}

func (w *writer) refusal(m Refusal) {
	w.u8(uint8(m.Stage))
	w.u32(uint32(m.Errno))
	w.u8(m.FD)
	w.u8(uint8(m.Limit))
	w.u8(uint8(m.Attribute))
}

func (r *reader) refusal() Refusal {
	return Refusal{Stage: Stage(r.u8()), Errno: unix.Errno(r.u32()), FD: r.u8(), Limit: Limit(r.u8()), Attribute: Attribute(r.u8())}
}

func (m Changed) write(w *writer) {
	w.u32(m.PID)
	w.u32(m.Status)
}

func (m SignalGroup) write(w *writer) {
	w.u32(m.PID)
	w.u32(m.Signal)
	w.u32(m.Leaf)
	w.bool(m.Only)
}

func (m GroupSignalled) write(w *writer) {
	w.u32(m.PID)
	w.u32(m.Errno)
}

func (m SpawnInMemfd) write(w *writer) { w.u32(m.Seq); w.u32(m.Size) }

func (m Forget) write(w *writer) { w.u32(m.Seq) }

func (m Release) write(w *writer) {
	w.u32s(m.Empty)
	w.u32s(m.Left)
	w.u32s(m.Limited)
}

func (m Rotate) write(w *writer) {
	w.u32(m.Seq)
	w.str(m.Dir)
	w.u32(m.Umask)
	w.str(m.Path)
	w.u32(m.Mode)
	w.u16(m.Keep)
}

func (m Rotated) write(w *writer) {
	w.u32(m.Seq)
	w.u32(m.Errno)
}
