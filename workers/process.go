package workers

import (
	"unsafe"

	"erluv/ipc"
	"erluv/loop"

	"golang.org/x/sys/unix"
)

// process is the program's process: it owns the pidfd. The pidfd stays open after
// the end, for it still names the group.
type process struct {
	w      *Worker
	src    loop.Source
	pid    uint32 // as the spawner counts
	osPID  uint32 // as we do
	fd     int32
	leaf   uint32 // the control group of all that was started; 0: none
	groups uint32 // with limits, in version 1: ipc.Spawned.Limited

	limited  bool // it has a limit of memory
	moves    bool // it can leave its group: it leads no session
	orphaned bool // see orphan
	alive    bool

	// Where the spawner signals groups, or others in a leaf: how many answers are still to come, and
	// whether a SIGKILL is among the questions.
	asked   uint8
	killing bool
}

// maxQuestions is how many signals to a group may be under way to the spawner on
// behalf of the host. The worker's own are a few more: two stop signals, one
// SIGKILL, one look.
const maxQuestions = 16

func (p *process) init(w *Worker) { p.w, p.fd = w, -1 }

// start takes the pidfd over.
func (p *process) start(m ipc.Spawned, pidfd int) {
	p.pid, p.osPID, p.leaf, p.groups, p.fd, p.alive = m.PID, m.OSPID, m.Leaf, m.Limited, int32(pidfd), true
}

// watch has the pidfd watched for nothing but Hup, which comes when the process has
// ended and been reaped: only then does the pidfd tell the status, and only then is
// the process out of its group.
func (p *process) watch() error {
	if p.w.starter.reports {
		return nil
	}
	var err error
	p.src, err = p.w.host.Group(p.w).Watch(int(p.fd), 0, p)
	return err
}

// Ready: the process is gone.
func (p *process) Ready(loop.Events) {
	if e, ok := exitOf(int(p.fd)); ok {
		p.w.exited(e)
	}
}

func (p *process) ended() {
	p.alive = false
	p.src.Remove()
}

func (p *process) close() {
	p.src.Remove()
	if p.fd >= 0 {
		_ = unix.Close(int(p.fd))
		p.fd = -1
	}
}

func (p *process) signal(sig unix.Signal) error {
	if !p.alive {
		return unix.ESRCH
	}
	if p.w.starter.demand != nil {
		return p.signalOther(sig)
	}
	return unix.PidfdSendSignal(int(p.fd), sig, nil, 0)
}

// With a leaf it is a signal to everything that was started; those outside of the
// group get it a little later, by way of the spawner.
func (p *process) signalGroup(sig unix.Signal) error {
	if p.fd < 0 || p.orphaned {
		return unix.ESRCH
	}
	if p.w.starter.reports {
		p.ask(sig)
		return nil
	}
	if p.w.starter.demand != nil {
		return p.signalOthers(sig)
	}
	err := unix.PidfdSendSignal(int(p.fd), sig, nil, ipc.PidfdSignalProcessGroup)
	switch {
	case p.leaf == 0:
		return err
	case err == nil && sig == unix.SIGKILL && p.alive && !p.moves && !p.w.starter.leaves.v1: // there it may be frozen
		return nil // it ends at once; then the others are looked for
	case p.w.starter.leaves.isEmpty(p.leaf):
		return err // nil: it has reached somebody, who has ended of it already
	}
	p.ask(sig)
	return nil
}

// alone says whether nothing is left of what was started; ESRCH tells the same of a
// signal. Where the spawner has to look, it is false until it has.
func (p *process) alone() bool {
	if p.leaf != 0 {
		return p.w.starter.leaves.isEmpty(p.leaf)
	}
	return p.signalGroup(0) == unix.ESRCH
}

// ask has the spawner signal the group; answered follows. What a question under
// way does anyway is not asked again.
func (p *process) ask(sig unix.Signal) {
	if p.w.starter.conn == nil {
		return // there is no spawner, and soon nobody to be signalled
	}
	if sig == 0 && p.asked > 0 || sig == unix.SIGKILL && p.killing {
		return
	}
	p.asked++
	p.killing = p.killing || sig == unix.SIGKILL
	fd := -1
	if p.w.starter.demand != nil {
		fd = int(p.fd)
	}
	p.w.starter.tellWith(ipc.SignalGroup{PID: p.pid, Signal: uint32(sig), Leaf: p.leaf}, fd)
}

func (p *process) answered() {
	if p.asked > 0 { // else it was meant for one who had this number before
		p.asked--
	}
	if p.asked == 0 {
		p.killing = false
	}
}

// pidfdInfo is struct pidfd_info in its first version (linux/pidfd.h).
type pidfdInfo struct {
	mask     uint64
	cgroupID uint64
	ids      [11]uint32
	exitCode int32
}

const pidfdInfoExit = 1 << 3 // PIDFD_INFO_EXIT

// exitOf asks a pidfd for the exit status; it is known once the process is
// reaped.
func exitOf(pidfd int) (Exit, bool) {
	info := pidfdInfo{mask: pidfdInfoExit}
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(pidfd), ipc.PidfdGetInfo, uintptr(unsafe.Pointer(&info)))
	if e != 0 || info.mask&pidfdInfoExit == 0 {
		return Exit{}, false
	}
	return exitFrom(unix.WaitStatus(info.exitCode)), true
}

func exitFrom(st unix.WaitStatus) Exit {
	if st.Signaled() {
		return Exit{Signal: st.Signal(), Core: st.CoreDump()}
	}
	return Exit{Status: st.ExitStatus()}
}
