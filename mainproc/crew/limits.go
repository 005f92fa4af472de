package crew

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"erluv/ipc"
	"erluv/sandbox"
	"erluv/sandbox/cgroup"
)

// sweptLeft is the log's text after trees were swept.
const sweptLeft = "leftover processes of an earlier erluv have been ended"

// limit makes the groups for programs with limits, and notes the ways of containment and their
// tree.
func (s *settings) limit(id sandbox.Identity, ways []containment, tree *cgroup.Tree) {
	s.ways, s.tree, s.limits, s.id = ways, tree, cgroup.NewLimits(ownerOf(id), tree), id
	if s.limits.Swept > 0 {
		s.log.Warn(sweptLeft, "trees", s.limits.Swept)
	}
	if s.limits.Why != nil {
		s.log.Debug("programs cannot have every limit", "error", s.limits.Why)
	}
}

// remove removes the trees of limit.
func (s *settings) remove() {
	s.limits.Remove()
	if s.tree != nil {
		s.tree.Remove()
	}
}

// contain notes how the programs are contained, and where they are.
func (s *settings) contain(by containment) {
	leaves := ""
	if by.tree != nil {
		leaves = by.tree.Path()
	}
	dirs := ipc.LimitDirs(s.limits.Dirs())
	for i, dir := range dirs {
		if s.tree != nil && s.tree != by.tree && dir == s.tree.Path() {
			dirs[i] = "" // this way does not use the tree
		}
	}
	if by.few && !slices.Contains(dirs[:], leaves) {
		leaves = "" // the limits are elsewhere, and the tree holds the spawner with all programs
	}
	s.child.Contain, s.child.Leaves, s.child.Limits, s.child.Kept = by.name, leaves, dirs, s.kept(leaves, dirs)
	s.spawner.Spare = s.child.Kept == keptLandlock
	s.spawner.Leaves, s.spawner.Limits, s.spawner.Few = leaves, dirs, by.few
}

// holds returns an error if limits of the configuration, the host's or those of classes, cannot be
// enforced here. No program would start.
func (s *settings) holds() error {
	host := s.host.told()
	all := []ipc.Limits{host.Limits}
	for _, c := range host.Classes {
		all = append(all, c.Limits)
	}
	for one := range ipc.NumLimits {
		asked := slices.ContainsFunc(all, func(l ipc.Limits) bool { return l.Of(one) > 0 })
		if asked && s.child.Limits[one] == "" {
			return fmt.Errorf("cannot hold the limits of the configuration: no limit of %s can be had here (%w): leave it out of limits and of the classes",
				one, cmp.Or(s.limits.Why, errNoGroup))
		}
	}
	return nil
}

var errNoGroup = errors.New("programs are contained by process groups alone")

const keptLandlock = "landlock"

// kept returns how control groups are protected from programs, for people.
func (s *settings) kept(leaves string, dirs ipc.LimitDirs) string {
	switch {
	case leaves == "" && dirs == ipc.LimitDirs{} && s.tree == nil:
		return "none" // there are no control groups
	case s.id.Keeper != 0:
		return "owner"
	case !s.spawner.Scope: // no Landlock, or the configuration has no sandbox
		return "open"
	}
	if err := sandbox.SparesGroups(s.id.UID); err != nil {
		s.log.Warn("programs can change the control groups that they are in", "error", err)
		return "open"
	}
	return keptLandlock
}
