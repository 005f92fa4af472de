package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A kernel describes another kernel by its system calls: those that it lacks and this kernel has.
type kernel struct {
	landlock int // its version of Landlock; 0: none
	last     int // its last system call
	refused  []refusal
}

// A refusal refuses a system call by its argument arg, an int. It applies when the argument shares
// a bit with bits. Without bits, it applies when the argument, masked with mask, equals is.
type refusal struct {
	call     uint32
	as       unix.Errno
	arg      uint32
	bits     uint32
	mask, is uint32
}

// each refuses calls with any arguments.
func each(as unix.Errno, calls ...uint32) (list []refusal) {
	for _, call := range calls {
		list = append(list, refusal{call: call, as: as})
	}
	return list
}

func value(as unix.Errno, call, arg, is uint32) refusal {
	return refusal{call: call, as: as, arg: arg, mask: ^uint32(0), is: is}
}

func flags(as unix.Errno, call, arg, bits uint32) refusal {
	return refusal{call: call, as: as, arg: arg, bits: bits}
}

// The constants are from linux/pidfd.h, socket.h and memfd.h, with the version that has brought
// them.
var (
	before6_13 = []refusal{
		value(unix.ENOPROTOOPT, unix.SYS_SETSOCKOPT, 2, 83),                       // SO_PASSRIGHTS, 6.16
		{call: unix.SYS_IOCTL, as: unix.ENOTTY, arg: 1, mask: 0xFFFF, is: 0xFF0B}, // PIDFD_GET_INFO
	}
	before6_9 = append([]refusal{
		flags(unix.EINVAL, unix.SYS_PIDFD_SEND_SIGNAL, 3, ^uint32(0)),
		flags(unix.EINVAL, unix.SYS_PIDFD_OPEN, 1, ^uint32(unix.O_NONBLOCK)),
	}, before6_13...)
	before6_3 = append([]refusal{
		value(unix.ENOPROTOOPT, unix.SYS_SETSOCKOPT, 2, 76), // SO_PASSPIDFD, 6.5
		value(unix.ENOPROTOOPT, unix.SYS_GETSOCKOPT, 2, 77), // SO_PEERPIDFD, 6.5
		flags(unix.EINVAL, unix.SYS_MEMFD_CREATE, 1, unix.MFD_NOEXEC_SEAL|unix.MFD_EXEC),
	}, before6_9...)
)

const newest = 1 << 20 // after every system call, and every version

// kernels are those of distributions, and the views that two kinds of container have of one.
var kernels = map[string]kernel{
	"debian-12":    {2, 450, before6_3},
	"amazon-2023":  {2, 450, before6_3},
	"ubuntu-22.04": {1, 448, before6_3},
	"ubuntu-24.04": {4, 461, before6_9},
	"rhel-9":       {0, 447, before6_3},
	"gvisor": {0, 441, append(each(unix.ENOSYS, unix.SYS_OPENAT2, unix.SYS_FSOPEN, unix.SYS_FSMOUNT, unix.SYS_FSCONFIG,
		unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_USERFAULTFD, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN,
		unix.SYS_PIDFD_GETFD, unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_KCMP), before6_3...)},
	// Without CAP_SYS_ADMIN.
	"docker": {newest, newest, append(each(unix.EPERM, unix.SYS_BPF, unix.SYS_FANOTIFY_INIT, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT,
		unix.SYS_FSOPEN, unix.SYS_FSPICK, unix.SYS_MOUNT, unix.SYS_MOUNT_SETATTR, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE,
		unix.SYS_PERF_EVENT_OPEN, unix.SYS_SETNS, unix.SYS_UMOUNT2, unix.SYS_UNSHARE, unix.SYS_KEYCTL, unix.SYS_ADD_KEY,
		unix.SYS_REQUEST_KEY, unix.SYS_USERFAULTFD, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
		unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_PIVOT_ROOT),
		flags(unix.EPERM, unix.SYS_CLONE, 0, 0x7E020000), // CLONE_NEW...
		refusal{call: unix.SYS_CLONE3, as: unix.ENOSYS})},
}

// dockerCaps are the capabilities that Docker leaves to root.
const dockerCaps = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FSETID | 1<<unix.CAP_FOWNER | 1<<unix.CAP_MKNOD |
	1<<unix.CAP_NET_RAW | 1<<unix.CAP_SETGID | 1<<unix.CAP_SETUID | 1<<unix.CAP_SETFCAP | 1<<unix.CAP_SETPCAP |
	1<<unix.CAP_NET_BIND_SERVICE | 1<<unix.CAP_SYS_CHROOT | 1<<unix.CAP_KILL | 1<<unix.CAP_AUDIT_WRITE

// playKernel executes a program as on another kernel: NAME PROGRAM ARG...
func playKernel(args []string) error {
	k, ok := kernels[args[0]]
	if !ok {
		return fmt.Errorf("no kernel %q", args[0])
	}
	runtime.LockOSThread()
	if os.Geteuid() != 0 {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return err
		}
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	theirs := os.NewFile(uintptr(ends[1]), "listener")
	cmd := exec.Command("/proc/self/exe", "answer", "start", strconv.Itoa(k.landlock))
	cmd.ExtraFiles, cmd.Stderr = []*os.File{theirs}, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	filter := k.filter()
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&prog)))
	if e != 0 {
		return fmt.Errorf("seccomp: %w", e)
	}
	unix.CloseOnExec(int(fd))
	if err := unix.Sendmsg(ends[0], []byte{0}, unix.UnixRights(int(fd)), nil, 0); err != nil {
		return err
	}
	if args[0] == "docker" && os.Geteuid() == 0 {
		if err := keepCaps(dockerCaps); err != nil {
			return err
		}
	}
	return syscall.Exec(args[1], args[1:], os.Environ())
}

func keepCaps(keep uint64) error {
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if keep&(1<<c) == 0 {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
				return err
			}
		}
	}
	low, high := uint32(keep&(1<<32-1)), uint32(keep>>32)
	data := [2]unix.CapUserData{{Effective: low, Permitted: low}, {Effective: high, Permitted: high}}
	return unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0])
}

// filter refuses the calls that the kernel lacks. playAnswer answers for its version of Landlock.
func (k kernel) filter() (prog []unix.SockFilter) {
	add := func(code uint16, k uint32, jt, jf uint8) {
		prog = append(prog, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
	}
	const load, jump, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	refused := k.refused
	switch {
	case k.landlock == 0:
		refused = append(refused, each(unix.ENOSYS, unix.SYS_LANDLOCK_CREATE_RULESET, unix.SYS_LANDLOCK_ADD_RULE, unix.SYS_LANDLOCK_RESTRICT_SELF)...)
	case k.landlock < 7:
		refused = append(refused, flags(unix.EINVAL, unix.SYS_LANDLOCK_RESTRICT_SELF, 1, ^uint32(0)))
	}
	if k.landlock < 4 {
		refused = append(refused, value(unix.EINVAL, unix.SYS_LANDLOCK_ADD_RULE, 1, 2 /* LANDLOCK_RULE_NET_PORT */))
	}
	for _, r := range refused {
		add(load, 0, 0, 0)
		switch {
		case r.bits != 0:
			add(jump|unix.BPF_JEQ, r.call, 0, 3)
			add(load, 16+8*r.arg, 0, 0)
			add(jump|unix.BPF_JSET, r.bits, 0, 1)
		case r.mask != 0:
			add(jump|unix.BPF_JEQ, r.call, 0, 4)
			add(load, 16+8*r.arg, 0, 0)
			add(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, r.mask, 0, 0)
			add(jump|unix.BPF_JEQ, r.is, 0, 1)
		default:
			add(jump|unix.BPF_JEQ, r.call, 0, 1)
		}
		add(ret, unix.SECCOMP_RET_ERRNO|uint32(r.as), 0, 0)
	}
	add(load, 0, 0, 0)
	add(jump|unix.BPF_JGT, uint32(k.last), 0, 1)
	add(ret, unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS), 0, 0)
	if k.landlock > 0 && k.landlock < newest {
		add(jump|unix.BPF_JEQ, unix.SYS_LANDLOCK_CREATE_RULESET, 0, 1)
		add(ret, unix.SECCOMP_RET_USER_NOTIF, 0, 0)
	}
	add(ret, unix.SECCOMP_RET_ALLOW, 0, 0)
	return prog
}

// playAnswer answers landlock_create_ruleset(2) as a given version of Landlock does. It answers the
// process at the other end of descriptor 3 and all its descendants, until they have ended. No
// process waits for it.
func playAnswer(args []string) error {
	if args[0] == "start" {
		cmd := exec.Command("/proc/self/exe", "answer", args[1])
		cmd.ExtraFiles = []*os.File{os.NewFile(3, "listener")}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		return cmd.Start()
	}
	version, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(3, make([]byte, 1), oob, 0)
	if err != nil || n == 0 {
		return err
	}
	m, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return err
	}
	fds, err := unix.ParseUnixRights(&m[0])
	if err != nil {
		return err
	}
	_ = unix.Close(3)
	for {
		poll := []unix.PollFd{{Fd: int32(fds[0]), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		switch {
		case poll[0].Revents&unix.POLLIN != 0:
			answer(fds[0], version)
		case poll[0].Revents != 0:
			return nil
		}
	}
}

// The structures of linux/seccomp.h.
type (
	notification struct {
		id         uint64
		pid, flags uint32
		call       int32
		arch       uint32
		at         uint64
		args       [6]uint64
	}
	response struct {
		id    uint64
		value int64
		errno int32
		flags uint32
	}
)

func answer(fd, version int) {
	var n notification
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), 0xC0502100 /* SECCOMP_IOCTL_NOTIF_RECV */, uintptr(unsafe.Pointer(&n))); e != 0 {
		return // the caller has ended
	}
	r := response{id: n.id}
	switch {
	case n.args[2] == unix.LANDLOCK_CREATE_RULESET_VERSION && n.args[0] == 0:
		r.value = int64(version)
	case n.args[2] != 0:
		r.errno = -int32(unix.EINVAL)
	default:
		if r.errno = -int32(rulesetError(int(n.pid), n.args[0], int(n.args[1]), version)); r.errno == 0 {
			r.flags = 1 // SECCOMP_USER_NOTIF_FLAG_CONTINUE
		}
	}
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), 0xC0182101 /* SECCOMP_IOCTL_NOTIF_SEND */, uintptr(unsafe.Pointer(&r)))
}

// rulesetError returns the error of a version for a struct landlock_ruleset_attr.
func rulesetError(pid int, at uint64, size, version int) unix.Errno {
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return 0 // an ordinary user may not look
	}
	defer mem.Close()
	attr := make([]byte, max(size, 24))
	if _, err := mem.ReadAt(attr[:size], int64(at)); err != nil {
		return unix.EFAULT
	}
	files := []uint64{1<<13 - 1, 1<<14 - 1, 1<<15 - 1, 1<<15 - 1, 1<<16 - 1}[min(version, 5)-1]
	if version < 4 && binary.NativeEndian.Uint64(attr[8:]) != 0 || version < 6 && binary.NativeEndian.Uint64(attr[16:]) != 0 {
		return unix.E2BIG
	}
	if binary.NativeEndian.Uint64(attr)&^files != 0 {
		return unix.EINVAL
	}
	return 0
}
