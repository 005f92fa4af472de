package workers

import (
	"time"

	"erluv/ipc"
	"erluv/loop"

	"golang.org/x/sys/unix"
)

// Stream is a standard stream of a program, by its descriptor.
type Stream uint8

// The streams.
const (
	Stdin  Stream = 0
	Stdout Stream = 1
	Stderr Stream = 2
)

// Kind says what a stream is.
type Kind uint8

// The kinds of streams.
const (
	Pipe     Kind = iota // to and from the host
	Null                 // /dev/null
	File                 // a file, opened as the worker's user
	ToStdout             // stderr only: the same as stdout
)

// StreamSpec describes one stream.
type StreamSpec struct {
	Kind   Kind
	Path   string // File: as seen from Dir
	Append bool   // File, for output: kept instead of truncated
	Mode   uint32 // File, for output: mode of a new file, before the umask

	Rotate *Rotation // File, for output: appended to, and rotated; nil: never
}

// Spec describes a program to run. The worker keeps it until it has started.
type Spec struct {
	Program     string
	Image       *Image   // what is executed instead of Program; nil: that
	Args        []string // with the program's name as the first
	Path        string   // where Program is looked up, as in ipc.Spawn
	Env         []string
	Dir         string
	Streams     [3]StreamSpec
	Terminal    *Terminal // not nil: the three are a terminal, whatever Streams says
	Extra       []Extra   // by descriptor, at most MaxExtra
	Tree        Tree
	KillSignal  unix.Signal
	KillTimeout time.Duration // from the stop signal to SIGKILL
	StopSteps   []Step        // instead of one signal; SIGKILL comes after the last
	Attributes  ipc.Attributes
	Timeout     time.Duration // longest run; 0: without end
	IdleTimeout time.Duration // longest time without output; 0: without end
	Notify      bool          // it gets a NOTIFY_SOCKET, see Host.Notified
	Refused     string        // a user as whom it may not run: see ipc.Spawn
}

// Exit is how a program ended: with a status, or by a signal when Signal is not 0.
type Exit struct {
	Status int
	Signal unix.Signal
	Core   bool // a core was dumped
	OOM    bool // by the kernel, for want of memory within the limit
}

// Space is where output is read into.
type Space struct {
	Bytes []byte // empty: not now

	// The rest is the host's, and comes back to it.
	For    any
	At, No int
}

// Host is what a worker needs of those around it. Its methods are called in the
// loop's thread, from within the worker's own: they may call the worker's
// methods that take a request (Write, Resume ...) only after they returned, but
// Stop and Kill from Took too.
type Host interface {
	// Group is where the process of a worker and its output pipes are watched, the same
	// for all its life.
	Group(w *Worker) *loop.Group
	// Started: the program runs.
	Started(w *Worker)
	// Failed: nothing was started. Nothing follows.
	Failed(w *Worker, f ipc.Refusal)
	// Room gives space for the output of a stream, or none: not now. Then the
	// host has paused the group, or calls Resume when there is room.
	Room(w *Worker, s Stream) Space
	// Took says that n bytes were read into the space that Room gave, or none.
	Took(w *Worker, s Stream, room Space, n int)
	// Drains: nothing of the program runs any more, and what is in the pipes is read now.
	Drains(w *Worker)
	// Ended: the stream has ended; told once for each output pipe.
	Ended(w *Worker, s Stream)
	// FileFailed: what was written could not go to the file of a stream, with a
	// Rotation, or this could not be rotated. It goes on all the same; more trouble
	// of that kind is told after a while only.
	FileFailed(w *Worker, s Stream, e unix.Errno)
	// Wrote answers a Write: nil when all of it is in the pipe. With an error and
	// without a token what Commands have left is lost.
	Wrote(w *Worker, token any, err error)
	// TimedOut: the program has run, or was silent, for as long as it may. The
	// host stops it.
	TimedOut(w *Worker)
	// Stopped and Continued: the program was, by a signal (job control). It may
	// be told late, and a change that was undone at once not at all.
	Stopped(w *Worker, sig unix.Signal)
	Continued(w *Worker)
	// Notified: the program has said something by its NOTIFY_SOCKET.
	Notified(w *Worker, n Notice)
	// Gone: it is over, everything was delivered. Nothing follows.
	Gone(w *Worker, e Exit)
}

// Worker runs one program.
type Worker struct {
	Tag any // the host's

	host    Host
	starter *Starter
	life    life
	spec    *Spec // nil once started
	proc    process
	in      input
	out     [2]output // stdout, stderr
	tty     bool      // in and out[0] are the two directions of a terminal
	extra   *extra    // nil: no other pipe
	notify  *notify   // nil: none, or not started
	limits  *limits   // nil: none
	ending  *ending   // nil: it neither has ended nor was it told to

	stops       *sequence // nil: the stop signal, then the kill timeout
	killTimeout uint32    // milliseconds
	killSignal  uint8
	notices     bool  // there is a notify when it has started
	groupEmpty  bool  // for good: nobody can join a group that has no member
	tries       uint8 // to start a program that was busy
}

// ending is what is known of a worker from its end, or its first stop signal, on.
// Most workers run.
type ending struct {
	deadline   *loop.Timer // to SIGKILL
	deadlineAt time.Duration
	poll       *loop.Timer // to the next look at the group
	pollDelay  time.Duration
	hangUp     *loop.Timer // to the end of the terminal
	exit       Exit
}

// New makes a worker and asks for its program to be started. Started or Failed
// is called later, never from within New.
func New(host Host, starter *Starter, spec *Spec, tag any) *Worker {
	w := &Worker{
		Tag: tag, host: host, starter: starter, spec: spec,
		life:       life{tree: spec.Tree},
		killSignal: uint8(spec.KillSignal), killTimeout: milliseconds(spec.KillTimeout), notices: spec.Notify,
		stops: newSequence(spec), limits: newLimits(spec),
	}
	w.proc.init(w)
	w.in.init(w, Stdin)
	for i := range w.out {
		w.out[i].init(w, Stdout+Stream(i), spec.Streams[1+i], spec)
	}
	w.extra = newExtra(w, spec)
	starter.demand.came()
	starter.enqueue(w)
	return w
}

// State is where the worker stands.
func (w *Worker) State() State { return w.life.state }

// PID is the program's process id, as those count whom erluv serves; 0 before it
// has started.
func (w *Worker) PID() int { return int(w.proc.osPID) }

// Exit is how the program ended, from then on.
func (w *Worker) Exit() Exit {
	if w.ending == nil {
		return Exit{}
	}
	return w.ending.exit
}

// ends is the worker's ending, from now on.
func (w *Worker) ends() *ending {
	if w.ending == nil {
		w.ending = &ending{}
	}
	return w.ending
}

// Bytes counts what went through a stream.
func (w *Worker) Bytes(s Stream) uint64 {
	if in := w.input(s); in != nil {
		return in.bytes
	}
	return w.output(s).bytes
}

// Open says whether a stream is a pipe to or from the host that has not been
// closed.
func (w *Worker) Open(s Stream) bool {
	if in := w.input(s); in != nil {
		return in.fd >= 0 && !in.closing
	}
	o := w.output(s)
	return o.fd >= 0 && o.log == nil
}

// Stop ends the program gracefully, and everything in its group: the stop
// signal, then SIGKILL after the kill timeout; or the steps of its own sequence.
func (w *Worker) Stop() { w.event(evStop) }

// StopWithin is Stop with a shorter time to SIGKILL. One that runs already is never
// prolonged.
func (w *Worker) StopWithin(d time.Duration) {
	w.killTimeout = min(w.killTimeout, milliseconds(d))
	rest := time.Duration(w.killTimeout) * time.Millisecond
	armed := w.ending != nil && w.ending.deadline != nil
	if w.stops != nil {
		rest = 0
		if armed {
			rest = max(0, w.ending.deadlineAt-w.starter.loop.Now())
		}
		rest = w.stops.within(d, rest)
	}
	if armed {
		w.arm(rest)
	}
	w.event(evStop)
}

// Kill sends SIGKILL to everything in the program's group, until it is empty.
func (w *Worker) Kill() { w.event(evKill) }

// Signal sends a signal to the program; ESRCH when it does not run. Where it is another
// user's, the spawner does it, as with SignalGroup.
func (w *Worker) Signal(sig unix.Signal) error { return w.proc.signal(sig) }

// SignalGroup sends a signal to the program's group; ESRCH when it is empty.
// Where the spawner has to do it (ipc.PidfdsSuffice) its answer is not waited for,
// and EAGAIN means that too many are still to come.
func (w *Worker) SignalGroup(sig unix.Signal) error {
	if w.life.state == Starting || w.life.state >= Draining || w.groupEmpty {
		return unix.ESRCH
	}
	if w.proc.asked >= maxQuestions {
		return unix.EAGAIN
	}
	return w.proc.signalGroup(sig)
}

// Hold has an output pipe not read until it is held no more: what the program
// writes waits in the pipe, after its end too. Resume goes on after that.
func (w *Worker) Hold(s Stream, held bool) { w.output(s).hold(held) }

// Resume goes on with a delivery for which there was no room. It does nothing
// if there is none.
func (w *Worker) Resume() {
	if w.life.state == Draining {
		w.drain()
	}
}

// event takes the state machine through e and what follows from it.
func (w *Worker) event(e event) { w.run(e, ipc.Refusal{}) }

// run takes an event; why belongs to evNotStarted.
func (w *Worker) run(e event, why ipc.Refusal) {
	for more := true; more; {
		e, more = w.do(w.life.step(e), why)
	}
}

// do carries actions out. It returns an event that follows at once, if any.
func (w *Worker) do(a actions, why ipc.Refusal) (next event, more bool) {
	if a&actSignal != 0 && !w.groupEmpty {
		wait, kill := w.stopStep()
		if kill {
			return evDeadline, true // which sees to the rest
		}
		if !w.groupEmpty {
			w.arm(wait)
		}
	}
	if a&actKill != 0 && !w.groupEmpty {
		w.groupEmpty = w.proc.signalGroup(unix.SIGKILL) == unix.ESRCH
	}
	if a&actDisarm != 0 {
		w.ending.stopDeadline()
	}
	if a&actWatch != 0 {
		return w.look()
	}
	if a&actDrain != 0 {
		w.ending.stopPoll()
		w.ending.stopHangUp()
		for o := range w.outputs {
			o.beginDrain()
		}
		w.host.Drains(w)
		return w.drainStep()
	}
	if a&actFail != 0 {
		w.close()
		w.host.Failed(w, why)
	}
	if a&actReport != 0 {
		w.close()
		if f, ok := w.starter.unwatched[w]; ok {
			delete(w.starter.unwatched, w)
			w.host.Failed(w, f)
		} else {
			w.host.Gone(w, w.Exit())
		}
	}
	return 0, false
}

func (e *ending) stopDeadline() {
	if e != nil {
		e.deadline.Stop()
		e.deadline = nil
	}
}

func (e *ending) stopPoll() {
	if e != nil {
		e.poll.Stop()
		e.poll = nil
	}
}

func (e *ending) stopHangUp() {
	if e != nil {
		e.hangUp.Stop()
		e.hangUp = nil
	}
}

// The group is looked at from 1 ms after the program's end, at doubled
// intervals: most that is left behind ends at once, and no event tells it.
const (
	pollFirst = time.Millisecond
	pollLast  = 50 * time.Millisecond
)

// look finds out whether the group is empty, and sees to it that it is looked
// at again when it is not.
func (w *Worker) look() (event, bool) {
	if !w.groupEmpty {
		w.groupEmpty = w.proc.alone()
	}
	if w.groupEmpty {
		if w.life.state != Waiting {
			return evGroupEmpty, true
		}
		for o := range w.outputs {
			if o.fd >= 0 {
				return 0, false // the end of the last stream is an event
			}
		}
		return evTreeDone, true
	}
	e := w.ends()
	e.pollDelay = min(max(2*e.pollDelay, pollFirst), pollLast)
	e.poll.Stop()
	e.poll = w.starter.loop.After(e.pollDelay, func() { w.event(evPoll) })
	return 0, false
}

// groupAnswer is the spawner's answer about the group, where pidfds cannot tell.
func (w *Worker) groupAnswer(errno unix.Errno) {
	w.proc.answered()
	if errno == unix.ESRCH && w.life.state >= Waiting {
		w.groupEmpty = true
		w.event(evPoll)
	}
}

// started: the spawner has done it.
func (w *Worker) started(m ipc.Spawned, pidfd int) {
	w.proc.moves, w.proc.limited = w.spec.Attributes.NoSession, w.spec.Attributes.Limits.Memory > 0
	w.spec = nil
	w.proc.start(m, pidfd)
	if err := w.watch(); err != nil {
		w.cannotWatch(err)
		return
	}
	w.host.Started(w)
	w.limits.begin(w)
	w.event(evStarted)
	for in := range w.inputs {
		in.flush()
	}
}

// changed: the program was stopped or continued, or has ended.
func (w *Worker) changed(st unix.WaitStatus) {
	switch {
	case st.Stopped():
		w.host.Stopped(w, st.StopSignal())
	case st.Continued():
		w.host.Continued(w)
	default:
		w.exited(exitFrom(st))
	}
}

// exited: the program has ended.
func (w *Worker) exited(e Exit) {
	w.notify.last()
	e.OOM = w.outOfMemory(e)
	w.ends().exit = e
	w.limits.end()
	w.proc.ended()
	if w.life.tree != TreeWait {
		w.abandonInputs()
	}
	w.event(evExited)
}

// streamEnded: an output pipe has been closed, all of it was delivered.
func (w *Worker) streamEnded(o *output) {
	if o.log == nil {
		w.host.Ended(w, o.no)
	}
	if w.life.state == Waiting {
		w.event(evPoll)
	}
}

// drain delivers what is left in the pipes and goes on when that is done.
func (w *Worker) drain() {
	if e, more := w.drainStep(); more {
		w.event(e)
	}
}

func (w *Worker) drainStep() (event, bool) {
	// One that is held must not keep the others from being read: they would be told
	// as ready again and again.
	drained := true
	for o := range w.outputs {
		drained = o.drain() && drained
	}
	if !drained {
		return 0, false // Resume
	}
	return evDrained, true
}

// close frees whatever the worker still holds.
func (w *Worker) close() {
	w.starter.demand.left(w.starter, w)
	w.ending.stopDeadline()
	w.ending.stopPoll()
	w.ending.stopHangUp()
	w.proc.close()
	w.notify.close()
	w.abandonInputs()
	for o := range w.outputs {
		o.close()
	}
	w.starter.release(w)
}

func (w *Worker) abandonInputs() {
	for in := range w.inputs {
		in.abandon(unix.EPIPE)
	}
}
