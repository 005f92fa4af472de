package sandbox

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A keeper is a user that owns the control groups of programs, and nothing else on the machine. The
// keeper is the spawner's real user, and no id of any program. So the kernel's own permissions
// protect cgroup.procs, cgroup.kill and limits from programs, by any mount, name or descriptor.
// They also forbid CLONE_INTO_CGROUP (clone(2)), which neither mounts nor Landlock can forbid.
//
//	          real    effective, saved, file system
//	spawner   keeper  user     the thread that starts programs has the keeper's file
//	                           system id while it acts on control groups
//	program   user    user     from before its first instruction: see setresuid(2)
//
// An exec would make the effective and saved ids equal, so the stage cannot give a role two users.
// It leaves the spawner CAP_SETUID as an ambient capability, and Settle gives that up on all
// threads.

// keeperIDs are ids that neither users nor containers have, by the convention of systemd's document
// "Users, Groups, UIDs and GIDs". The second range replaces the first in a user namespace that
// lacks it. Services without a user of their own share the second range.
var keeperIDs = []struct{ first, last uint32 }{
	{0x70000000, 0x7fffffff},
	{61184, 65519},
}

// DrawKeeper draws a keeper at random for programs of the user. It returns 0 if there can be none:
// the caller is not root, the user is root, or no such id is mapped. Threads that are not Go's
// (cgo) rule it out too.
func DrawKeeper(id Identity) uint32 {
	if os.Geteuid() != 0 || id.UID == 0 || !allThreads() {
		return 0
	}
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return 0
	}
	return drawKeeper(string(text), id.UID)
}

func drawKeeper(uidMap string, user uint32) uint32 {
	for _, r := range keeperIDs {
		if !mapped(uidMap, r.first, r.last) {
			continue
		}
		for {
			if uid := r.first + rand.Uint32N(r.last-r.first+1); uid != user {
				return uid
			}
		}
	}
	return 0
}

// mapped reports whether one line of a uid_map (user_namespaces(7)) has all these ids.
func mapped(uidMap string, first, last uint32) bool {
	for line := range strings.Lines(uidMap) {
		var inside, outside, count uint64
		if n, _ := fmt.Sscan(line, &inside, &outside, &count); n == 3 && uint64(first) >= inside && uint64(last) < inside+count {
			return true
		}
	}
	return false
}

// allThreads reports whether Go can have all threads of the process make a system call.
func allThreads() bool {
	_, _, e := syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0)
	return e == 0
}

// Owner returns the user that owns the control groups of programs.
func (id Identity) Owner() uint32 {
	if id.Keeper != 0 {
		return id.Keeper
	}
	return id.UID
}

// inheritSetuid makes CAP_SETUID inheritable, which requires it in the bounding set.
func inheritSetuid() error {
	var data [2]unix.CapUserData
	err := unix.Capget(capHeader(), &data[0])
	if err == nil {
		data[0].Inheritable, data[1].Inheritable = 1<<unix.CAP_SETUID, 0
		err = unix.Capset(capHeader(), &data[0])
	}
	if err != nil {
		return fmt.Errorf("make a capability inheritable: %w", err)
	}
	return nil
}

// keepSetuid is the part of setIdentity for a role with a keeper. It changes the ids, and leaves
// CAP_SETUID to the executed role.
func keepSetuid(uid uintptr) error {
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("keep a capability: %w", err)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); e != 0 {
		return fmt.Errorf("setresuid to %d: %w", uid, e)
	}
	if err := setCaps(1 << unix.CAP_SETUID); err != nil {
		return fmt.Errorf("clear all capabilities but one: %w", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear the ambient capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_SETUID, 0, 0); err != nil {
		return fmt.Errorf("hand a capability on: %w", err)
	}
	return nil
}

// Settle is the first act of a role with a keeper. It makes the keeper the real user of all
// threads, and clears the capability that this takes. Then the calling thread tries to regain both.
// A role without a keeper only becomes undumpable.
func Settle(id Identity) error {
	if err := NotDumpable(); err != nil {
		return err
	}
	if id.Keeper == 0 {
		return nil
	}
	keeper, uid := int(id.Keeper), int(id.UID)
	if err := syscall.Setresuid(keeper, uid, uid); err != nil {
		return fmt.Errorf("cannot have user %d keep the control groups: %w", keeper, err)
	}
	var none [2]unix.CapUserData
	header := capHeader()
	_, _, e := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(&none[0])), 0)
	if e != 0 {
		return fmt.Errorf("cannot clear the capabilities: %w", e)
	}
	if err := prove(Recipe{Identity: id}); err != nil {
		return fmt.Errorf("cannot prove that the privileges are gone: %w", err)
	}
	return nil
}

// proveUnlessKept is prove, except for a role with a keeper: Settle proves later.
func proveUnlessKept(r Recipe) error {
	if r.Keeper != 0 {
		return nil
	}
	return prove(r)
}
