package childproc

import (
	"erluv/wire/etf"
	"erluv/wire/gen"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// FileFailed reports to the owner that output could not be written to its file, or the file not
// rotated.
func (m *manager) FileFailed(w *workers.Worker, s workers.Stream, e unix.Errno) {
	p := w.Tag.(*program)
	if p.run == nil {
		m.tellLast(wordOfFile(s), p.owner, p, etf.Tuple{streamTerm(s), gen.Error(gen.Errno(e))})
	}
}
