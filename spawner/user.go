package spawner

import (
	"errors"
	"os/user"
	"strconv"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// Requests that the child cannot serve itself: it runs as another user than the program, and cannot
// look users up.

// signalOnly signals one process, by its pidfd. The child has seen that it exists. If it has ended
// since, the signal is too late, as for a zombie.
func signalOnly(m ipc.SignalGroup, fds []int) unix.Errno {
	if len(fds) == 1 {
		_ = unix.PidfdSendSignal(fds[0], unix.Signal(m.Signal), nil, 0)
	}
	return 0
}

// lookFor returns the reason why a user's name or number is refused: it does not exist (ENOENT), or
// is not allowed (EPERM).
func lookFor(name string) unix.Errno {
	_, err := user.Lookup(name)
	if _, notNumber := strconv.ParseUint(name, 10, 32); err != nil && notNumber == nil {
		_, err = user.LookupId(name)
	}
	var noName user.UnknownUserError
	var noNumber user.UnknownUserIdError
	if errors.As(err, &noName) || errors.As(err, &noNumber) {
		return unix.ENOENT
	}
	return unix.EPERM
}
