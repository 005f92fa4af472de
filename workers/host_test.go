package workers_test

import (
	"fmt"
	"strings"
	"time"

	"erluv/ipc"
	"erluv/loop"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// host is the Host of all workers of a world. It records their reports and checks the order that
// the interface promises.
type host struct {
	w    *world
	buf  []byte
	open *run // its Room was called, its Took is to come
	no   workers.Stream
	// room replaces the buffer if it is set.
	room func(r *run, s workers.Stream) []byte
	took func(r *run)
}

// run records the life of one worker. It belongs to the loop's thread until the worker is over.
type run struct {
	*workers.Worker
	host    *host
	started bool
	failed  bool
	gone    bool
	failure ipc.Refusal
	exit    workers.Exit
	out     [10][]byte
	ended   perStream
	wrote   []answer
	lost    int // pieces of commands

	files    bool // its output goes to files
	troubles []string
	at       time.Time     // time of its end
	jobs     []unix.Signal // signals that stopped it; 0: continued
	notices  []workers.Notice
}

// perStream counts for each stream, by its descriptor.
type perStream [10]int

type answer struct {
	token any
	err   error
}

func newHost(w *world) *host { return &host{w: w, buf: make([]byte, 64<<10)} }

func (h *host) of(w *workers.Worker, what string) *run {
	r := w.Tag.(*run)
	if r.gone || r.failed {
		h.w.t.Errorf("%s after the end", what)
	}
	if h.open != nil && what != "Took" {
		h.w.t.Errorf("%s between Room and Took", what)
	}
	return r
}

func (h *host) Started(w *workers.Worker) {
	r := h.of(w, "Started")
	if r.started || w.PID() <= 0 {
		h.w.t.Errorf("started again, or as process %d", w.PID())
	}
	r.started = true
}

func (h *host) Failed(w *workers.Worker, f ipc.Refusal) {
	r := h.of(w, "Failed")
	if r.started || w.State() != workers.Gone {
		h.w.t.Errorf("failed in state %s, started: %v", w.State(), r.started)
	}
	r.failed, r.failure, r.at = true, f, time.Now()
}

func (h *host) Room(w *workers.Worker, s workers.Stream) workers.Space {
	r := h.of(w, "Room")
	if !r.started || r.ended[s] > 0 {
		h.w.t.Errorf("room for a stream that is not open")
	}
	b := h.buf
	if h.room != nil {
		b = h.room(r, s)
	}
	if len(b) > 0 {
		h.open, h.no = r, s
	}
	return workers.Space{Bytes: b}
}

func (h *host) Took(w *workers.Worker, s workers.Stream, _ workers.Space, n int) {
	r := h.of(w, "Took")
	if h.open != r || h.no != s {
		h.w.t.Errorf("Took without Room")
	}
	h.open = nil
	r.out[s] = append(r.out[s], h.buf[:n]...)
	if h.took != nil {
		h.took(r)
	}
}

func (h *host) Ended(w *workers.Worker, s workers.Stream) {
	h.of(w, "Ended").ended[s]++
}

func (h *host) Wrote(w *workers.Worker, token any, err error) {
	r := h.of(w, "Wrote")
	if token == nil {
		if err == nil {
			h.w.t.Error("a command is answered")
		}
		r.lost++
		return
	}
	r.wrote = append(r.wrote, answer{token, err})
}

func (h *host) Gone(w *workers.Worker, e workers.Exit) {
	r := h.of(w, "Gone")
	if !r.started || w.State() != workers.Gone || e != w.Exit() {
		h.w.t.Errorf("gone in state %s, started: %v, %+v", w.State(), r.started, e)
	}
	for _, s := range []workers.Stream{workers.Stdout, workers.Stderr} {
		told := w.Bytes(s)
		if r.files {
			told = 0
		}
		if r.ended[s] > 1 || w.Open(s) || uint64(len(r.out[s])) != told {
			h.w.t.Errorf("stream %d: ended %d times, open: %v, %d bytes of %d", s, r.ended[s], w.Open(s), len(r.out[s]), w.Bytes(s))
		}
	}
	r.gone, r.exit, r.at = true, e, time.Now()
}

func (r *run) over() bool { return r.gone || r.failed }

func (r *run) stdout() string { return string(r.out[workers.Stdout]) }

func (r *run) String() string {
	switch {
	case r.failed:
		return fmt.Sprintf("failed %d %s", r.failure.Stage, unix.ErrnoName(r.failure.Errno))
	case r.gone && r.exit.Signal != 0:
		return fmt.Sprintf("signal %s, core %v", unix.SignalName(r.exit.Signal), r.exit.Core)
	case r.gone:
		return fmt.Sprintf("exit %d", r.exit.Status)
	}
	return "not over: " + r.State().String()
}

// command is a Spec with the contract's defaults.
func command(args ...string) *workers.Spec {
	return &workers.Spec{
		Program: args[0], Args: args, Dir: "/", Attributes: ipc.Attributes{Umask: 0o022},
		KillSignal: unix.SIGTERM, KillTimeout: 5 * time.Second,
	}
}

func shell(script string) *workers.Spec { return command("/bin/sh", "-c", script) }

// start makes a worker. Its methods must run in the loop's thread.
func (w *world) start(sp *workers.Spec) *run {
	w.t.Helper()
	r := &run{host: w.host}
	w.do(func() { r.Worker = workers.New(w.host, w.starter, sp, r) })
	return r
}

// started makes a worker and waits until its program runs and has written output.
func (w *world) started(sp *workers.Spec, output string) *run {
	w.t.Helper()
	r := w.start(sp)
	early := ""
	w.await("the start, and "+output, func() bool {
		wrote := strings.Contains(r.stdout(), output)
		if r.over() && !wrote {
			early = r.String()
		}
		return early != "" || r.started && wrote
	})
	if early != "" {
		w.t.Fatalf("%v: %s", sp.Args, early)
	}
	return r
}

// finish waits until the worker is over.
func (w *world) finish(r *run) *run {
	w.t.Helper()
	w.await("the end", r.over)
	return r
}

// run runs a program to its end.
func (w *world) run(sp *workers.Spec) *run {
	w.t.Helper()
	return w.finish(w.start(sp))
}

// want fails the test unless the run has ended like this.
func (r *run) want(end string) {
	r.host.w.t.Helper()
	if got := r.String(); got != end {
		r.host.w.t.Errorf("%s, want %s", got, end)
	}
}

func (h *host) FileFailed(w *workers.Worker, s workers.Stream, e unix.Errno) {
	r := h.of(w, "FileFailed")
	r.troubles = append(r.troubles, fmt.Sprint(s, " ", unix.ErrnoName(e)))
}

func (h *host) Notified(w *workers.Worker, n workers.Notice) {
	r := h.of(w, "Notified")
	r.notices = append(r.notices, n)
}

// TimedOut stops the program, as every host does.
func (h *host) TimedOut(w *workers.Worker) { w.Stop() }

func (h *host) Stopped(w *workers.Worker, sig unix.Signal) {
	r := h.of(w, "Stopped")
	r.jobs = append(r.jobs, sig)
}

func (h *host) Drains(*workers.Worker) {}

func (h *host) Group(*workers.Worker) *loop.Group { return h.w.group }

func (h *host) Continued(w *workers.Worker) {
	r := h.of(w, "Continued")
	r.jobs = append(r.jobs, 0)
}
