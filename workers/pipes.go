package workers

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// pipes shares out what the pipes of one user may hold: 16,384 pages unless the
// administrator has changed /proc/sys/fs/pipe-user-pages-soft (pipe(7)). Beyond that
// the kernel gives a new pipe two pages, and none can grow, so 350 idle programs would
// make each further one slow. Here a pipe begins with what it has by default while
// there is plenty, with one page after that, and grows when it has been found full.
type pipes struct {
	budget int // pages; 0: no limit
	used   int
}

// Sizes of pipes, in pages.
const (
	pagesByDefault = 16
	pagesScarce    = 1
	pagesMost      = 64 // 256 KiB: what is read at once (childproc.maxPiece)

	// fullReads is after how many reads in a row that emptied a full pipe it grows
	// beyond the default.
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

// room says whether that many pages more leave enough for those who need them.
func (p *pipes) room(more, of int) bool { return p.budget == 0 || p.used+more <= p.budget/of }

// pipe is one of them, by its size in pages; 0: what is read or written is no pipe.
type pipe struct {
	pages int16
	full  uint8 // how often it was found full, one after the other
	fixed bool  // it cannot grow
}

// made takes a new one into account. Half of what there is is kept for those that are
// busy.
func (p *pipes) made(fd int) pipe {
	size := pipe{pages: pagesByDefault}
	if !p.room(pagesByDefault, 2) {
		size = p.resized(fd, size, pagesScarce)
	}
	p.used += int(size.pages)
	return size
}

// gone: it is closed.
func (p *pipes) gone(size *pipe) {
	p.used -= int(size.pages)
	*size = pipe{}
}

// moved notes that n bytes were read from a pipe at once, or did not all fit into it.
// One that is found full again and again grows.
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

// resized gives a pipe another size. The kernel may refuse: others of the user have
// pipes too.
func (p *pipes) resized(fd int, size pipe, pages int16) pipe {
	if n, err := unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, int(pages)*pageSize); err == nil {
		size.pages = int16(min(n/pageSize, 1<<15-1))
	} else {
		size.fixed = pages > size.pages
	}
	return size
}
