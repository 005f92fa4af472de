package workers

import "golang.org/x/sys/unix"

// Extra describes a descriptor of a program beyond the standard ones.
type Extra struct {
	FD    Stream // from 3
	Input bool   // a pipe or file that the program reads
	StreamSpec
}

// MaxExtra is the maximum number of extra descriptors of a program. One message to the spawner
// carries them with the standard ones and a memfd (ipc.MaxFDs).
const MaxExtra = 16

// extra has the pipes among the extra descriptors. Most workers have none.
type extra struct {
	in  []input
	out []output
}

// newExtra makes room for the pipes. It returns nil if there are none.
func newExtra(w *Worker, spec *Spec) *extra {
	// The slices must not grow, because there are pointers to their elements.
	e := extra{make([]input, 0, len(spec.Extra)), make([]output, 0, len(spec.Extra))}
	for _, sp := range spec.Extra {
		switch {
		case sp.Kind != Pipe && !sp.logged():
		case sp.Input:
			e.in = e.in[:len(e.in)+1]
			e.in[len(e.in)-1].init(w, sp.FD)
		default:
			e.out = e.out[:len(e.out)+1]
			e.out[len(e.out)-1].init(w, sp.FD, sp.StreamSpec, spec)
		}
	}
	if len(e.in)+len(e.out) == 0 {
		return nil
	}
	return &e
}

// outputs yields all pipes that the program writes to.
func (w *Worker) outputs(yield func(*output) bool) {
	for i := range w.out {
		if !yield(&w.out[i]) {
			return
		}
	}
	if w.extra == nil {
		return
	}
	for i := range w.extra.out {
		if !yield(&w.extra.out[i]) {
			return
		}
	}
}

// inputs yields all pipes that the program reads.
func (w *Worker) inputs(yield func(*input) bool) {
	if !yield(&w.in) || w.extra == nil {
		return
	}
	for i := range w.extra.in {
		if !yield(&w.extra.in[i]) {
			return
		}
	}
}

// output returns the output of a stream, nil if there is none.
func (w *Worker) output(s Stream) *output {
	for o := range w.outputs {
		if o.no == s {
			return o
		}
	}
	return nil
}

// input returns the input of a stream, nil if there is none.
func (w *Worker) input(s Stream) *input {
	for in := range w.inputs {
		if in.no == s {
			return in
		}
	}
	return nil
}

// ExtraPipes yields the extra descriptors that are pipes to or from the host.
func (w *Worker) ExtraPipes(yield func(Stream) bool) {
	for in := range w.inputs {
		if in.no != Stdin && !yield(in.no) {
			return
		}
	}
	for o := range w.outputs {
		if o.no > Stderr && o.log == nil && !yield(o.no) {
			return
		}
	}
}

// descriptors is how many descriptors are set aside for a worker.
func (w *Worker) descriptors() int {
	n := maxPerWorker + w.logs()
	if w.notices {
		n++
	}
	if w.extra != nil {
		n += len(w.extra.in) + len(w.extra.out)
	}
	return n
}

// logs is how many outputs go to a log.
func (w *Worker) logs() int {
	n := 0
	for o := range w.outputs {
		if o.log != nil {
			n++
		}
	}
	return n
}

// WriteTo is Write for any stream. It returns EBADF if the program has no input pipe there.
func (w *Worker) WriteTo(s Stream, data []byte, token any) error {
	in := w.input(s)
	if in == nil {
		return unix.EBADF
	}
	if in.full(len(data)+pieceCost, MaxWrites) || in.crowded(len(data)) {
		return unix.EAGAIN
	}
	return in.write(data, token)
}

// CloseInput closes an input pipe of the program once all waiting bytes are written. It returns
// EBADF if there is no such pipe.
func (w *Worker) CloseInput(s Stream) error {
	in := w.input(s)
	if in == nil {
		return unix.EBADF
	}
	in.closing = true
	in.flush()
	return nil
}
