package peer

import (
	"encoding/binary"
	"iter"
	"slices"

	"erluv/wire/dist"
	"erluv/wire/etf"
)

// Stream is an output of a program, by the number of its descriptor there.
type Stream uint8

// The streams that have names.
const (
	Stdout Stream = 1
	Stderr Stream = 2
)

var streamAtom = [...]etf.Atom{Stdout: "stdout", Stderr: "stderr"}

// Term names a stream: by its atom, or else by the number of its descriptor.
func (s Stream) Term() etf.Term {
	if int(s) < len(streamAtom) {
		return streamAtom[s]
	}
	return int64(s)
}

// Output of programs is read directly into the outbox. A frame is begun, the bytes are read into
// the space behind it, and the frame is ended or taken back.

// BeginOutput composes {W, {stdout, <<...>>}} up to the bytes, and returns its start.
func (o *outbox) BeginOutput(to, w etf.Pid, s Stream) (start int) {
	start = len(o.buf)
	o.buf = etf.AppendBinaryHeader(beginOutput(o.buf, to, w, s), 0)
	return start
}

// Lines composes {W, {stdout, [<<...>>, ...]}}, and returns the number of lines.
func (o *outbox) Lines(to, w etf.Pid, s Stream, lines iter.Seq[[]byte]) (n int) {
	start := len(o.buf)
	b := etf.AppendListHeader(beginOutput(o.buf, to, w, s), 0)
	head := len(b)
	for line := range lines {
		b = append(etf.AppendBinaryHeader(b, len(line)), line...)
		n++
	}
	binary.BigEndian.PutUint32(b[head-4:], uint32(n))
	o.buf = dist.End(etf.AppendNil(b), start)
	o.seal(start)
	return n
}

// beginOutput appends such a message up to the term of the output.
func beginOutput(b []byte, to, w etf.Pid, s Stream) []byte {
	b = dist.BeginSend(b, to)
	b = etf.AppendTupleHeader(b, 2)
	b = etf.AppendPid(b, w)
	b = etf.AppendTupleHeader(b, 2)
	if int(s) < len(streamAtom) {
		return etf.AppendAtom(b, streamAtom[s])
	}
	return etf.AppendInt(b, int64(s))
}

// BeginAnswer composes {Tag, {ok, <<...>>}} up to the bytes.
func (o *outbox) BeginAnswer(ask dist.Ask) (start int) {
	start = len(o.buf)
	b := ask.BeginAnswer(o.buf, o.Self)
	b = etf.AppendAtom(etf.AppendTupleHeader(b, 2), "ok")
	o.buf = etf.AppendBinaryHeader(b, 0)
	return start
}

// Space returns space for the next n bytes.
func (o *outbox) Space(n int) []byte {
	o.buf = slices.Grow(o.buf, n) // only needed if the memory was given up
	return o.buf[len(o.buf) : len(o.buf)+n]
}

// Filled takes over n bytes in the space, and returns them.
func (o *outbox) Filled(n int) []byte {
	o.buf = o.buf[:len(o.buf)+n]
	return o.buf[len(o.buf)-n:]
}

// Fill appends bytes.
func (o *outbox) Fill(data []byte) { o.buf = append(o.buf, data...) }

// EndOutput fills in the lengths of the frame that begins at start, with n bytes of output.
func (o *outbox) EndOutput(start, n int) {
	binary.BigEndian.PutUint32(o.buf[len(o.buf)-n-4:], uint32(n))
	o.buf = dist.End(o.buf, start)
	o.seal(start)
}

// TakeBack takes back a frame that was begun at start.
func (o *outbox) TakeBack(start int) { o.buf = o.buf[:start] }
