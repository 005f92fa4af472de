package spawner

import (
	"sync"

	"golang.org/x/sys/unix"
)

// The control groups belong to the spawner's real user, its keeper (sandbox.DrawKeeper),
// which programs are not. The thread that serves has the user's file system id but while
// it acts on control groups: what it opens for a program it opens as the program's user.

// ids are those of the spawner; they are the same where there is no keeper.
type ids struct{ keeper, user int }

func (i ids) kept() bool { return i.keeper != i.user }

// ownIDs do not change while the spawner serves.
var ownIDs = sync.OnceValue(func() ids {
	real, effective, _ := unix.Getresuid()
	return ids{keeper: real, user: effective}
})

// asKeeper has the calling thread act on files as the keeper until back is called, which
// makes it again what it was.
func asKeeper() (back func()) {
	own := ownIDs()
	if !own.kept() {
		return func() {}
	}
	before := setFileID(uintptr(own.keeper))
	return func() { setFileID(before) }
}

// setFileID gives the id as it was, and cannot fail for one of the process's own
// (setfsuid(2)). It is raw, for only this thread is to have the id.
func setFileID(uid uintptr) (before uintptr) {
	before, _, _ = unix.RawSyscall(unix.SYS_SETFSUID, uid, 0, 0)
	return before
}
