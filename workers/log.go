package workers

import (
	"bytes"
	"time"

	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// Rotation says when a file that output is written to is put aside for a new one.
type Rotation struct {
	Size int64  // of a file, in bytes: at least MinLog
	Keep uint16 // how many old ones there are: Path.1 is the last of them
}

// MinLog is the least size of a file that is rotated, in bytes. Each rotation is a
// question to the spawner.
const MinLog = 4096

const (
	// lineSlack is up to how many bytes before its size a file may end, so that it
	// ends with a line; an eighth of the size when that is less.
	lineSlack = 64 << 10

	// logPiece is what is read and written at once, in bytes: what a pipe holds.
	logPiece = 64 << 10

	// troubleEvery is the time between two reports of trouble with one file. Who
	// fills a disk can make it come and go as fast as the program writes.
	troubleEvery = 10 * time.Second
)

// log is a file, with its rotation, to which the output of a stream is written. The
// program has a pipe; from there the bytes go to a descriptor that the spawner has
// opened as the worker's user. Nothing is lost between two files, for what comes
// meanwhile waits in the pipe. log owns the descriptor.
//
// A write to a file waits for the disk at worst as any program's does: there is no
// other way to write to one.
type log struct {
	o      *output
	fd     int32 // -1: not open yet
	ask    ipc.Rotate
	limit  int64
	size   int64
	full   bool   // the next byte goes to the next file
	asked  bool   // the spawner has been asked for it
	rest   []byte // asked: what has been read and goes there; it is the log's own
	failed bool
	told   time.Duration // when trouble was, of the loop's time
}

// newLog is the log of a stream; nil when it has none.
func newLog(o *output, sp StreamSpec, spec *Spec) *log {
	if !sp.logged() || spec.Terminal != nil && o.no <= Stderr {
		return nil
	}
	return &log{
		o: o, fd: -1, limit: sp.Rotate.Size, told: -troubleEvery,
		ask: ipc.Rotate{Dir: spec.Dir, Umask: spec.Attributes.Umask, Path: sp.Path, Mode: sp.Mode, Keep: sp.Rotate.Keep},
	}
}

// logged says whether a stream goes to a file by way of a log.
func (sp StreamSpec) logged() bool { return sp.Kind == File && sp.Rotate != nil }

// open takes over the file that is written to from now on. What is in it belongs to
// another run, so a new line begins: it is full if it could end there.
func (l *log) open(fd int) {
	l.close()
	l.fd, l.size = int32(fd), 0
	var st unix.Stat_t
	if eintr.Fstat(fd, &st) == nil {
		l.size = st.Size
	}
	l.full = l.size > 0 && l.size >= l.limit-l.slack()
}

// slack is how many bytes before its size a file may end.
func (l *log) slack() int64 { return min(lineSlack, l.limit/8) }

func (l *log) close() {
	if l.fd >= 0 {
		_ = unix.Close(int(l.fd))
		l.fd = -1
	}
}

// write writes what was read from the pipe. When a file is full the rest is copied and
// waits for the next one, and the pipe is not read.
func (l *log) write(b []byte) {
	if b = l.fill(b); len(b) > 0 {
		l.rest = bytes.Clone(b)
		l.rotate()
	}
}

// fill writes to the file as much as it takes, and returns the rest.
func (l *log) fill(b []byte) []byte {
	for len(b) > 0 && !l.full {
		n, last := l.fits(b)
		l.put(b[:n])
		l.full = last
		b = b[n:]
	}
	return b
}

// rotate asks for the next file.
func (l *log) rotate() {
	l.asked = true
	l.o.src.Remove()
	l.o.w.starter.askRotate(l)
}

// fits is how much of b the file takes, and whether it is full then: at the end of
// the first line that ends near its size, or else at its size.
func (l *log) fits(b []byte) (n int, last bool) {
	n = int(min(int64(len(b)), l.limit-l.size))
	near := max(0, l.limit-l.size-l.slack()) // offset in b
	if near < int64(n) {
		if i := bytes.IndexByte(b[near:n], '\n'); i >= 0 {
			return int(near) + i + 1, true
		}
	}
	return n, l.size+int64(n) == l.limit
}

// put writes to the file. What cannot be written is lost, and said so.
func (l *log) put(b []byte) {
	for len(b) > 0 {
		n, err := unix.Write(int(l.fd), b)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			l.trouble(ipc.ErrnoOf(err))
			return
		}
		l.size += int64(n)
		b = b[n:]
	}
	l.failed = false
}

// trouble tells the host once, until it has gone well again.
func (l *log) trouble(e unix.Errno) {
	now := l.o.w.starter.loop.Now()
	if !l.failed && now-l.told >= troubleEvery {
		l.told = now
		l.o.w.host.FileFailed(l.o.w, l.o.no, e)
	}
	l.failed = true
}

// rotated is the spawner's answer. Without a new file the old one is written to for
// as much again.
func (l *log) rotated(fd int, e unix.Errno) {
	l.asked = false
	if e == 0 {
		l.open(fd)
	} else {
		l.trouble(e)
		l.size, l.full = 0, false
	}
	if l.rest = l.fill(l.rest); len(l.rest) > 0 {
		l.rotate()
		return
	}
	l.rest = nil
	if l.o.draining {
		l.o.w.Resume()
	} else {
		l.o.mustWatch()
	}
}
