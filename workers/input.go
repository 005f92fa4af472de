package workers

import (
	"bytes"

	"erluv/loop"

	"golang.org/x/sys/unix"
)

// Limits of what waits for a program that does not read its stdin, in bytes for
// each worker. The pipe itself holds another 64 KiB.
const (
	// MaxCommands bounds what is sent without waiting for an answer.
	MaxCommands = 1 << 20
	// MaxWrites bounds what waits in calls. A single write is taken whatever
	// its size when nothing waits, so every write can be made.
	MaxWrites = 4 << 20
	// MaxWaiting bounds what waits for all programs together, in bytes. It is the
	// largest frame of a node (peer.MaxFrame), so that every write can be made
	// while no other waits.
	MaxWaiting = 64 << 20

	// alwaysTaken is how much is, where nothing waits: as much as a pipe takes whole
	// (pipe(7), PIPE_BUF).
	alwaysTaken = 4 << 10

	// pieceCost is what a waiting call counts besides its bytes: the piece and
	// the host's token. Commands are run together and have no such cost.
	pieceCost = 256

	// maxPut bounds what is written to one pipe in a round of the loop, in bytes. A
	// program that reads as fast as the child writes must not keep the loop from others.
	maxPut = pagesMost * 4096
)

// input is a pipe that a program reads, stdin first of all: it owns the writing end,
// or one of the two descriptors of a terminal, which stays open as long as the
// program, for a terminal is hung up with the last one. Data is written from where
// it stands; only what the pipe does not take is copied and waits.
type input struct {
	w       *Worker
	queue   *queue // nil: nothing waits
	bytes   uint64
	fd      int32 // -1: no pipe, or closed
	pipe    pipe
	no      Stream
	closing bool // closed by the host: no more is taken, what waits is written
	ended   bool // a terminal: the end was written too
	last    byte // a terminal: what was written last
	later   bool // it cannot be watched, and is looked at soon
}

// queue is what waits for a pipe that is full, or for the program to start: one piece
// at least.
type queue struct {
	pieces []piece
	bytes  int         // in all of them
	src    loop.Source // of the pipe, until it takes more
}

// piece is the rest of one write. With a token the host is told when it is in
// the pipe.
type piece struct {
	data  []byte
	size  int // of all of it, which is kept until it is written
	token any
}

func (in *input) init(w *Worker, no Stream) { in.w, in.no, in.fd, in.last = w, no, -1, '\n' }

func (in *input) tty() bool { return in.w.tty && in.no == Stdin }

// Write writes data to stdin, and has Wrote called with the token when all of it
// is in the pipe: within the call if the pipe takes it at once. EAGAIN when
// MaxWrites or MaxWaiting would be passed, EPIPE when stdin is closed or nobody reads it any
// more: Wrote is not called then.
func (w *Worker) Write(data []byte, token any) error { return w.WriteTo(Stdin, data, token) }

// Command writes data to stdin without an answer. EAGAIN when MaxCommands would
// be passed; EPIPE as with Write.
func (w *Worker) Command(data []byte) error {
	if w.in.full(len(data), MaxCommands) || w.in.crowded(len(data)) {
		return unix.EAGAIN
	}
	return w.in.write(data, nil)
}

func (in *input) full(more, limit int) bool {
	return in.queue != nil && in.queue.bytes+len(in.queue.pieces)*pieceCost+more > limit
}

// CloseStdin closes stdin once what waits has been written.
func (w *Worker) CloseStdin() { _ = w.CloseInput(Stdin) }

// Waiting is the number of bytes that wait to be written to stdin.
func (w *Worker) Waiting() int {
	if w.in.queue == nil {
		return 0
	}
	return w.in.queue.bytes
}

func (in *input) write(data []byte, token any) error {
	if in.closing || !in.open() {
		return unix.EPIPE
	}
	if in.queue == nil && in.fd >= 0 && in.w.life.state != Starting {
		n, err := in.put(data, maxPut)
		if err != nil {
			in.broken()
			return unix.EPIPE
		}
		data = data[n:]
		if len(data) == 0 {
			if token != nil {
				in.w.host.Wrote(in.w, token, nil)
			}
			return nil
		}
	}
	if in.queue == nil {
		in.queue = &queue{}
	}
	q := in.queue
	q.bytes += len(data)
	in.w.starter.budget.waiting += len(data)
	if last := len(q.pieces) - 1; token == nil && last >= 0 && q.pieces[last].token == nil {
		q.pieces[last].data = append(q.pieces[last].data, data...)
		q.pieces[last].size += len(data)
		return nil
	}
	q.pieces = append(q.pieces, piece{bytes.Clone(data), len(data), token})
	in.watch()
	return nil
}

// crowded: all programs together have too much waiting for that much more. A little is
// taken where nothing waits, so that a program that reads is not held up by others.
func (in *input) crowded(more int) bool {
	if in.queue == nil && more <= alwaysTaken {
		return false
	}
	return in.w.starter.Crowded(more)
}

// Crowded says whether the programs of all Starters have too much waiting for that much
// more.
func (s *Starter) Crowded(more int) bool { return more > MaxWaiting-s.budget.waiting }

// open: there is a pipe, or there will be one.
func (in *input) open() bool {
	if sp := in.w.spec; in.w.life.state == Starting && sp != nil {
		return in.no != Stdin || sp.Streams[Stdin].Kind == Pipe
	}
	return in.fd >= 0
}

// Ready: the pipe takes more, or nobody reads it any more.
func (in *input) Ready(loop.Events) { in.flush() }

// flush writes what waits, as far as the pipe takes it, up to maxPut.
func (in *input) flush() {
	if in.w.life.state == Starting || in.fd < 0 {
		return
	}
	for room := maxPut; in.queue != nil; room -= pieceCost {
		q := in.queue
		p := &q.pieces[0]
		n, err := in.put(p.data, max(room, 0))
		q.bytes -= n
		room -= n
		if err != nil {
			in.broken()
			return
		}
		if p.data = p.data[n:]; len(p.data) > 0 {
			in.watch()
			return
		}
		token := p.token
		in.w.starter.budget.waiting -= p.size
		*p = piece{}
		if q.pieces = q.pieces[1:]; len(q.pieces) == 0 {
			q.src.Remove()
			in.queue = nil
		}
		if token != nil {
			in.w.host.Wrote(in.w, token, nil)
		}
	}
	switch {
	case !in.closing || in.ended:
	case in.tty():
		in.ended = true
		if end := endOfInput(int(in.fd), in.last); end != nil {
			in.queue = &queue{pieces: []piece{{data: end, size: len(end)}}, bytes: len(end)}
			in.w.starter.budget.waiting += len(end)
			in.flush()
		}
	default:
		in.abandon(nil)
	}
}

// put writes to the pipe what it takes, up to room; 0 when it is full. When the pipe
// could take more, it is told to be ready in the next round.
func (in *input) put(data []byte, room int) (total int, err error) {
	for most := min(len(data), room); total < most && err == nil; {
		var n int
		n, err = unix.Write(int(in.fd), data[total:most])
		if err == unix.EINTR {
			err = nil
		}
		total += max(n, 0)
	}
	if err == unix.EAGAIN {
		in.w.starter.budget.pipes.moved(int(in.fd), &in.pipe, len(data)) // as many as it should have had room for
	}
	in.bytes += uint64(total)
	if total > 0 {
		in.last = data[total-1]
	}
	if err == unix.EAGAIN {
		err = nil
	}
	return total, err
}

func (in *input) watch() {
	q := in.queue
	if q.src.Active() || in.fd < 0 || in.w.life.state == Starting {
		return
	}
	var err error
	if q.src, err = in.w.starter.loop.Watch(int(in.fd), loop.Out, in); err != nil && !in.later {
		in.later = true
		in.w.starter.loop.After(watchPause, func() {
			in.later = false
			in.flush()
		})
	}
}

func (in *input) unwatch() {
	if in.queue != nil {
		in.queue.src.Remove()
	}
}

// broken: nobody reads any more.
func (in *input) broken() {
	if !in.tty() {
		in.abandon(unix.EPIPE)
		return
	}
	in.unwatch()
	in.closing = true
	in.answer(unix.EPIPE)
	in.ended = true
}

// abandon closes the pipe; what waits is answered with the error.
func (in *input) abandon(err error) {
	in.close()
	in.answer(err)
}

// answer tells those whose writes wait that it is over.
func (in *input) answer(err error) {
	q := in.queue
	if q == nil {
		return
	}
	in.queue = nil
	for _, p := range q.pieces {
		in.w.starter.budget.waiting -= p.size
		if p.token != nil || err != nil && !in.ended { // else it is the end of a terminal's input
			in.w.host.Wrote(in.w, p.token, err)
		}
	}
}

// close closes the pipe; what waits stays.
func (in *input) close() {
	if in.fd >= 0 {
		in.unwatch()
		_ = unix.Close(int(in.fd))
		in.fd = -1
		in.w.starter.budget.pipes.gone(&in.pipe)
	}
}
