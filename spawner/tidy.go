package spawner

import (
	"time"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// Control groups that are not reused are removed when the spawner is idle. To remove one costs as
// much as to start a program, half of it in the kernel's background. Programs often end in crowds.
const (
	// maxFree is how many empty leaves are kept; the others are removed. Each costs the kernel some
	// kilobytes.
	maxFree = 1024

	// maxOver is how many leaves may wait to be removed if the spawner is never idle.
	maxOver = 1024

	// The spawner is idle tidyAfter the last request. Then it removes tidyAtOnce leaves, and as
	// many after each tidyPause.
	tidyAfter  = time.Second
	tidyAtOnce = 16
	tidyPause  = 10 * time.Millisecond
)

// untidy reports whether there is something to remove.
func (l *leaves) untidy() bool { return len(l.over) > 0 || len(l.free) > maxFree }

// tidy removes unneeded leaves, at most the given number.
func (l *leaves) tidy(most int) {
	defer asKeeper()()
	for ; most > 0 && l.untidy(); most-- {
		list := &l.free
		if len(l.over) > 0 {
			list = &l.over
		}
		n := (*list)[0]
		*list = (*list)[1:]
		_ = eintr.Unlinkat(l.dir, name(n), unix.AT_REMOVEDIR)
	}
	if !l.untidy() {
		l.over = nil
	}
}

// rest returns how long to wait for the next request before the next tidy. 0 means without end,
// because nothing is to be removed. tidied says that the spawner has just tidied.
func (l *leaves) rest(tidied bool) time.Duration {
	switch {
	case !l.untidy():
		return 0
	case tidied:
		return tidyPause
	}
	return tidyAfter
}
