package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// Limits are the trees in which programs with limits are: see Tree. A controller of
// cgroups(7) is either in version 2 or in a hierarchy of version 1, and for each of these
// there is a tree, if main may make one.
type Limits struct {
	trees []*Tree // of version 1
	dirs  [numControllers]string
	Why   error // why some cannot be had; nil: all can
	Swept int   // how many trees with programs in them dead erluvs had left
}

const numControllers = 3

// controllers are those of the limits, with a file that a group of version 1 has.
var controllers = [numControllers]struct{ name, file string }{
	{"memory", "memory.limit_in_bytes"}, {"pids", "pids.max"}, {"cpu", "cpu.cfs_quota_us"},
}

// NewLimits makes the trees for programs of the user, after it has ended and removed
// those that dead erluvs have left at the same places. What version 2 has is in the tree
// that there is already; nil: none.
func NewLimits(owner Owner, tree *Tree) (l Limits) {
	at := make(map[string]*Tree) // by the group in which they are
	for i, c := range controllers {
		var err error
		if l.dirs[i], err = l.dir(c.name, c.file, owner, tree, at); err != nil {
			l.Why = errors.Join(l.Why, fmt.Errorf("no limit of %s: %w", c.name, err))
		}
	}
	return l
}

func (l *Limits) dir(name, file string, owner Owner, tree *Tree, at map[string]*Tree) (string, error) {
	base, err := own(name)
	if err != nil {
		if tree == nil {
			return "", err
		}
		if no := tree.enable(name); no != nil {
			return "", errors.Join(err, no)
		}
		return tree.dir, nil
	}
	t := at[base]
	if t == nil {
		var swept int
		t, swept, err = treeAt(base, true, owner)
		l.Swept += swept
		if err != nil {
			return "", err
		}
		at[base] = t
		l.trees = append(l.trees, t)
	}
	if err := eintr.Access(filepath.Join(t.dir, file), unix.W_OK); err != nil {
		return "", fmt.Errorf("cannot write to %s in %s: %w", file, t.dir, err)
	}
	return t.dir, nil
}

// Dirs are the directories in which groups for limits of memory, processes and
// processor time can be made; "" where they cannot. Those that are the tree's Path are of
// version 2.
func (l *Limits) Dirs() [numControllers]string { return l.dirs }

// Empty ends what is in the trees, and removes what was made in them.
func (l *Limits) Empty() (err error) {
	for _, t := range l.trees {
		err = errors.Join(err, t.Empty())
	}
	return err
}

// Remove removes the trees.
func (l *Limits) Remove() {
	for _, t := range l.trees {
		t.Remove()
	}
}

// enable has the groups in a tree of version 2 have a controller. A group that hands
// controllers down must not have processes: if main is the only one in that above the
// tree, it goes to one beside the tree, until Remove.
func (t *Tree) enable(controller string) error {
	base := filepath.Dir(t.dir)
	if !lists(base+"/cgroup.controllers", controller) {
		return fmt.Errorf("%s does not have it", base)
	}
	for _, dir := range []string{base, t.dir} {
		if lists(dir+"/cgroup.subtree_control", controller) {
			continue
		}
		err := hand(dir, "+", controller)
		if errors.Is(err, unix.EBUSY) && dir == base && t.stepAside() {
			err = hand(dir, "+", controller)
		}
		if err != nil {
			return fmt.Errorf("%s cannot hand it down: %w", dir, err)
		}
		if dir == base {
			t.handed = append(t.handed, controller)
		}
	}
	return nil
}

func lists(file, controller string) bool {
	text, _ := os.ReadFile(file)
	return slices.Contains(strings.Fields(string(text)), controller)
}

func hand(dir, sign, controller string) error {
	return os.WriteFile(dir+"/cgroup.subtree_control", []byte(sign+controller), 0)
}

// asideSuffix ends the name of the group to which main goes.
const asideSuffix = ".main"

// stepAside moves main there, if nobody else is where it is.
func (t *Tree) stepAside() bool {
	base, self := filepath.Dir(t.dir), strconv.Itoa(os.Getpid())
	if text, err := os.ReadFile(base + "/cgroup.procs"); err != nil || strings.TrimSpace(string(text)) != self {
		return false
	}
	aside := strings.TrimSuffix(t.dir, treeSuffix) + asideSuffix
	if eintr.Mkdir(aside, 0o755) != nil {
		return false
	}
	if os.WriteFile(aside+"/cgroup.procs", []byte(self), 0) != nil {
		_ = eintr.Rmdir(aside)
		return false
	}
	t.aside = aside
	return true
}

// stepBack undoes what enable has done. Where another erluv has gone on with it, that
// fails, and main ends where it is; sweepTrees removes the group.
func (t *Tree) stepBack() {
	base := filepath.Dir(t.dir)
	for _, controller := range t.handed {
		_ = hand(base, "-", controller)
	}
	t.handed = nil
	if t.aside != "" && os.WriteFile(base+"/cgroup.procs", []byte(strconv.Itoa(os.Getpid())), 0) == nil {
		_ = eintr.Rmdir(t.aside)
		t.aside = ""
	}
}
