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

// Kind is the kind of a stream.
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
	Path   string // File: relative to Dir
	Append bool   // File, for output: appended to instead of truncated
	Mode   uint32 // File, for output: the mode of a new file, before the umask

	Rotate *Rotation // File, for output: appended to and rotated; nil means never
}

// Spec describes a program to run. The worker keeps it until the program has started.
type Spec struct {
	Program     string
	Image       *Image   // executed instead of Program, unless nil
	Args        []string // the first is the program's name
	Path        string   // directories in which Program is looked up, as in ipc.Spawn
	Env         []string
	Dir         string
	Streams     [3]StreamSpec
	Terminal    *Terminal // unless nil, the three streams are a terminal, and Streams is ignored
	Extra       []Extra   // in the order of descriptors, at most MaxExtra
	Tree        Tree
	KillSignal  unix.Signal
	KillTimeout time.Duration // from the stop signal to SIGKILL
	StopSteps   []Step        // instead of one signal; SIGKILL follows the last
	Attributes  ipc.Attributes
	Timeout     time.Duration // longest run; 0 means no limit
	IdleTimeout time.Duration // longest time without output; 0 means no limit
	Notify      bool          // the program gets a NOTIFY_SOCKET, see Host.Notified
	Refused     string        // the program may not run as this user: see ipc.Spawn
}

// Exit is how a program ended: with a status, or by a signal if Signal is not 0.
type Exit struct {
	Status int
	Signal unix.Signal
	Core   bool // a core was dumped
	OOM    bool // the kernel killed it because its group ran out of memory
}

// Space is memory for output.
type Space struct {
	Bytes []byte // empty: no room now

	// The other fields belong to the host. Took returns them.
	For    any
	At, No int
}

// Host is the interface through which a worker asks for room and reports. The loop's thread calls
// its methods from within the worker's own. So within them the host must not call Write, Resume or
// another method that takes a request. Within Took it may call Stop and Kill.
type Host interface {
	// Group is where the pidfd and the output pipes of a worker are watched. It is the same for the
	// worker's whole life.
	Group(w *Worker) *loop.Group
	// Started reports that the program runs.
	Started(w *Worker)
	// Failed reports that no program was started. No call follows.
	Failed(w *Worker, f ipc.Refusal)
	// Room returns space for the output of a stream, or none if there is no room now. In that case
	// the host has paused the group, or calls Resume when there is room.
	Room(w *Worker, s Stream) Space
	// Took reports that n bytes were read into the space that Room returned. n may be 0.
	Took(w *Worker, s Stream, room Space, n int)
	// Drains reports that the worker no longer waits for processes. It now delivers what the pipes
	// hold at this moment.
	Drains(w *Worker)
	// Ended reports the end of a stream, once for each output pipe.
	Ended(w *Worker, s Stream)
	// FileFailed reports that output could not be written to the file of a stream with a Rotation,
	// or that the file could not be rotated. The stream goes on all the same. Further trouble of
	// that kind is not reported for a while.
	FileFailed(w *Worker, s Stream, e unix.Errno)
	// Wrote answers a Write, with nil when all of it is in the pipe. An error without a token means
	// that waiting data of Commands is lost.
	Wrote(w *Worker, token any, err error)
	// TimedOut reports that the program ran or was silent for as long as it may. The host stops it.
	TimedOut(w *Worker)
	// Stopped and Continued report job control by a signal. A report may be late, and a change that
	// is undone at once may not be reported at all.
	Stopped(w *Worker, sig unix.Signal)
	Continued(w *Worker)
	// Notified reports a notice that came by the NOTIFY_SOCKET.
	Notified(w *Worker, n Notice)
	// Gone reports the end, after everything was delivered. No call follows.
	Gone(w *Worker, e Exit)
}

// Worker runs one program.
type Worker struct {
	Tag any // belongs to the host

	host    Host
	starter *Starter
	life    life
	spec    *Spec // nil once started
	proc    process
	in      input
	out     [2]output // stdout, stderr
	tty     bool      // in and out[0] are the two directions of a terminal
	extra   *extra    // nil: no other pipes
	notify  *notify   // nil: none, or not started
	limits  *limits   // nil: none
	ending  *ending   // nil: it has not ended, and no stop was requested

	stops       *sequence // nil: the stop signal, then the kill timeout
	killTimeout uint32    // milliseconds
	killSignal  uint8
	notices     bool  // it has a notify once it has started
	groupEmpty  bool  // and stays so: no process can join a group without members
	tries       uint8 // attempts to start a busy program
}

// ending has the state of a worker from its end or its first stop signal on. Most workers have
// none.
type ending struct {
	deadline   *loop.Timer // to SIGKILL
	deadlineAt time.Duration
	poll       *loop.Timer // until the group is checked again
	pollDelay  time.Duration
	hangUp     *loop.Timer // until the terminal is closed
	exit       Exit
}

// New makes a worker and requests the start of its program. Started or Failed is called later,
// never from within New.
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

// State is the worker's state.
func (w *Worker) State() State { return w.life.state }

// PID is the program's process id as seen outside the spawner's pid namespace. It is 0 before the
// start.
func (w *Worker) PID() int { return int(w.proc.osPID) }

// Exit is how the program ended. It is zero before the end.
func (w *Worker) Exit() Exit {
	if w.ending == nil {
		return Exit{}
	}
	return w.ending.exit
}

// ends makes the worker's ending, if there is none yet.
func (w *Worker) ends() *ending {
	if w.ending == nil {
		w.ending = &ending{}
	}
	return w.ending
}

// Bytes counts the bytes that went through a stream.
func (w *Worker) Bytes(s Stream) uint64 {
	if in := w.input(s); in != nil {
		return in.bytes
	}
	return w.output(s).bytes
}

// Open reports whether a stream is a pipe to or from the host that is not closed.
func (w *Worker) Open(s Stream) bool {
	if in := w.input(s); in != nil {
		return in.fd >= 0 && !in.closing
	}
	o := w.output(s)
	return o.fd >= 0 && o.log == nil
}

// Stop ends the program and everything in its group gracefully. It sends the stop signal, and
// SIGKILL after the kill timeout. A worker with its own sequence takes those steps instead.
func (w *Worker) Stop() { w.event(evStop) }

// StopWithin is Stop with a shorter time until SIGKILL. It never prolongs a time that already runs.
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

// Signal sends a signal to the program. It returns ESRCH if the program does not run. For a program
// of another user the spawner sends it, as with SignalGroup.
func (w *Worker) Signal(sig unix.Signal) error { return w.proc.signal(sig) }

// SignalGroup sends a signal to the program's group. It returns ESRCH if the group is empty. If the
// spawner has to send it (ipc.PidfdsSuffice), SignalGroup does not wait for the answer. It returns
// EAGAIN if maxQuestions answers are still to come.
func (w *Worker) SignalGroup(sig unix.Signal) error {
	if w.life.state == Starting || w.life.state >= Draining || w.groupEmpty {
		return unix.ESRCH
	}
	if w.proc.asked >= maxQuestions {
		return unix.EAGAIN
	}
	return w.proc.signalGroup(sig)
}

// Hold stops or resumes the reading of an output pipe. While the pipe is held, output waits in it,
// also after the program's end. Call Resume after a pipe is released.
func (w *Worker) Hold(s Stream, held bool) { w.output(s).hold(held) }

// Resume continues a delivery for which there was no room. Otherwise it does nothing.
func (w *Worker) Resume() {
	if w.life.state == Draining {
		w.drain()
	}
}

// event takes the state machine through e and what follows from it.
func (w *Worker) event(e event) { w.run(e, ipc.Refusal{}) }

// run takes an event. why belongs to evNotStarted.
func (w *Worker) run(e event, why ipc.Refusal) {
	for more := true; more; {
		e, more = w.do(w.life.step(e), why)
	}
}

// do carries out actions. It may return an event that follows at once.
func (w *Worker) do(a actions, why ipc.Refusal) (next event, more bool) {
	if a&actSignal != 0 && !w.groupEmpty {
		wait, kill := w.stopStep()
		if kill {
			return evDeadline, true // the event does the rest
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

// The group is first checked 1 ms after the program's end, then at doubled intervals. Most
// processes that are left behind end at once, and no event reports it.
const (
	pollFirst = time.Millisecond
	pollLast  = 50 * time.Millisecond
)

// look checks whether the group is empty. If it is not, look has it checked again later.
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

// groupAnswer takes the spawner's answer about the group, if pidfds alone cannot tell whether it is
// empty.
func (w *Worker) groupAnswer(errno unix.Errno) {
	w.proc.answered()
	if errno == unix.ESRCH && w.life.state >= Waiting {
		w.groupEmpty = true
		w.event(evPoll)
	}
}

// started takes the spawner's answer that the program runs.
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

// changed is called when the program was stopped or continued, or has ended.
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

// exited handles the end of the program.
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

// streamEnded is called when an output pipe has been closed, after all of it was delivered.
func (w *Worker) streamEnded(o *output) {
	if o.log == nil {
		w.host.Ended(w, o.no)
	}
	if w.life.state == Waiting {
		w.event(evPoll)
	}
}

// drain delivers the remaining output, and goes on when that is done.
func (w *Worker) drain() {
	if e, more := w.drainStep(); more {
		w.event(e)
	}
}

func (w *Worker) drainStep() (event, bool) {
	// A held stream must not keep the others from being read: the loop would report them in every
	// round.
	drained := true
	for o := range w.outputs {
		drained = o.drain() && drained
	}
	if !drained {
		return 0, false // Resume goes on
	}
	return evDrained, true
}

// close frees everything that the worker still holds.
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
