package spawner

import (
	"sync"

	"golang.org/x/sys/unix"
)

// Control groups belong to the spawner's real user, its keeper (sandbox.DrawKeeper), and no program
// runs as that user. The serving thread has the user's file system id, except while it acts on
// control groups. So it opens files for a program as the program's user.

// ids are the spawner's two users, which are equal if there is no keeper.
type ids struct{ keeper, user int }

func (i ids) kept() bool { return i.keeper != i.user }

// ownIDs do not change while the spawner serves.
var ownIDs = sync.OnceValue(func() ids {
	real, effective, _ := unix.Getresuid()
	return ids{keeper: real, user: effective}
})

// asKeeper makes the calling thread act on files as the keeper. back restores the previous id.
func asKeeper() (back func()) {
	own := ownIDs()
	if !own.kept() {
		return func() {}
	}
	before := setFileID(uintptr(own.keeper))
	return func() { setFileID(before) }
}

// setFileID returns the previous id. It cannot fail for one of the process's own ids (setfsuid(2)).
// The call is raw, because no other thread may change.
func setFileID(uid uintptr) (before uintptr) {
	before, _, _ = unix.RawSyscall(unix.SYS_SETFSUID, uid, 0, 0)
	return before
}
