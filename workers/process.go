package workers

import (
	"unsafe"

	"erluv/ipc"
	"erluv/loop"

	"golang.org/x/sys/unix"
)

// process is the program's process. It owns the pidfd, which stays open after the end because it
// still names the group.
type process struct {
	w      *Worker
	src    loop.Source
	pid    uint32 // in the spawner's numbers
	osPID  uint32 // in the child's numbers
	fd     int32
	leaf   uint32 // control group of the program and its descendants; 0: none
	groups uint32 // its groups with limits of version 1: ipc.Spawned.Limited

	limited  bool // it has a memory limit
	moves    bool // it can leave its group, because it leads no session
	orphaned bool // see orphan
	alive    bool

	// asked is how many answers of the spawner are still to come, if the spawner signals the group
	// or the other members of a leaf. If one of the requests is a SIGKILL, killing is set.
	asked   uint8
	killing bool
}

// maxQuestions is the maximum number of signals to a group under way to the spawner for the host.
// The worker's own come in addition: two stop signals, one SIGKILL, one check.
const maxQuestions = 16

func (p *process) init(w *Worker) { p.w, p.fd = w, -1 }

// start takes over the pidfd.
func (p *process) start(m ipc.Spawned, pidfd int) {
	p.pid, p.osPID, p.leaf, p.groups, p.fd, p.alive = m.PID, m.OSPID, m.Leaf, m.Limited, int32(pidfd), true
}

// watch watches the pidfd for Hup alone, which comes when the process has ended and been reaped.
// Only then does the pidfd give the exit status, and only then has the process left its group.
func (p *process) watch() error {
	if p.w.starter.reports {
		return nil
	}
	var err error
	p.src, err = p.w.host.Group(p.w).Watch(int(p.fd), 0, p)
	return err
}

// Ready handles the end of the process.
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

// signalGroup sends a signal to the group. If there is a leaf, it signals all members of the leaf.
// Those outside the group get the signal a little later, from the spawner.
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
	case err == nil && sig == unix.SIGKILL && p.alive && !p.moves && !p.w.starter.leaves.v1: // a frozen group of version 1 would not end
		return nil // it ends at once; then the others are checked
	case p.w.starter.leaves.isEmpty(p.leaf):
		return err // nil: the signal reached a process, which it has ended
	}
	p.ask(sig)
	return nil
}

// alone reports whether the program has no process left. signalGroup reports the same by ESRCH. If
// the spawner has to check, alone is false until its answer.
func (p *process) alone() bool {
	if p.leaf != 0 {
		return p.w.starter.leaves.isEmpty(p.leaf)
	}
	return p.signalGroup(0) == unix.ESRCH
}

// ask has the spawner signal the group. answered follows. A signal that a request under way already
// causes is not requested again.
func (p *process) ask(sig unix.Signal) {
	if p.w.starter.conn == nil {
		return // there is no spawner, and soon no process to signal
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
	if p.asked > 0 { // else the answer was for an earlier process of that number
		p.asked--
	}
	if p.asked == 0 {
		p.killing = false
	}
}

// pidfdInfo is the first version of struct pidfd_info (linux/pidfd.h).
type pidfdInfo struct {
	mask     uint64
	cgroupID uint64
	ids      [11]uint32
	exitCode int32
}

const pidfdInfoExit = 1 << 3 // PIDFD_INFO_EXIT

// exitOf reads the exit status from a pidfd. ok is false until the process is reaped.
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
