package spawner

import (
	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// openTerminal makes a terminal for a program. The program's end blocks, the child's do not. The
// child has two descriptors, one for each direction, so that each has a place in epoll. When both
// are closed, the terminal is hung up.
//
// github.com/creack/pty does not fit. It opens the program's end by name, in any file system that
// is mounted on /dev/pts. It also returns both ends as os.File, whose Fd makes the descriptor
// blocking again.
func openTerminal(t *ipc.Terminal) (ours [2]int, theirs int, err error) {
	var opened []int
	defer func() {
		if err != nil {
			ipc.CloseAll(opened)
		}
	}()
	ours[0], theirs, err = openPair(t.Reopen, &opened)
	if err != nil {
		return
	}
	if ours[1], err = unix.FcntlInt(uintptr(ours[0]), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		return
	}
	opened = append(opened, ours[1])
	if t.Clear != (ipc.Modes{}) {
		var settings *unix.Termios
		if settings, err = unix.IoctlGetTermios(theirs, unix.TCGETS2); err != nil {
			return
		}
		change(settings, &t.Clear, &t.Set)
		if err = unix.IoctlSetTermios(theirs, unix.TCSETS2, settings); err != nil {
			return
		}
	}
	err = unix.IoctlSetWinsize(theirs, unix.TIOCSWINSZ, &unix.Winsize{Row: t.Rows, Col: t.Cols})
	return
}

// openPair opens both ends of a new terminal. The kernel gives its file in /dev/pts to the thread's
// file system user. That is the keeper, so that other programs of the worker's user can neither
// read nor write there. A program can use its own terminal by descriptor and by /dev/tty. It cannot
// open it by name, in /dev/pts or /dev/stdin, unless users is true and the file is its user's.
func openPair(users bool, opened *[]int) (ours, theirs int, err error) {
	kept := ownIDs().kept() && !users
	if kept {
		defer asKeeper()()
	}
	ours, err = eintr.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	*opened = append(*opened, ours)
	if err = unix.IoctlSetPointerInt(ours, unix.TIOCSPTLCK, 0); err != nil {
		return
	}
	if theirs, err = eintr.TerminalPeer(ours, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC); err != nil {
		return
	}
	*opened = append(*opened, theirs)
	if kept {
		// devpts may let a group write, which may be the programs' group. EPERM means that devpts
		// gives all terminals to one user (uid=).
		if err = eintr.Fchmod(theirs, 0o600); err == unix.EPERM {
			err = nil
		}
	}
	return
}

// change applies the differences from the kernel's settings.
func change(t *unix.Termios, clear, set *ipc.Modes) {
	t.Iflag = t.Iflag&^clear.Iflag | set.Iflag
	t.Oflag = t.Oflag&^clear.Oflag | set.Oflag
	t.Cflag = t.Cflag&^clear.Cflag | set.Cflag
	t.Lflag = t.Lflag&^clear.Lflag | set.Lflag
	for i := range t.Cc {
		t.Cc[i] = t.Cc[i]&^clear.Cc[i] | set.Cc[i]
	}
}
