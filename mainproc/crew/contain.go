package crew

import (
	"fmt"
	"log/slog"
	"os"
	"syscall"

	"erluv/sandbox"
	"erluv/sandbox/cgroup"

	"golang.org/x/sys/unix"
)

// containment is a way to contain all programs. It determines what ends them with erluv, and how
// the spawner is started for that. It also determines where programs are, so that the kernel knows
// the origin of each process.
type containment struct {
	name  string       // as in the configuration and `info`
	pidns bool         // the spawner is the init of a pid namespace
	tree  *cgroup.Tree // nil: no control groups
	few   bool         // only programs with limits have leaves in the tree

	freezes bool // processes in the tree are frozen while they are ended
}

const (
	containAuto   = "auto"
	containPidns  = "pidns"
	containCgroup = "cgroup"
	containGroup  = "group"
)

// waysOf returns the ways that the configuration's contain allows, the strongest first. The first
// one that works is used. The caller owns the tree, if there is one.
func waysOf(contain string, id sandbox.Identity, log *slog.Logger) (ways []containment, tree *cgroup.Tree, err error) {
	root := os.Geteuid() == 0
	may := root && sandbox.MayNamespace()
	if contain == containPidns && !may {
		return nil, nil, fmt.Errorf("cannot contain programs by %q: only root with CAP_SYS_ADMIN can make a pid namespace", contain)
	}
	few := contain == containGroup
	// Without leaves all programs are in the spawner's group. That is enough to end them with it,
	// however fast they fork.
	tree, swept, err := cgroup.NewTree(ownerOf(id), !few)
	if err != nil && contain == containCgroup {
		return nil, nil, fmt.Errorf("cannot contain programs by %q: %w", contain, err)
	}
	if err != nil && !few {
		log.Debug("no control groups: a daemon that has left its worker's process group is not ended with the worker", "error", err)
	}
	if swept > 0 {
		log.Warn(sweptLeft, "trees", swept)
	}
	auto := contain == containAuto
	if auto && root && !may {
		log.Info("programs are contained without a pid namespace, as there is no CAP_SYS_ADMIN")
	}
	if may && (auto || contain == containPidns) {
		if tree != nil {
			ways = append(ways, containment{name: containPidns, pidns: true, tree: tree})
		}
		ways = append(ways, containment{name: containPidns, pidns: true})
	}
	if tree != nil && (auto || contain == containCgroup) {
		ways = append(ways, containment{name: containCgroup, tree: tree})
	}
	if auto || contain == containGroup {
		by := containment{name: containGroup}
		if few {
			by.few, by.tree = true, tree
		}
		ways = append(ways, by)
	}
	for i := range ways {
		ways[i].freezes = ways[i].tree != nil && ways[i].tree.Freezes()
	}
	return ways, tree, nil
}

// attr returns the attributes for the start of a role, and the role's parent as the role sees it:
// see Stage.
func (c containment) attr() (parent int, sys *syscall.SysProcAttr) {
	parent, sys = os.Getpid(), &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if c.tree != nil && c.tree.SpawnerFD() >= 0 {
		sys.UseCgroupFD, sys.CgroupFD = true, c.tree.SpawnerFD()
	}
	if c.pidns {
		parent, sys.Cloneflags = 0, unix.CLONE_NEWPID|unix.CLONE_NEWNS
	}
	return parent, sys
}

// ownerOf returns the owner of programs' control groups.
func ownerOf(id sandbox.Identity) cgroup.Owner { return cgroup.Owner{UID: id.Owner(), GID: id.GID} }
