package workers

import (
	"errors"
	"fmt"
	"time"

	"erluv/ipc"
	"erluv/loop"

	"golang.org/x/sys/unix"
)

// maxAsked is the maximum number of start requests under way to the spawner. It keeps the spawner
// busy, and bounds the descriptors that are under way. Other workers wait in line, without
// descriptors.
const maxAsked = 32

// Starter is the child's side of the conversation with the spawner. It owns the socket and the line
// of workers to be started.
type Starter struct {
	loop    *loop.Loop
	conn    *ipc.Conn
	src     loop.Source
	reports bool // the spawner reports exits and signals groups

	line   []*Worker // the longest waiting first
	asked  map[uint32]*Worker
	seq    uint32
	byPID  map[uint32]*Worker // to find the worker of a change
	toSend []note             // packets for which the socket was full
	buf    []byte
	packet []byte

	rotating map[uint32]*log // to find the log of a new file
	logBuf   []byte          // made when the first log is written

	leaves  leaves
	limited limited

	budget  *budget // shared by all Starters
	lost    func(error)
	settled func() bool // see Settle
	demand  *demand     // nil: the spawner runs as the child's own user

	unwatched map[*Worker]ipc.Refusal // workers that are being ended because they could not be watched
	patience  time.Duration           // until when requests that cannot be sent are tried again, see crowded
	again     *loop.Timer             // next attempt; nil: requests can be sent now
}

// budget counts what all Starters use: the descriptors of workers, the pages of their pipes, and
// the bytes that wait to be written. Workers may not use the reserved part of RLIMIT_NOFILE.
type budget struct {
	held, reserved int
	waiting        int // bytes, see MaxWaiting
	pipes          pipes
}

// note is a packet with a descriptor that it owns, or without one (-1).
type note struct {
	packet []byte
	fd     int
}

// NewStarter takes over the conversation with the spawner. Workers hold at most maxFDs descriptors,
// or fewer if the limit of the process is lowered. Beyond that, starts fail with EMFILE. lost is
// called when the spawner is gone. Until Replace, its requests are not answered, and ends of
// programs may not be reported.
func NewStarter(l *loop.Loop, conn *ipc.Conn, reports bool, maxFDs int, lost func(error)) (*Starter, error) {
	s := newStarter(l, reports, &budget{reserved: descriptorLimit() - maxFDs, pipes: newPipes()}, make([]byte, 4096), lost)
	s.conn = conn
	var err error
	if s.src, err = l.Watch(conn.FD(), loop.In, s); err != nil {
		return nil, err
	}
	l.EachRound(s.ask)
	return s, nil
}

// newStarter makes a Starter without a spawner.
func newStarter(l *loop.Loop, reports bool, b *budget, buf []byte, lost func(error)) *Starter {
	return &Starter{
		loop: l, reports: reports, budget: b, buf: buf, lost: lost,
		asked: make(map[uint32]*Worker), byPID: make(map[uint32]*Worker), rotating: make(map[uint32]*log),
		unwatched: make(map[*Worker]ipc.Refusal), leaves: leaves{dir: -1},
		settled: func() bool { return true },
	}
}

// Settle sets f, which is called before requests are sent, at most once a round. It must report
// whether the cause of the requests is settled: if this process ended now, nothing would cause them
// again. If f returns false, no request is sent in this round. Settle must be called before any
// ForUser.
func (s *Starter) Settle(f func() bool) { s.settled = f }

func (s *Starter) enqueue(w *Worker) { s.line = append(s.line, w) }

// ask sends as many requests as may be under way. It runs at the end of each round, so New never
// calls back.
func (s *Starter) ask() {
	s.demand.look(s)
	if len(s.line) == 0 || s.conn == nil || !s.settled() {
		return
	}
	for s.conn != nil && len(s.line) > 0 && len(s.asked) < maxAsked && len(s.toSend) == 0 && s.again == nil {
		w := s.line[0]
		if w.life.pending != evStarted {
			// The worker was stopped before it began.
			s.pop()
			s.fail(w, ipc.Refusal{Stage: ipc.StageProgram, Errno: unix.ECANCELED})
			continue
		}
		err := s.request(w)
		if errors.Is(err, ipc.ErrFull) {
			s.src.Want(loop.In | loop.Out)
			return
		}
		if s.crowded(err) {
			return
		}
		if errors.Is(err, unix.EPIPE) {
			return // the spawner has ended, as the next read will show
		}
		s.pop()
		switch {
		case err != nil:
			s.fail(w, ipc.Refusal{Stage: ipc.StageProgram, Errno: ipc.ErrnoOf(err)})
		}
	}
}

func (s *Starter) pop() {
	s.line[0] = nil
	if s.line = s.line[1:]; len(s.line) == 0 {
		s.line = nil
	}
}

// request makes the pipes and sends the request. On an error it leaves nothing behind.
func (s *Starter) request(w *Worker) error {
	if s.budget.held+w.descriptors() > descriptorLimit()-s.budget.reserved {
		return unix.EMFILE
	}
	sp := w.spec
	m := ipc.Spawn{
		Seq: s.seq + 1, Program: sp.Program, Path: sp.Path, Args: sp.Args, Env: sp.Env, Dir: sp.Dir,
		Attributes: sp.Attributes, Notify: sp.Notify, Refused: sp.Refused,
	}
	if w.tty = sp.Terminal != nil; w.tty {
		m.Terminal = sp.Terminal.request()
	}
	var theirs []int
	defer func() { ipc.CloseAll(theirs) }()
	undo := func(err error) error {
		w.undo()
		return err
	}
	for e := range sp.all {
		st, fd, err := s.stream(w, e)
		if err != nil {
			return undo(err)
		}
		m.Streams = append(m.Streams, st)
		if fd >= 0 {
			theirs = append(theirs, fd)
		}
	}
	if sp.Image != nil {
		fd, err := sp.Image.give(&m, sp.ImageFD())
		if err != nil {
			return undo(err)
		}
		theirs = append(theirs, fd)
	}
	s.packet = ipc.Append(s.packet[:0], &m)
	packet, memfd, err := ipc.PackSpawn(m.Seq, s.packet)
	if err != nil {
		return undo(err)
	}
	if memfd >= 0 {
		theirs = append(theirs, memfd)
	}
	if err := s.conn.TrySend(packet, theirs...); err != nil {
		return undo(err)
	}
	if cap(s.packet) > ipc.MaxPacket {
		s.packet = nil
	}
	s.seq++
	s.asked[s.seq] = w
	s.budget.held += w.descriptors()
	return nil
}

// maxPerWorker is how many descriptors are set aside for each worker: three pipes, or a terminal
// twice, and a pidfd. Further pipes count in addition.
const maxPerWorker = 4

// all yields the streams in the order of their descriptors.
func (sp *Spec) all(yield func(Extra) bool) {
	for i, st := range sp.Streams {
		if !yield(Extra{FD: Stream(i), Input: Stream(i) == Stdin, StreamSpec: st}) {
			return
		}
	}
	for _, e := range sp.Extra {
		if !yield(e) {
			return
		}
	}
}

// stream makes one stream. It returns the program's end and keeps ours.
func (s *Starter) stream(w *Worker, sp Extra) (ipc.Stream, int, error) {
	st := ipc.Stream{FD: uint8(sp.FD)}
	switch {
	case w.spec.Terminal == nil || sp.FD > Stderr:
	case sp.FD == Stdin:
		st.Source = ipc.SourceTerminal
		return st, -1, nil
	default:
		st.Source, st.Dup = ipc.SourceDup, uint8(Stdin)
		return st, -1, nil
	}
	switch sp.Kind {
	case Null:
		st.Source = ipc.SourceNull
		return st, -1, nil
	case File:
		if sp.logged() {
			st.Log, st.Path, st.Mode = true, sp.Path, sp.Mode
			break
		}
		st.Source, st.Path, st.Write, st.Append, st.Mode = ipc.SourceFile, sp.Path, !sp.Input, sp.Append, sp.Mode
		return st, -1, nil
	case ToStdout:
		st.Source, st.Dup = ipc.SourceDup, uint8(Stdout)
		return st, -1, nil
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return ipc.Stream{}, -1, err
	}
	theirs, ours := p[0], p[1]
	if !sp.Input {
		theirs, ours = p[1], p[0]
	}
	// Only our end is non-blocking. Each end has its own open file description.
	if _, err := unix.FcntlInt(uintptr(ours), unix.F_SETFL, unix.O_NONBLOCK); err != nil {
		ipc.CloseAll(p[:])
		return ipc.Stream{}, -1, err
	}
	if err := s.demand.open(ours); err != nil {
		ipc.CloseAll(p[:])
		return ipc.Stream{}, -1, err
	}
	if size := s.budget.pipes.made(ours); sp.Input {
		in := w.input(sp.FD)
		in.fd, in.pipe = int32(ours), size
	} else {
		out := w.output(sp.FD)
		out.fd, out.pipe = int32(ours), size
	}
	st.Source = ipc.SourceFD
	return st, theirs, nil
}

// release gives back the descriptors that were set aside for an ended worker.
func (s *Starter) release(w *Worker) {
	s.releaseLeaf(w)
	s.releaseGroups(w.proc.groups)
	w.proc.groups = 0
	if w.proc.pid != 0 {
		s.budget.held -= w.descriptors()
		if s.byPID[w.proc.pid] == w { // another worker may have the number already
			delete(s.byPID, w.proc.pid)
		}
	}
}

// Ready reads answers from the spawner, and sends waiting packets.
func (s *Starter) Ready(ev loop.Events) {
	if ev&loop.Out != 0 {
		s.resend()
	}
	for {
		n, fds, err := s.conn.TryRecv(s.buf)
		if errors.Is(err, ipc.ErrEmpty) {
			return
		}
		switch {
		case err == nil:
			err = s.answer(s.buf[:n], fds)
		case errors.Is(err, ipc.ErrNoRoom):
			err = s.cannotTake(s.buf[:n])
		}
		if err != nil {
			s.lose(err)
			return
		}
	}
}

func (s *Starter) answer(p []byte, fds []int) error {
	msg, err := ipc.Decode(p)
	if err != nil {
		ipc.CloseAll(fds)
		return err
	}
	switch m := msg.(type) {
	case ipc.Spawned:
		return s.spawned(m, fds)
	case ipc.Rotated:
		return s.rotated(m, fds)
	}
	ipc.CloseAll(fds)
	switch m := msg.(type) {
	case ipc.Changed:
		if w := s.byPID[m.PID]; w != nil && w.proc.alive {
			w.changed(unix.WaitStatus(m.Status))
		}
		return nil
	case ipc.GroupSignalled:
		if w := s.byPID[m.PID]; w != nil {
			w.groupAnswer(unix.Errno(m.Errno))
		}
		return nil
	}
	return fmt.Errorf("the spawner sent %T, which is no answer", msg)
}

func (s *Starter) spawned(m ipc.Spawned, fds []int) error {
	w := s.asked[m.Seq]
	delete(s.asked, m.Seq)
	s.demand.heard()
	none := m.Stage != ipc.StageNone
	var has ipc.Handles
	ok := w != nil && none == (len(fds) == 0)
	if ok && !none {
		has, ok = ipc.HandlesOf(fds, w.tty, w.logs(), w.notices)
	}
	if !ok {
		ipc.CloseAll(fds)
		return fmt.Errorf("the spawner answered request %d with %d descriptors", m.Seq, len(fds))
	}
	if none {
		s.budget.held -= w.descriptors()
		if !s.later(w, m.Refusal) {
			s.fail(w, m.Refusal)
		}
		return nil
	}
	s.byPID[m.PID] = w
	w.have(&has, m.Seq)
	w.started(m, has.Process)
	return nil
}

// have takes over the descriptors that the spawner opened for a worker besides its pipes.
func (w *Worker) have(h *ipc.Handles, seq uint32) {
	if w.tty {
		w.haveTerminal(h.Terminal[0], h.Terminal[1])
	}
	logs := h.Logs
	for o := range w.outputs {
		if o.log != nil {
			o.log.open(logs[0])
			logs = logs[1:]
		}
	}
	if w.notices {
		w.notify = &notify{w: w, fd: h.Notify[0], seq: seq}
	}
}

// forget has the spawner remove the name of a NOTIFY_SOCKET.
func (s *Starter) forget(seq uint32) {
	s.tell(ipc.Forget{Seq: seq})
}

// askRotate requests a new file for a log, which waits for it.
func (s *Starter) askRotate(l *log) {
	s.seq++
	l.ask.Seq = s.seq
	s.rotating[s.seq] = l
	s.tell(l.ask)
}

func (s *Starter) rotated(m ipc.Rotated, fds []int) error {
	l := s.rotating[m.Seq]
	delete(s.rotating, m.Seq)
	if l == nil || (m.Errno == 0) != (len(fds) == 1) {
		ipc.CloseAll(fds)
		return fmt.Errorf("the spawner answered rotation %d with %d descriptors", m.Seq, len(fds))
	}
	if m.Errno != 0 {
		l.rotated(-1, unix.Errno(m.Errno))
	} else {
		l.rotated(fds[0], 0)
	}
	return nil
}

// logRoom is the buffer for output that goes to a log.
func (s *Starter) logRoom() []byte {
	if s.logBuf == nil {
		s.logBuf = make([]byte, logPiece)
	}
	return s.logBuf
}

func (s *Starter) fail(w *Worker, f ipc.Refusal) {
	w.run(evNotStarted, f)
}

// tell sends a packet, or keeps it until there is room. The callers bound how many requests are
// under way: a few for each worker, see maxQuestions, and one for each log.
func (s *Starter) tell(m ipc.Message) { s.tellWith(m, -1) }

// tellWith sends a copy of a descriptor with the packet, unless fd is -1. If the copy fails, the
// packet goes without a descriptor.
func (s *Starter) tellWith(m ipc.Message, fd int) {
	if fd >= 0 {
		if kept, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			fd = kept
		} else {
			fd = -1
		}
	}
	s.toSend = append(s.toSend, note{ipc.Append(nil, m), fd})
	s.resend()
}

// resend sends the packets for which the socket was full.
func (s *Starter) resend() {
	if s.conn == nil {
		s.dropNotes() // without a spawner they concern no process
		return
	}
	for len(s.toSend) > 0 {
		n, fds := s.toSend[0], []int(nil)
		if n.fd >= 0 {
			fds = []int{n.fd}
		}
		if err := s.conn.TrySend(n.packet, fds...); err != nil {
			if errors.Is(err, ipc.ErrInFlight) {
				ipc.CloseAll(fds)
				s.toSend[0].fd = -1
				continue
			}
			if errors.Is(err, ipc.ErrFull) {
				s.src.Want(loop.In | loop.Out)
			}
			return // any other error shows when reading
		}
		ipc.CloseAll(fds)
		s.toSend = s.toSend[1:]
	}
	s.src.Want(loop.In)
}

func (s *Starter) dropNotes() {
	for _, n := range s.toSend {
		if n.fd >= 0 {
			_ = unix.Close(n.fd)
		}
	}
	s.toSend = nil
}
