package spawner

import (
	"time"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// A control group that is not to be used again is removed when there is time for it:
// that costs as much as to start a program, half of it in the kernel's background,
// and programs end in crowds.
const (
	// maxFree is how many empty leaves are kept; the others are removed. Each costs
	// the kernel some kilobytes.
	maxFree = 1024

	// maxOver is how many leaves may wait to be removed, when there is never time.
	maxOver = 1024

	// There is time when nothing was asked for since tidyAfter; then tidyAtOnce are
	// removed, and so many again each tidyPause.
	tidyAfter  = time.Second
	tidyAtOnce = 16
	tidyPause  = 10 * time.Millisecond
)

// untidy says whether there is something to remove.
func (l *leaves) untidy() bool { return len(l.over) > 0 || len(l.free) > maxFree }

// tidy removes what is not used again, so many at most.
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

// rest is how long to wait for the next request before there is time to tidy; 0:
// without end, for there is nothing to do. With tidied this is what was done last.
func (l *leaves) rest(tidied bool) time.Duration {
	switch {
	case !l.untidy():
		return 0
	case tidied:
		return tidyPause
	}
	return tidyAfter
}
