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

// The role become runs between fork and exec for programs with attributes that cannot be set there
// (needsExec). It sets them for itself and becomes the program. It takes about two milliseconds,
// which other programs do not pay.
//
//	spawner                          become (the process of the program)
//	  │ Spawn{...} ─────────────────► │
//	  │                               │  sets the attributes
//	  │ ◄──────────── Spawned{}       │  only the exec is left
//	  │ ◄──────────── end of file     │  done: the socket is close-on-exec
//	  │ ◄──────────── Spawned{stage}  │  or failed

// execTimeout bounds the role become, because the spawner starts nothing else meanwhile.
const execTimeout = 10 * time.Second

// startByExec starts a program through the role become.
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
	// The role's own needs before its exec must not count against the program's limits. So it
	// enters groups with limits last.
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
			// The process was killed or stopped before the exec. Or it could not begin because it
			// got no thread (the Go runtime needs some).
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
