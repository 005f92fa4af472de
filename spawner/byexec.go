package spawner

import (
	"errors"
	"io"
	"strconv"
	"syscall"
	"time"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// The role become stands between fork and exec for programs that are to have
// attributes which cannot be set there (needsExec): it sets them for itself and becomes
// the program. It costs about two milliseconds, and only those who ask for it.
//
//	spawner                          exec (the process of the program)
//	  │ Spawn{...} ─────────────────► │
//	  │                               │  sets the attributes
//	  │ ◄──────────── Spawned{}       │  only the exec is left
//	  │ ◄──────────── end of file     │  done: the socket is close-on-exec
//	  │ ◄──────────── Spawned{stage}  │  or not

// execTimeout bounds it: nothing else is started meanwhile.
const execTimeout = 10 * time.Second

// startByExec starts a program by way of the role become.
func (s *spawner) startByExec(m *ipc.Spawn, program string, attr *syscall.ProcAttr, at *site) (is numbers, no *ipc.Refusal) {
	fail := func(e unix.Errno) (numbers, *ipc.Refusal) {
		return numbers{}, &ipc.Refusal{Stage: ipc.StageProgram, Errno: e}
	}
	ours, theirs, err := ipc.Pair()
	if err != nil {
		return fail(ipc.ErrnoOf(err))
	}
	defer ours.Close()
	found := *m
	found.Program = program
	found.Attributes.Confine.Scope = s.domain >= 0
	from := s.forkFor(&found.Attributes.Confine)
	// What it needs for itself until its exec is not the program's, so it enters groups
	// with limits last.
	if at.inLeaf {
		attr.Sys.UseCgroupFD = false
		if err := at.open(at.leaf.fd); err != nil {
			return fail(ipc.ErrnoOf(err))
		}
	}
	err = sendSpawn(ours, &found, at.enter)
	if err == nil {
		fd := len(attr.Files)
		attr.Env, attr.Files = []string{}, append(attr.Files, uintptr(theirs.FD()))
		is, no = started(from("/proc/self/exe", []string{"erluv", "become", strconv.Itoa(fd)}, attr, confinement{rules: -1, spare: s.spare.renew()}))
	}
	_ = theirs.Close()
	if err != nil {
		return fail(ipc.ErrnoOf(err))
	}
	if no != nil {
		return numbers{}, no
	}
	s.toReap()
	if no = awaitExec(ours); no != nil {
		_ = unix.PidfdSendSignal(*attr.Sys.PidFD, unix.SIGKILL, nil, 0)
		_ = unix.Close(*attr.Sys.PidFD)
		return numbers{}, no
	}
	return is, nil
}

func sendSpawn(to *ipc.Conn, m *ipc.Spawn, enter []int) error {
	packet, memfd, err := ipc.PackSpawn(m.Seq, ipc.Append(nil, m))
	if err != nil {
		return err
	}
	if memfd < 0 {
		return to.TrySend(packet, enter...)
	}
	defer unix.Close(memfd)
	return to.TrySend(packet, append(enter, memfd)...)
}

// awaitExec waits until the process has become the program.
func awaitExec(conn *ipc.Conn) *ipc.Refusal {
	var buf [64]byte
	for told := false; ; told = true {
		n, fds, err := conn.Recv(buf[:], execTimeout)
		ipc.CloseAll(fds)
		if told && errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			// It was killed or stopped before the exec, or could not begin, for want
			// of a thread for one (the Go runtime needs some).
			return &ipc.Refusal{Stage: ipc.StageProgram, Errno: unix.EAGAIN}
		}
		msg, err := ipc.Decode(buf[:n])
		answer, ok := msg.(ipc.Spawned)
		if err != nil || !ok {
			return &ipc.Refusal{Stage: ipc.StageProgram, Errno: unix.EPROTO}
		}
		if answer.Stage != ipc.StageNone {
			return &answer.Refusal
		}
	}
}
