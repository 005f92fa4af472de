package e2e

import (
	"encoding/binary"
	"errors"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// ownLimit has a process lower or raise a soft limit of its own, and returns the old value. The
// spawner's limits need this. Its real user is a keeper, so other processes need CAP_SYS_RESOURCE,
// which root in a container can lack. ptrace(2) stops the process in a system call. The process
// then calls prlimit64(2), and goes on where it was.
func ownLimit(t *testing.T, pid, resource int, soft uint64) (old uint64) {
	t.Helper()
	runtime.LockOSThread() // ptrace(2) is bound to a thread
	defer runtime.UnlockOSThread()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatalf("process %d cannot be made to set its limit %d to %d: %v", pid, resource, soft, err)
		}
	}
	// until waits for the stop with a signal, and next makes the process go on until then. Other
	// signals that come meanwhile, such as those of Go's runtime, are sent again in the end.
	var others []unix.Signal
	until := func(want unix.Signal, next func(pid int) error) {
		for {
			var status unix.WaitStatus
			_, err := unix.Wait4(pid, &status, unix.WALL, nil)
			if err == nil && !status.Stopped() {
				err = errors.New("it has ended")
			}
			must(err)
			if status.StopSignal() == want {
				return
			}
			others = append(others, status.StopSignal())
			must(next(pid))
		}
	}
	defer func() {
		_ = unix.PtraceDetach(pid)
		for _, sig := range others {
			_ = unix.Kill(pid, sig)
		}
	}()
	// The process's own syscall instruction makes the call: other threads run the same code.
	var before unix.PtraceRegs
	for code := make([]byte, 2); string(code) != "\x0f\x05"; {
		_ = unix.PtraceDetach(pid)
		must(unix.PtraceAttach(pid))
		until(unix.SIGSTOP, func(pid int) error { return unix.PtraceCont(pid, 0) })
		must(unix.PtraceGetRegs(pid, &before))
		_, err := unix.PtracePeekText(pid, uintptr(before.Rip-2), code)
		must(err)
	}

	// Below the red zone of the stack is room for the limit to set, and for the old one.
	room := uintptr(before.Rsp - 512)
	limits := make([]byte, 32)
	call := func(set uintptr) {
		regs := before
		regs.Rip -= 2
		regs.Orig_rax = ^uint64(0) // the interrupted call is not repeated yet
		regs.Rax, regs.Rdi, regs.Rsi = unix.SYS_PRLIMIT64, 0, uint64(resource)
		regs.Rdx, regs.R10 = uint64(set), uint64(room+16)
		must(unix.PtraceSetRegs(pid, &regs))
		must(unix.PtraceSingleStep(pid))
		until(unix.SIGTRAP, unix.PtraceSingleStep)
		must(unix.PtraceGetRegs(pid, &regs))
		if errno := -int64(regs.Rax); errno > 0 {
			must(unix.Errno(errno))
		}
	}
	call(0)
	_, err := unix.PtracePeekData(pid, room, limits)
	must(err)
	old = binary.LittleEndian.Uint64(limits[16:])
	copy(limits[8:16], limits[24:]) // the hard limit stays
	binary.LittleEndian.PutUint64(limits, soft)
	_, err = unix.PtracePokeData(pid, room, limits)
	must(err)
	call(room)
	must(unix.PtraceSetRegs(pid, &before))
	return old
}
