package spawner

import (
	"errors"
	"os/user"
	"strconv"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// What a spawner does beside starting programs since the child is another user, or knows
// no users.

// signalOnly signals one process, by its pidfd. That it exists the child has seen; if it
// has ended since it was too late for the signal, as for a zombie.
func signalOnly(m ipc.SignalGroup, fds []int) unix.Errno {
	if len(fds) == 1 {
		_ = unix.PidfdSendSignal(fds[0], unix.Signal(m.Signal), nil, 0)
	}
	return 0
}

// lookFor says why a user's name or number is refused: there is none (ENOENT), or it is
// not allowed (EPERM).
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
