package spawner

import (
	"errors"
	"os/user"
	"strconv"

	"erluv/eintr"
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

// anotherTerminal makes a terminal of our user, with the settings and the size of the
// given one. Its name in /dev/pts, by which a program may open it anew, is this user's
// then. Our end does not block, the program's does.
func anotherTerminal(like int) (ours, theirs int, err error) {
	settings, err := unix.IoctlGetTermios(like, unix.TCGETS2)
	if err != nil {
		return -1, -1, err
	}
	size, err := unix.IoctlGetWinsize(like, unix.TIOCGWINSZ)
	if err != nil {
		return -1, -1, err
	}
	ours, err = eintr.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, -1, err
	}
	if err = unix.IoctlSetPointerInt(ours, unix.TIOCSPTLCK, 0); err != nil {
		_ = unix.Close(ours)
		return -1, -1, err
	}
	if theirs, err = eintr.TerminalPeer(ours, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC); err != nil {
		_ = unix.Close(ours)
		return -1, -1, err
	}
	if err = unix.IoctlSetTermios(theirs, unix.TCSETS2, settings); err == nil {
		err = unix.IoctlSetWinsize(theirs, unix.TIOCSWINSZ, size)
	}
	if err != nil {
		ipc.CloseAll([]int{ours, theirs})
		return -1, -1, err
	}
	return ours, theirs, nil
}
