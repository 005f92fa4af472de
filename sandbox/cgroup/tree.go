// Package cgroup manages the control groups of programs (cgroups(7)), of version 2 or 1. It has the
// tree that holds all programs, so that the kernel knows the origin of each process, and the trees
// for limits. It kills, freezes and counts the processes in a group. Main makes the trees; the
// spawner makes and removes groups in them.
//
//	tree.go     the tree: made, locked, emptied, removed
//	limits.go   the trees for limits, and the controllers
//	freezer.go  groups of version 1: kill, freeze, thaw
//	own.go      where the process's own control group is
package cgroup

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// Owner is the user and the group that own the control groups of programs: see
// sandbox.Identity.Owner.
type Owner struct{ UID, GID uint32 }

// Tree is a control group (cgroups(7)) that holds programs and all processes that they have
// started. So the kernel knows the origin of each process, even after setsid(2). erluv_main makes
// the tree beneath its own group, and removes it. One of version 2:
//
//	erluv-0123456789abcdef.tree/    the owner's: processes may be moved within it
//	    spawner/                    the spawner, so that it may start programs in the tree
//	    1/ 2/ 3/ ...                leaves, made by the spawner: one for each worker
//
// Without version 2 it is a group of the freezer of version 1, with leaves only. The spawner stays
// outside, because version 1 lets every user move processes of their own. In the hierarchies of
// version 1 that limits need, a tree has leaves only for programs with limits.
//
// Main locks a tree for as long as it lives. An unlocked tree is left over from a dead erluv. The
// locked file is one that the owner cannot open: otherwise a program could lock it for ever.
//
// One user may write to the tree. That is the programs' own user only where there can be no keeper
// (sandbox.DrawKeeper).
type Tree struct {
	dir     string
	v1      bool
	fd      int // of the directory
	lock    int // of the file that is locked
	spawner int // of the spawner's group, which version 1 does not have

	handed []string // controllers that the group above hands down for it
	aside  string   // the group that main has moved to; "": it has not moved
}

const (
	treePrefix  = "erluv-"
	treeSuffix  = ".tree"
	treeSpawner = "spawner"

	// treeBound is how long processes may take to end after SIGKILL.
	treeBound = 5 * time.Second

	// treeTries is how often another erluv may mistake a tree that is just being made for a left
	// one, and remove it.
	treeTries = 100
)

// errTaken says that another erluv removed the tree while it was being made.
var errTaken = errors.New("another erluv has removed it again and again")

// NewTree makes the tree for programs of the owner. First it ends and removes the trees that dead
// erluvs have left at the same place; swept counts them. If version 2 does not work and v1 allows
// it, the tree is one of the freezer.
func NewTree(owner Owner, v1 bool) (t *Tree, swept int, err error) {
	t, swept, err = newTreeIn("", owner)
	if err == nil || !v1 {
		return t, swept, err
	}
	t, more, no := newTreeIn(freezer, owner)
	if no != nil {
		return nil, swept + more, fmt.Errorf("%w; %w", err, no)
	}
	return t, swept + more, nil
}

// newTreeIn makes a tree of version 1 in the hierarchy with the controller, or of version 2 if
// controller is "".
func newTreeIn(controller string, owner Owner) (t *Tree, swept int, err error) {
	base, err := own(controller)
	if err != nil {
		return nil, 0, err
	}
	return treeAt(base, controller != "", owner)
}

func treeAt(base string, v1 bool, owner Owner) (t *Tree, swept int, err error) {
	swept = sweepTrees(base, v1)
	for range treeTries {
		var serial [8]byte
		_, _ = rand.Read(serial[:]) // never fails
		t = noTree(filepath.Join(base, treePrefix+hex.EncodeToString(serial[:])+treeSuffix), v1)
		if err = t.make(owner); err == nil {
			return t, swept, nil
		}
		t.Remove()
		if !errors.Is(err, errTaken) {
			break
		}
	}
	return nil, swept, err
}

func noTree(dir string, v1 bool) *Tree { return &Tree{dir: dir, v1: v1, fd: -1, lock: -1, spawner: -1} }

// sweepTrees removes the trees that dead erluvs of the same user have left, and their processes. It
// counts those that were used.
func sweepTrees(base string, v1 bool) (swept int) {
	serials := filepath.Join(base, treePrefix+strings.Repeat("[0-9a-f]", 16))
	empty, _ := filepath.Glob(serials + asideSuffix)
	for _, dir := range empty {
		_ = eintr.Rmdir(dir) // fails while a living erluv is in there
	}
	dirs, _ := filepath.Glob(serials + treeSuffix)
	for _, dir := range dirs {
		left := noTree(dir, v1)
		if left.open() != nil || left.hold() != nil {
			left.close()
			continue
		}
		if left.used() {
			swept++
		}
		left.Remove()
	}
	return swept
}

// lockName is the file that is locked. In version 2 only its owner may open it. In version 1 main
// restricts it to its owner.
func (t *Tree) lockName() string {
	if t.v1 {
		return "notify_on_release"
	}
	return "cgroup.kill"
}

// open opens the tree's directory and the file to lock, if they are ours.
func (t *Tree) open() (err error) {
	t.fd, err = eintr.Open(t.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	t.lock, err = eintr.Openat(t.fd, t.lockName(), unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT && !t.v1 {
		return errors.New("cgroup.kill is not there (Linux 5.14 is needed)")
	}
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err = eintr.Fstat(t.lock, &st); err == nil && int(st.Uid) != os.Geteuid() {
		err = unix.EPERM
	}
	return err
}

// hold takes the lock; it fails if another process has it.
func (t *Tree) hold() error {
	return eintr.Flock(t.lock, unix.LOCK_EX|unix.LOCK_NB)
}

// used reports whether the tree was completed: it has the spawner's group, or leaves in version 1.
func (t *Tree) used() bool {
	var st unix.Stat_t
	return eintr.Fstatat(t.fd, treeSpawner, &st, unix.AT_SYMLINK_NOFOLLOW) == nil || t.v1 && len(t.groups()) > 0
}

func (t *Tree) make(owner Owner) error {
	err := eintr.Mkdir(t.dir, 0o755)
	if err == nil {
		if err = t.fill(owner); err != nil && !t.exists() {
			err = errTaken
		}
	}
	if err != nil {
		return fmt.Errorf("cannot make the control group %s: %w", t.dir, err)
	}
	return nil
}

func (t *Tree) exists() bool {
	var st unix.Stat_t
	return eintr.Lstat(t.dir, &st) == nil
}

func (t *Tree) fill(owner Owner) error {
	err := eintr.Chmod(t.dir, 0o755) // independent of the umask
	if err == nil && t.v1 {
		err = eintr.Chmod(filepath.Join(t.dir, t.lockName()), 0o600)
	}
	if err == nil {
		err = t.open()
	}
	if err == nil {
		err = t.hold()
	}
	// An earlier holder of the lock may have removed the tree.
	if err == unix.EWOULDBLOCK || err == nil && !t.exists() {
		return errTaken
	}
	if err == nil && !t.v1 {
		if err = t.begin(); err == nil {
			// A user who may write to this file of the common ancestor may move processes between
			// the groups.
			err = eintr.Fchownat(t.fd, "cgroup.procs", int(owner.UID), int(owner.GID), 0)
		}
	}
	if err == nil {
		err = eintr.Fchownat(t.fd, ".", int(owner.UID), int(owner.GID), 0)
	}
	return err
}

// begin makes the spawner's group.
func (t *Tree) begin() error {
	err := eintr.Mkdirat(t.fd, treeSpawner, 0o755)
	if err == nil {
		err = eintr.Fchmodat(t.fd, treeSpawner, 0o755, 0)
	}
	if err == nil {
		t.spawner, err = eintr.Openat(t.fd, treeSpawner, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	return err
}

// Path returns the tree's directory.
func (t *Tree) Path() string { return t.dir }

// SpawnerFD returns a descriptor of the spawner's group, which the tree keeps.
func (t *Tree) SpawnerFD() int { return t.spawner }

// Empty ends every process in the tree, the spawner too, and prepares the tree for another
// spawner. It removes all groups and makes a new one for the spawner. The old one would not do:
// after a cgroup.kill Linux also kills processes that CLONE_INTO_CGROUP starts in that group.
func (t *Tree) Empty() error {
	if err := t.kill(); err != nil {
		return err
	}
	t.clear()
	if t.v1 {
		return nil
	}
	if err := t.begin(); err != nil {
		return fmt.Errorf("cannot make a control group in %s: %w", t.dir, err)
	}
	return nil
}

// kill waits until all processes are gone. A process that waits for a broken disk may never end, so
// after treeBound kill returns an error.
func (t *Tree) kill() error {
	if !t.v1 {
		if err := writeAt(t.fd, "cgroup.kill", "1"); err != nil {
			return fmt.Errorf("cannot end what is in %s: %w", t.dir, err)
		}
	}
	for end := time.Now().Add(treeBound); ; time.Sleep(time.Millisecond) {
		empty, err := t.isEmpty()
		if err != nil || empty {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("processes in %s do not end", t.dir)
		}
	}
}

func (t *Tree) isEmpty() (bool, error) {
	if t.v1 {
		return t.killMembers() == 0, nil
	}
	events, err := os.ReadFile(t.dir + "/cgroup.events")
	return strings.Contains(string(events), "populated 0"), err
}

// killMembers sends SIGKILL to the processes in a tree of version 1, and counts the groups that
// have any.
func (t *Tree) killMembers() (groups int) {
	for _, dir := range append(t.groups(), t.dir) {
		if pids, _ := Members(in(dir)); len(pids) > 0 {
			groups++
			_ = Kill(in(dir)) // the next look finds those that escape
		}
	}
	return groups
}

func writeAt(dir int, name, text string) error {
	fd, err := eintr.Openat(dir, name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = eintr.Write(fd, []byte(text))
	return err
}

// Remove ends all processes in the tree and removes it. If that fails, the next erluv to start
// removes the remainder.
func (t *Tree) Remove() {
	if t.fd >= 0 {
		_ = t.kill()
		t.clear()
	}
	_ = eintr.Rmdir(t.dir)
	t.stepBack()
	t.close()
}

func (t *Tree) close() {
	for _, fd := range []*int{&t.fd, &t.lock, &t.spawner} {
		if *fd >= 0 {
			_ = unix.Close(*fd)
		}
		*fd = -1
	}
}

// clear removes the groups in the tree, inner ones first.
func (t *Tree) clear() {
	dirs := t.groups()
	for i := len(dirs) - 1; i >= 0; i-- {
		_ = eintr.Rmdir(dirs[i])
	}
	if t.spawner >= 0 {
		_ = unix.Close(t.spawner)
		t.spawner = -1
	}
}

// groups returns the directories in the tree, outer ones first.
func (t *Tree) groups() (dirs []string) {
	_ = filepath.WalkDir(t.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != t.dir {
			dirs = append(dirs, path)
		}
		return nil
	})
	return dirs
}
