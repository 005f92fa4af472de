package spawner

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"unsafe"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// Exec is the role `erluv become FD`, in a process that the spawner has made. It receives a Spawn
// on the descriptor, sets the attributes and becomes the program. If it cannot, it answers the
// spawner with the refusal. It returns an error only if the spawner has not started it.
func Exec(args []string) error {
	// Nice and affinity belong to the thread, and the program keeps this one.
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	conn, m, enter, err := asked(args)
	if err != nil {
		return fmt.Errorf("become is a part of erluv that erluv itself starts: %w", err)
	}
	no := become(conn, m, enter)
	_ = conn.Send(ipc.Append(nil, ipc.Spawned{Refusal: *no}), execTimeout)
	return nil
}

// asked returns the request, and the files of the control groups that the program enters.
func asked(args []string) (*ipc.Conn, *ipc.Spawn, []int, error) {
	if len(args) != 1 {
		return nil, nil, nil, errors.New("it takes a descriptor")
	}
	fd, err := strconv.Atoi(args[0])
	if err != nil {
		return nil, nil, nil, err
	}
	conn, err := ipc.FromFD(fd)
	if err != nil {
		return nil, nil, nil, err
	}
	buf := make([]byte, ipc.MaxPacket)
	n, fds, err := conn.Recv(buf, execTimeout)
	if err != nil {
		return nil, nil, nil, err
	}
	msg, err := ipc.Decode(buf[:n])
	if long, ok := msg.(ipc.SpawnInMemfd); ok && len(fds) > 0 {
		last := len(fds) - 1
		msg, err = ipc.UnpackSpawn(long, fds[last])
		_ = unix.Close(fds[last])
		fds = fds[:last]
	}
	if err != nil {
		return nil, nil, nil, err
	}
	m, ok := msg.(*ipc.Spawn)
	if !ok {
		return nil, nil, nil, fmt.Errorf("it was sent %T", msg)
	}
	return conn, m, fds, nil
}

// given are the attributes of the program. The variable keeps them off the stack.
var given attributes

// become returns only if the program cannot be executed.
func become(conn *ipc.Conn, m *ipc.Spawn, groups []int) *ipc.Refusal {
	a := &m.Attributes
	program, err1 := unix.BytePtrFromString(m.Program)
	args, err2 := syscall.SlicePtrFromStrings(m.Args)
	env, err3 := syscall.SlicePtrFromStrings(m.Env)
	if err := errors.Join(err1, err2, err3); err != nil {
		return &ipc.Refusal{Stage: ipc.StageProgram, Errno: unix.EINVAL}
	}
	with, err := confine(&a.Confine)
	if err != nil {
		return &ipc.Refusal{Stage: ipc.StageConfine, Errno: ipc.ErrnoOf(err)}
	}
	defer with.close()
	if no := prepare(a); no != nil {
		return no
	}
	given.set(a)
	// From here on no thread is started: with one processor Go needs no other. An exec beside a
	// clone can make the clone fail, and the Go runtime then ends the process.
	runtime.GOMAXPROCS(1)
	// Go raises its own limit of descriptors. It restores the limit before each exec, even one that
	// fails.
	_ = syscall.Exec("", []string{""}, nil)
	if err := conn.Send(ipc.Append(nil, ipc.Spawned{}), execTimeout); err != nil {
		return &ipc.Refusal{Stage: ipc.StageProgram, Errno: ipc.ErrnoOf(err)}
	}
	// Under the program's limits there may be no memory left. So nothing is allocated from here on,
	// and the calls are raw.
	for _, fd := range groups {
		if e := enter(fd); e != 0 {
			return &ipc.Refusal{Stage: ipc.StageLimits, Errno: e, Limit: ipc.NumLimits}
		}
	}
	if no := given.become(); no != nil {
		return no
	}
	if e := with.become(); e != 0 {
		return &ipc.Refusal{Stage: ipc.StageConfine, Errno: e}
	}
	_, _, e := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(program)),
		uintptr(unsafe.Pointer(&args[0])), uintptr(unsafe.Pointer(&env[0])))
	return &ipc.Refusal{Stage: ipc.StageProgram, Errno: e}
}
