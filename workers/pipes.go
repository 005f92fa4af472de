package workers

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// pipes shares out the pages that the pipes of one user may hold: 16,384, unless the administrator
// has changed /proc/sys/fs/pipe-user-pages-soft (pipe(7)). Beyond that, the kernel gives a new pipe
// two pages, and no pipe can grow. So 350 idle programs would slow down every further one. Here a
// new pipe has the default size while pages are plenty, and one page after that. It grows when it
// is found full.
type pipes struct {
	budget int // pages; 0 means no limit
	used   int
}

// Sizes of pipes, in pages.
const (
	pagesByDefault = 16
	pagesScarce    = 1
	pagesMost      = 64 // 256 KiB, as much as is read at once (childproc.maxPiece)

	// fullReads is how many successive reads must empty a full pipe before it grows beyond the
	// default.
	fullReads = 4
)

var pageSize = os.Getpagesize()

func newPipes() pipes {
	b, err := os.ReadFile("/proc/sys/fs/pipe-user-pages-soft")
	if err != nil {
		return pipes{}
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return pipes{budget: n}
}

// room reports whether the total with more pages is at most the budget divided by of.
func (p *pipes) room(more, of int) bool { return p.budget == 0 || p.used+more <= p.budget/of }

// pipe is the state of one pipe. If the stream is no pipe, pages is 0.
type pipe struct {
	pages int16
	full  uint8 // how often in a row it was found full
	fixed bool  // it cannot grow
}

// made takes a new pipe into account. Half of the budget is kept for busy pipes.
func (p *pipes) made(fd int) pipe {
	size := pipe{pages: pagesByDefault}
	if !p.room(pagesByDefault, 2) {
		size = p.resized(fd, size, pagesScarce)
	}
	p.used += int(size.pages)
	return size
}

// gone takes the close of a pipe into account.
func (p *pipes) gone(size *pipe) {
	p.used -= int(size.pages)
	*size = pipe{}
}

// moved notes that n bytes were read from a pipe at once, or did not all fit into it. A pipe that
// is repeatedly found full grows.
func (p *pipes) moved(fd int, size *pipe, n int) {
	if size.fixed || size.pages == 0 || size.pages >= pagesMost {
		return
	}
	if n < int(size.pages)*pageSize {
		size.full = 0
		return
	}
	size.full++
	want := int16(pagesByDefault)
	if size.pages >= want {
		want = pagesMost
		if size.full < fullReads {
			return
		}
	}
	size.full = 0
	if !p.room(int(want-size.pages), 1) {
		return
	}
	p.used -= int(size.pages)
	*size = p.resized(fd, *size, want)
	p.used += int(size.pages)
}

// resized changes the size of a pipe. The kernel may refuse, because other processes of the user
// have pipes too.
func (p *pipes) resized(fd int, size pipe, pages int16) pipe {
	if n, err := unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, int(pages)*pageSize); err == nil {
		size.pages = int16(min(n/pageSize, 1<<15-1))
	} else {
		size.fixed = pages > size.pages
	}
	return size
}
