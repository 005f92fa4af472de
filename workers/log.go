package workers

import (
	"bytes"
	"time"

	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// Rotation says when an output file is put aside for a new one.
type Rotation struct {
	Size int64  // of a file, in bytes, at least MinLog
	Keep uint16 // how many old files are kept: Path.1 is the latest of them
}

// MinLog is the smallest size of a file with rotation, in bytes. Each rotation costs a request to
// the spawner.
const MinLog = 4096

const (
	// lineSlack is how many bytes below its size a file may end, so that it ends with a line. It is
	// an eighth of the size if that is less.
	lineSlack = 64 << 10

	// logPiece is how many bytes are read and written at once, as many as a pipe holds.
	logPiece = 64 << 10

	// troubleEvery is the least time between two reports of trouble with a file. A program that
	// fills a disk can make trouble come and go as fast as it writes.
	troubleEvery = 10 * time.Second
)

// log is a file with rotation for the output of a stream. The program writes to a pipe. From there
// the bytes go to a descriptor that the spawner opened as the worker's user. No byte is lost
// between two files, because output waits in the pipe meanwhile. log owns the descriptor.
//
// A write to a file may wait for the disk, as in any program: O_NONBLOCK has no effect on regular
// files (open(2)).
type log struct {
	o      *output
	fd     int32 // -1: not open yet
	ask    ipc.Rotate
	limit  int64
	size   int64
	full   bool   // the next byte goes to the next file
	asked  bool   // the next file was requested from the spawner
	rest   []byte // bytes for the next file while asked is set; the log owns them
	failed bool
	told   time.Duration // loop time of the last report of trouble
}

// newLog makes the log of a stream, nil if the stream has none.
func newLog(o *output, sp StreamSpec, spec *Spec) *log {
	if !sp.logged() || spec.Terminal != nil && o.no <= Stderr {
		return nil
	}
	return &log{
		o: o, fd: -1, limit: sp.Rotate.Size, told: -troubleEvery,
		ask: ipc.Rotate{Dir: spec.Dir, Umask: spec.Attributes.Umask, Path: sp.Path, Mode: sp.Mode, Keep: sp.Rotate.Keep},
	}
}

// logged reports whether a stream goes to a file through a log.
func (sp StreamSpec) logged() bool { return sp.Kind == File && sp.Rotate != nil }

// open takes over the next file. Its content may come from an earlier run, so the output begins a
// new line: a file that could already end there counts as full.
func (l *log) open(fd int) {
	l.close()
	l.fd, l.size = int32(fd), 0
	var st unix.Stat_t
	if eintr.Fstat(fd, &st) == nil {
		l.size = st.Size
	}
	l.full = l.size > 0 && l.size >= l.limit-l.slack()
}

// slack is how many bytes below its size a file may end.
func (l *log) slack() int64 { return min(lineSlack, l.limit/8) }

func (l *log) close() {
	if l.fd >= 0 {
		_ = unix.Close(int(l.fd))
		l.fd = -1
	}
}

// write writes bytes that were read from the pipe. If the file becomes full, the remainder is
// copied and waits for the next file, and the pipe is not read.
func (l *log) write(b []byte) {
	if b = l.fill(b); len(b) > 0 {
		l.rest = bytes.Clone(b)
		l.rotate()
	}
}

// fill writes as much as the file takes, and returns the remainder.
func (l *log) fill(b []byte) []byte {
	for len(b) > 0 && !l.full {
		n, last := l.fits(b)
		l.put(b[:n])
		l.full = last
		b = b[n:]
	}
	return b
}

// rotate requests the next file.
func (l *log) rotate() {
	l.asked = true
	l.o.src.Remove()
	l.o.w.starter.askRotate(l)
}

// fits returns how many bytes of b the file takes, and whether it is full then. A file ends behind
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

// put writes to the file. If that fails, the bytes are lost and the host gets a report.
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

// trouble reports a failure to the host, once until a write succeeds.
func (l *log) trouble(e unix.Errno) {
	now := l.o.w.starter.loop.Now()
	if !l.failed && now-l.told >= troubleEvery {
		l.told = now
		l.o.w.host.FileFailed(l.o.w, l.o.no, e)
	}
	l.failed = true
}

// rotated takes the spawner's answer. Without a new file, the old one takes as many bytes again.
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
