package childproc

import (
	"erluv/childproc/upload"
	"erluv/ipc"
	"erluv/loop"
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// writerHost is the manager as the host of processes that write uploads: see workers.Host. Such a
// process never causes those calls that only programs cause.
type writerHost struct{ m *manager }

// answerInPart is an answer of such a process, as far as it was read.
type answerInPart struct {
	bytes [ipc.UploadAnswerSize]byte
	n     int
}

// tell writes to the process, which answers the call later. It returns false if it has answered the
// call.
func (p *incoming) tell(m *manager, to caller, frame []byte) bool {
	w := m.keep(to, 0)
	if w == nil {
		return false
	}
	// The token keeps frames apart. If the pipe breaks, the process ends, and that answers the
	// call.
	if p.w.Write(frame, p) == unix.EAGAIN {
		w.reply(errorHeld)
		return false
	}
	p.calls = append(p.calls, w)
	return true
}

// heard takes an answer of the process. After an error the process ends, and calls are answered
// once it has.
func (p *incoming) heard(m *manager, a ipc.UploadAnswer) {
	switch {
	case a.Errno == unix.EBADMSG:
		p.why = otherSum(a.Sum)
	case a.Errno != 0:
		p.why = gen.Errno(a.Errno)
	case p.life.State == upload.Opening:
		p.step(m, upload.Opened)
	case a.Sum != [len(a.Sum)]byte{}:
		p.sum, p.done = a.Sum, true
		m.logUpload(p)
	case len(p.calls) > 0:
		p.answerOne(etf.Atom("ok"))
	}
}

// Group is the method of workers.Host.
func (h writerHost) Group(w *workers.Worker) *loop.Group { return w.Tag.(*incoming).client.Streams }

// Started does nothing: the upload exists once the file is open.
func (writerHost) Started(*workers.Worker) {}

// Failed is the method of workers.Host.
func (h writerHost) Failed(w *workers.Worker, f ipc.Refusal) {
	p := w.Tag.(*incoming)
	p.why = failureTerm(f)
	p.step(h.m, upload.Over)
}

// Room is the method of workers.Host.
func (writerHost) Room(w *workers.Worker, _ workers.Stream) workers.Space {
	p := w.Tag.(*incoming)
	return workers.Space{Bytes: p.answer.bytes[p.answer.n:]}
}

// Took is the method of workers.Host.
func (h writerHost) Took(w *workers.Worker, _ workers.Stream, _ workers.Space, n int) {
	p := w.Tag.(*incoming)
	if p.answer.n += n; p.answer.n == len(p.answer.bytes) {
		p.answer.n = 0
		p.heard(h.m, ipc.ReadUploadAnswer(p.answer.bytes))
	}
}

// Gone is the method of workers.Host.
func (h writerHost) Gone(w *workers.Worker, e workers.Exit) {
	p := w.Tag.(*incoming)
	if !p.done && p.why == nil && p.life.State != upload.Ending {
		p.why = exitTerm(e) // it was killed
	}
	p.step(h.m, upload.Over)
}

// The remaining methods of workers.Host.

func (writerHost) Drains(*workers.Worker)                                 {}
func (writerHost) Ended(*workers.Worker, workers.Stream)                  {}
func (writerHost) FileFailed(*workers.Worker, workers.Stream, unix.Errno) {}
func (writerHost) Wrote(*workers.Worker, any, error)                      {}
func (writerHost) TimedOut(*workers.Worker)                               {}
func (writerHost) Stopped(*workers.Worker, unix.Signal)                   {}
func (writerHost) Continued(*workers.Worker)                              {}
func (writerHost) Notified(*workers.Worker, workers.Notice)               {}
