package workers

import (
	"bytes"

	"erluv/loop"

	"golang.org/x/sys/unix"
)

// Limits of the bytes that wait for programs that do not read their stdin. The pipe itself holds
// another 64 KiB.
const (
	// MaxCommands bounds the bytes that wait for one worker when Command is called.
	MaxCommands = 1 << 20
	// MaxWrites bounds the bytes that wait for one worker when Write is called. If no bytes wait, a
	// write of any size is accepted, so every write is possible.
	MaxWrites = 4 << 20
	// MaxWaiting bounds the bytes that wait for all programs together. It is the largest frame of a
	// node (peer.MaxFrame), so every write is possible while no other waits.
	MaxWaiting = 64 << 20

	// alwaysTaken is the size up to which a write is always accepted if no bytes wait. It is the
	// most that a pipe takes as a whole (pipe(7), PIPE_BUF).
	alwaysTaken = 4 << 10

	// pieceCost is what a waiting call counts besides its bytes, for the piece and the host's
	// token. Commands are merged and have no such cost.
	pieceCost = 256

	// maxPut is how many bytes are written to one pipe in a round of the loop. A program that reads
	// as fast as the child writes must not keep the loop from others.
	maxPut = pagesMost * 4096
)

// input is a pipe that a program reads, most often stdin. It owns the writing end, or one of the
// two descriptors of a terminal. That descriptor stays open as long as the program runs, because
// closing the last one hangs up the terminal. Data is written from the caller's buffer. Only bytes
// that the pipe does not take are copied and wait.
type input struct {
	w       *Worker
	queue   *queue // nil: no bytes wait
	bytes   uint64
	fd      int32 // -1: no pipe, or closed
	pipe    pipe
	no      Stream
	closing bool // closed by the host: no more is accepted, waiting bytes are written
	ended   bool // a terminal: the end of input was written too
	last    byte // a terminal: the last byte written
	later   bool // it cannot be watched now, and is tried again soon
}

// queue has the bytes that wait for a full pipe, or for the program to start. It has at least one
// piece.
type queue struct {
	pieces []piece
	bytes  int         // in all of them
	src    loop.Source // of the pipe, until it takes more
}

// piece is the remainder of one write. If it has a token, the host gets Wrote once the piece is in
// the pipe.
type piece struct {
	data  []byte
	size  int // of the whole piece, which is kept until it is written
	token any
}

func (in *input) init(w *Worker, no Stream) { in.w, in.no, in.fd, in.last = w, no, -1, '\n' }

func (in *input) tty() bool { return in.w.tty && in.no == Stdin }

// Write writes data to stdin. Wrote is called with the token when all of it is in the pipe: within
// the call if the pipe takes it at once. Write returns EAGAIN if data would exceed MaxWrites or
// MaxWaiting. It returns EPIPE if stdin is closed or has no reader any more. With an error, Wrote
// is not called.
func (w *Worker) Write(data []byte, token any) error { return w.WriteTo(Stdin, data, token) }

// Command writes data to stdin without an answer. It returns EAGAIN if data would exceed
// MaxCommands or MaxWaiting, and EPIPE as Write does.
func (w *Worker) Command(data []byte) error {
	if w.in.full(len(data), MaxCommands) || w.in.crowded(len(data)) {
		return unix.EAGAIN
	}
	return w.in.write(data, nil)
}

func (in *input) full(more, limit int) bool {
	return in.queue != nil && in.queue.bytes+len(in.queue.pieces)*pieceCost+more > limit
}

// CloseStdin closes stdin once all waiting bytes are written.
func (w *Worker) CloseStdin() { _ = w.CloseInput(Stdin) }

// Waiting is how many bytes wait to be written to stdin.
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

// crowded reports whether that much more would exceed MaxWaiting. A small write is accepted if no
// bytes wait for this program. So other programs do not hold up one that reads.
func (in *input) crowded(more int) bool {
	if in.queue == nil && more <= alwaysTaken {
		return false
	}
	return in.w.starter.Crowded(more)
}

// Crowded reports whether that much more would exceed MaxWaiting, for all programs of all Starters.
func (s *Starter) Crowded(more int) bool { return more > MaxWaiting-s.budget.waiting }

// open reports whether there is a pipe, or will be once the program starts.
func (in *input) open() bool {
	if sp := in.w.spec; in.w.life.state == Starting && sp != nil {
		return in.no != Stdin || sp.Streams[Stdin].Kind == Pipe
	}
	return in.fd >= 0
}

// Ready writes when the pipe takes more, or notices that it has no reader any more.
func (in *input) Ready(loop.Events) { in.flush() }

// flush writes waiting bytes that the pipe takes, at most maxPut.
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

// put writes as much as the pipe takes, at most room. It returns 0 if the pipe is full. If the pipe
// could take more, epoll reports it again in the next round.
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
		in.w.starter.budget.pipes.moved(int(in.fd), &in.pipe, len(data)) // the pipe should have had room for all of them
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

// broken is called when the pipe has no reader any more.
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

// abandon closes the pipe, and answers waiting writes with the error.
func (in *input) abandon(err error) {
	in.close()
	in.answer(err)
}

// answer answers all waiting writes with the error.
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

// close closes the pipe. Waiting bytes stay.
func (in *input) close() {
	if in.fd >= 0 {
		in.unwatch()
		_ = unix.Close(int(in.fd))
		in.fd = -1
		in.w.starter.budget.pipes.gone(&in.pipe)
	}
}
