package sandbox

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

	"golang.org/x/sys/unix"
)

// Tree is a control group of cgroups(7), version 2, in which all programs are: so
// the kernel knows whose each process is, whatever session it went to. It belongs to
// erluv_main, which has made it beneath its own group:
//
//	erluv-0123456789abcdef.tree/    the user's: processes may be moved within it
//	    spawner/                    the spawner, so that it may start programs in the tree
//	    1/ 2/ 3/ ...                leaves, made by the spawner: one for each worker
//
// Main holds a lock on it as long as it lives; a tree without one is what a dead
// erluv has left. No controller is used: version 2 can be mounted beside version 1.
type Tree struct {
	dir     string
	fd      int // of the directory, locked
	spawner int // of the spawner's
}

const (
	treePrefix  = "erluv-"
	treeSuffix  = ".tree"
	treeSpawner = "spawner"

	// cgroupMount is beneath what the child may read (childFiles).
	cgroupMount = "/sys/fs/cgroup"

	// treeBound is how long processes that were sent SIGKILL may take to be gone,
	// and how long other erluvs may take with their trees.
	treeBound = 5 * time.Second
)

// NewTree makes the tree for programs of the user, after it has ended and removed
// those that dead erluvs have left at the same place; swept counts them.
func NewTree(id Identity) (t *Tree, swept int, err error) {
	base, err := ownCgroup()
	if err != nil {
		return nil, 0, err
	}
	unlock, err := lockTrees(base)
	if err != nil {
		return nil, 0, err
	}
	defer unlock()
	swept = sweepTrees(base)
	var serial [8]byte
	_, _ = rand.Read(serial[:]) // never fails
	t = &Tree{dir: filepath.Join(base, treePrefix+hex.EncodeToString(serial[:])+treeSuffix), fd: -1, spawner: -1}
	if err := t.make(id); err != nil {
		t.Remove()
		return nil, swept, err
	}
	return t, swept, nil
}

// ownCgroup is the directory of the process's control group.
func ownCgroup() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	return findCgroup(string(mounts), string(groups))
}

// findCgroup finds it in the two files of proc(5).
func findCgroup(mounts, groups string) (string, error) {
	var own string
	for line := range strings.Lines(groups) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			own = strings.TrimSuffix(path, "\n")
		}
	}
	for line := range strings.Lines(mounts) {
		before, after, _ := strings.Cut(line, " - ")
		f := strings.Fields(before)
		if !strings.HasPrefix(after, "cgroup2 ") || len(f) < 5 {
			continue
		}
		root, at := f[3], f[4]
		rest, err := filepath.Rel(root, own)
		if own == "" || err != nil || rest == ".." || strings.HasPrefix(rest, "../") {
			continue // another part of the hierarchy is mounted there
		}
		if at == cgroupMount || strings.HasPrefix(at, cgroupMount+"/") {
			return filepath.Join(at, rest), nil
		}
	}
	return "", errors.New("no control groups of version 2 are mounted beneath " + cgroupMount)
}

// lockTrees keeps other erluvs from taking a tree that is just being made for one
// that was left.
func lockTrees(base string) (unlock func(), err error) {
	fd, err := unix.Open(base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", base, err)
	}
	for end := time.Now().Add(treeBound); ; time.Sleep(time.Millisecond) {
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = unix.Close(fd) }, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR || time.Now().After(end) {
			_ = unix.Close(fd)
			return nil, fmt.Errorf("cannot lock %s: %w", base, err)
		}
	}
}

// sweepTrees ends what dead erluvs of the same user have left, and counts it.
func sweepTrees(base string) (swept int) {
	dirs, _ := filepath.Glob(filepath.Join(base, treePrefix+strings.Repeat("[0-9a-f]", 16)+treeSuffix))
	for _, dir := range dirs {
		fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		left := Tree{dir: dir, fd: fd, spawner: -1}
		var st unix.Stat_t
		if unix.Fstatat(fd, "cgroup.kill", &st, 0) != nil || int(st.Uid) != os.Geteuid() ||
			unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) != nil {
			_ = unix.Close(fd)
			continue
		}
		left.Remove()
		swept++
	}
	return swept
}

func (t *Tree) make(id Identity) error {
	fail := func(err error) error { return fmt.Errorf("cannot make the control group %s: %w", t.dir, err) }
	err := unix.Mkdir(t.dir, 0o755)
	if err == nil {
		err = unix.Chmod(t.dir, 0o755) // whatever the umask
	}
	if err == nil {
		t.fd, err = unix.Open(t.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	if err == nil {
		err = unix.Flock(t.fd, unix.LOCK_EX|unix.LOCK_NB)
	}
	if err == nil {
		err = unix.Faccessat(t.fd, "cgroup.kill", unix.W_OK, 0)
		if err == unix.ENOENT {
			return fail(errors.New("cgroup.kill is not there (Linux 5.14 is needed)"))
		}
	}
	if err == nil {
		err = t.begin()
	}
	// A process is moved by who may write to this file of all that has both groups.
	for _, name := range []string{".", "cgroup.procs"} {
		if err == nil {
			err = unix.Fchownat(t.fd, name, int(id.UID), int(id.GID), 0)
		}
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

// begin makes the spawner's group.
func (t *Tree) begin() error {
	err := unix.Mkdirat(t.fd, treeSpawner, 0o755)
	if err == nil {
		err = unix.Fchmodat(t.fd, treeSpawner, 0o755, 0)
	}
	if err == nil {
		t.spawner, err = unix.Openat(t.fd, treeSpawner, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	return err
}

// Path is the tree's directory.
func (t *Tree) Path() string { return t.dir }

// SpawnerFD is a descriptor of the spawner's group; it stays the tree's.
func (t *Tree) SpawnerFD() int { return t.spawner }

// Empty ends every process in the tree, the spawner too, and makes it ready for
// another one. What was made in it is removed, for what is started in a group with
// CLONE_INTO_CGROUP after a cgroup.kill there, Linux kills as well.
func (t *Tree) Empty() error {
	if err := t.kill(); err != nil {
		return err
	}
	t.clear()
	if err := t.begin(); err != nil {
		return fmt.Errorf("cannot make a control group in %s: %w", t.dir, err)
	}
	return nil
}

// kill waits until all are gone, which takes a process that waits for a broken disk
// without end: then it is an error, after a while.
func (t *Tree) kill() error {
	if err := writeAt(t.fd, "cgroup.kill", "1"); err != nil {
		return fmt.Errorf("cannot end what is in %s: %w", t.dir, err)
	}
	for end := time.Now().Add(treeBound); ; time.Sleep(time.Millisecond) {
		events, err := os.ReadFile(t.dir + "/cgroup.events")
		if err != nil {
			return err
		}
		if strings.Contains(string(events), "populated 0") {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("processes in %s do not end", t.dir)
		}
	}
}

func writeAt(dir int, name, text string) error {
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(text))
	return err
}

// Remove ends what is in the tree and removes it. What cannot be removed is left to
// the next erluv that is started.
func (t *Tree) Remove() {
	if t.fd < 0 {
		return
	}
	_ = t.kill()
	t.clear()
	_ = unix.Rmdir(t.dir)
	_ = unix.Close(t.fd)
	t.fd = -1
}

// clear removes what is in the tree, the groups before those that they are in.
func (t *Tree) clear() {
	var dirs []string
	_ = filepath.WalkDir(t.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != t.dir {
			dirs = append(dirs, path)
		}
		return nil
	})
	for i := len(dirs) - 1; i >= 0; i-- {
		_ = unix.Rmdir(dirs[i])
	}
	if t.spawner >= 0 {
		_ = unix.Close(t.spawner)
		t.spawner = -1
	}
}
