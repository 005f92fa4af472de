package workers

import (
	"bytes"
	"strconv"
	"unsafe"

	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// A notice counts if a process of the worker sent it. The kernel reports the sender's pid in the
// child's own numbers (SCM_CREDENTIALS), and from Linux 6.5 on a pidfd. A sender belongs to the
// worker if it is in the worker's control group. Without a control group, it belongs to the worker
// if it is the program, is in its session or process group, or descends from it.
//
// A sender may have ended before its notice is read. From Linux 6.16 on, its pidfd still tells the
// control group. On older kernels the notice is dropped, unless the program itself sent it. A
// sender that waits for BARRIER=1 has not ended.

const (
	pidfdInfoCgroup = 1 << 2 // PIDFD_INFO_CGROUPID

	// maxGenerations is the maximum number of ancestors that are checked.
	maxGenerations = 64
	// maxMembers is how many bytes of a leaf's list of members are read: some 9,000 processes.
	maxMembers = 64 << 10
)

// sender is the process that sent a notice, as far as the kernel tells.
type sender struct {
	pid   uint32 // 0: unknown
	pidfd int    // -1: none
}

// senderOf parses the control messages of a notice. It closes all descriptors in them except the
// pidfd, which the caller owns. A sender with BARRIER=1 waits for that close. FDSTORE=1 is not
// supported.
func senderOf(oob []byte) sender {
	from := sender{pidfd: -1}
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return from
	}
	for _, m := range list {
		if fds, err := unix.ParseUnixRights(&m); err == nil {
			for _, fd := range fds {
				_ = unix.Close(fd)
			}
		}
		if c, err := unix.ParseUnixCredentials(&m); err == nil {
			from.pid = uint32(c.Pid)
		}
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_PIDFD && len(m.Data) >= 4 {
			from.pidfd = int(*(*int32)(unsafe.Pointer(&m.Data[0])))
		}
	}
	return from
}

// owns reports whether the sender is a process of the worker.
func (w *Worker) owns(from sender) bool {
	p, l := &w.proc, &w.starter.leaves
	if p.leaf != 0 && l.dir >= 0 && !p.orphaned {
		if in, known := l.holds(p.leaf, from.pidfd); known {
			return in
		}
		if l.lists(p.leaf, from.pid) {
			return true
		}
	}
	switch {
	case from.pid == 0:
		return false
	case from.pid == p.osPID:
		return true
	case p.leaf != 0:
		return false
	}
	return descends(from.pid, p.osPID)
}

// holds reports whether the process of a pidfd is in a leaf, or was at its end. If the kernel does
// not tell, known is false.
func (l *leaves) holds(leaf uint32, pidfd int) (in, known bool) {
	if l.v1 || pidfd < 0 {
		return false, false
	}
	info := pidfdInfo{mask: pidfdInfoCgroup | pidfdInfoExit}
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(pidfd), ipc.PidfdGetInfo, uintptr(unsafe.Pointer(&info)))
	if e != 0 || info.mask&pidfdInfoCgroup == 0 || info.cgroupID == 0 {
		return false, false
	}
	var st unix.Stat_t
	if eintr.Fstatat(l.dir, strconv.FormatUint(uint64(leaf), 10), &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return false, false
	}
	return st.Ino == info.cgroupID, true
}

// lists reports whether a process is a member of a leaf.
func (l *leaves) lists(leaf, pid uint32) bool {
	fd, err := eintr.Openat(l.dir, strconv.FormatUint(uint64(leaf), 10)+"/cgroup.procs", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil || pid == 0 {
		return false
	}
	defer unix.Close(fd)
	want := "\n" + strconv.FormatUint(uint64(pid), 10) + "\n"
	text := []byte("\n")
	for len(text) < maxMembers {
		var buf [4096]byte
		n, err := eintr.Read(fd, buf[:])
		if err != nil || n <= 0 {
			break
		}
		text = append(text, buf[:n]...)
	}
	return bytes.Contains(text, []byte(want))
}

// descends reports whether a process is in the session or process group of another. It also returns
// true if the process descends from the other through processes that still run.
func descends(pid, from uint32) bool {
	for range maxGenerations {
		parent, group, session, ok := kin(pid)
		switch {
		case !ok:
			return false
		case group == from || session == from || parent == from:
			return true
		case parent <= 1:
			return false
		}
		pid = parent
	}
	return false
}

// kin reads the parent, process group and session of a process (proc(5)).
func kin(pid uint32) (parent, group, session uint32, ok bool) {
	var buf [512]byte
	fd, err := eintr.Open("/proc/"+strconv.FormatUint(uint64(pid), 10)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, 0, 0, false
	}
	defer unix.Close(fd)
	n, err := eintr.Read(fd, buf[:])
	if err != nil {
		return 0, 0, 0, false
	}
	// The name, in parentheses, may contain any characters.
	words := bytes.Fields(buf[bytes.LastIndexByte(buf[:n], ')')+1 : n])
	if len(words) < 4 {
		return 0, 0, 0, false
	}
	var ids [3]uint32
	for i := range ids {
		v, err := strconv.ParseUint(string(words[1+i]), 10, 32)
		if err != nil {
			return 0, 0, 0, false
		}
		ids[i] = uint32(v)
	}
	return ids[0], ids[1], ids[2], true
}
