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

// Limits are the trees for programs with limits: see Tree. A controller of cgroups(7) belongs
// either to version 2 or to a hierarchy of version 1. Limits has a tree for each of these in which
// main may make one.
type Limits struct {
	trees []*Tree // of version 1
	dirs  [numControllers]string
	Why   error // why some limits cannot be had; nil: all can
	Swept int   // how many trees of dead erluvs still had programs
}

const numControllers = 3

// controllers are the controllers of the limits, each with a file that a group of version 1 has.
var controllers = [numControllers]struct{ name, file string }{
	{"memory", "memory.limit_in_bytes"}, {"pids", "pids.max"}, {"cpu", "cpu.cfs_quota_us"},
}

// NewLimits makes the trees for programs of the owner. First it ends and removes those that dead
// erluvs have left at the same places. Controllers of version 2 use the given tree, if it is not
// nil.
func NewLimits(owner Owner, tree *Tree) (l Limits) {
	at := make(map[string]*Tree) // by the group that holds them
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

// Dirs returns the directories in which groups for limits of memory, processes and processor time
// can be made; "" where they cannot. A directory that equals the tree's Path is of version 2.
func (l *Limits) Dirs() [numControllers]string { return l.dirs }

// Empty ends all processes in the trees, and removes the groups made in them.
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

// enable hands a controller down to the groups in a tree of version 2. A group that does so must
// not have processes of its own. If main is the only one in the group above the tree, it moves to a
// group beside the tree, until Remove.
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

// asideSuffix ends the name of the group to which main moves.
const asideSuffix = ".main"

// stepAside moves main to a group beside the tree, if main is alone in its group.
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

// stepBack undoes enable. That fails if another erluv uses the controllers meanwhile. Main then
// stays where it is until it ends; sweepTrees of a later erluv removes the group.
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
