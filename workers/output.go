package workers

import (
	"erluv/eintr"
	"erluv/loop"

	"golang.org/x/sys/unix"
)

// output is a pipe that a program writes to: stdout, stderr or another. It owns the reading end, or
// one of the two descriptors of a terminal. It has no buffer. Output stays in the pipe until the
// host provides space, so the pipe is the queue.
type output struct {
	w        *Worker
	src      loop.Source
	log      *log // the file for the output instead of the host; nil: none
	bytes    uint64
	fd       int32 // -1: no pipe, or ended
	left     int32 // draining: bytes in the pipe still to be delivered
	pipe     pipe
	no       Stream
	draining bool
	held     bool // the host does not want output now
	later    bool // see mustWatch
}

func (o *output) init(w *Worker, no Stream, sp StreamSpec, spec *Spec) {
	o.w, o.no, o.fd, o.log = w, no, -1, newLog(o, sp, spec)
}

func (o *output) tty() bool { return o.w.tty && o.no == Stdout }

func (o *output) watch() error {
	if o.fd < 0 || o.held || o.src.Active() {
		return nil
	}
	var err error
	if o.log != nil {
		// It is not in the group, because it does not wait for the host.
		o.src, err = o.w.starter.loop.Watch(int(o.fd), loop.In, o)
	} else {
		o.src, err = o.w.host.Group(o.w).Watch(int(o.fd), loop.In, o)
	}
	return err
}

// hold stops or resumes watching the pipe.
func (o *output) hold(held bool) {
	if o.held == held || o.log != nil {
		return
	}
	o.held = held
	switch {
	case held:
		o.src.Remove()
	case o.w.life.state != Starting:
		o.mustWatch()
	}
}

// Ready reads one piece of output, or the end.
func (o *output) Ready(loop.Events) {
	if o.draining {
		o.w.Resume()
		return
	}
	o.read()
}

// progress is the result of a read.
type progress uint8

const (
	gotSome progress = iota
	gotNothing
	gotEnd
	noRoom
)

// read takes one piece out of the pipe into the host's space.
func (o *output) read() progress {
	room := o.room()
	if len(room.Bytes) == 0 {
		return noRoom
	}
	if o.pipe.pages >= pagesMost {
		letWrite()
	}
	n, err := readInto(room.Bytes, int(o.fd))
	if n > 0 {
		o.bytes += uint64(n)
		if o.draining {
			o.left -= int32(n)
		}
		o.w.limits.wrote(o.w)
		o.w.starter.budget.pipes.moved(int(o.fd), &o.pipe, n)
		o.took(room, n)
		return gotSome
	}
	o.took(room, 0)
	if o.fd < 0 {
		return gotEnd // Took has ended the worker
	}
	if err == unix.EAGAIN {
		return gotNothing
	}
	o.end() // end of file, or EIO of a terminal; a pipe has no errors
	return gotEnd
}

// letWrite lets a program on this processor write more before its output is read. The kernel wakes
// the child at the program's first write, often on the program's processor, and would let the child
// read that little at once. A stream on two processors is a sixth faster this way. Other processes
// that wait for this processor run first too (sched_yield(2)), so only streams that fill their pipe
// again and again yield.
func letWrite() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// readInto reads into memory of the host. The kernel allocates pages of shared memory at their
// first use, and read(2) fails with EFAULT if there is none. Any other way on would lose output, so
// the child panics, as if it had been killed for lack of memory.
func readInto(room []byte, fd int) (int, error) {
	n, err := eintr.Read(fd, room)
	if err == unix.EFAULT {
		panic("workers: out of memory: no page for output")
	}
	return n, err
}

// room returns the space for the next piece.
func (o *output) room() Space {
	switch {
	case o.log == nil:
		return o.w.host.Room(o.w, o.no)
	case o.log.asked:
		return Space{}
	}
	return Space{Bytes: o.w.starter.logRoom()}
}

func (o *output) took(room Space, n int) {
	if o.log == nil {
		o.w.host.Took(o.w, o.no, room, n)
	} else {
		o.log.write(room.Bytes[:n])
	}
}

// beginDrain counts the bytes that are in the pipe now. Those are delivered. A process that still
// holds the other end and goes on writing does not prolong the delivery.
func (o *output) beginDrain() {
	if o.fd < 0 {
		return
	}
	if o.tty() {
		// TIOCINQ sees only the last of several buffers. read(2) sees them all, and then returns
		// EAGAIN, or EIO once the other end is closed.
		o.left, o.draining = terminalHolds, true
		return
	}
	n, err := unix.IoctlGetInt(int(o.fd), unix.TIOCINQ)
	if err != nil {
		n = 0
	}
	o.left, o.draining = int32(n), true
}

// drain delivers the counted bytes, then closes the pipe. It returns false if there is no room for
// more at present.
func (o *output) drain() bool {
	for o.fd >= 0 {
		if o.log != nil && o.log.asked {
			return false
		}
		if o.left <= 0 || o.held && o.tty() && !readable(int(o.fd)) {
			o.end()
			break
		}
		if o.held {
			return false
		}
		switch o.read() {
		case noRoom:
			return false
		case gotNothing:
			o.left = 0
		}
	}
	return true
}

// end closes the pipe and reports the end of the stream.
func (o *output) end() {
	o.close()
	if o.tty() {
		o.w.in.broken() // writes would still find room in the terminal
	}
	o.w.streamEnded(o)
}

func (o *output) close() {
	if o.fd >= 0 {
		o.src.Remove()
		_ = unix.Close(int(o.fd))
		o.fd = -1
		o.w.starter.budget.pipes.gone(&o.pipe)
	}
	if o.log != nil {
		o.log.close()
	}
}
