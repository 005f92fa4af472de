package mainproc

import (
	"errors"
	"os"
)

// containment is a way in which all programs are contained: what sees to it that
// they end with erluv, and how the spawner is started for that.
type containment struct {
	name  string // as the configuration and `info` have it
	pidns bool   // the spawner is the init of a pid namespace
}

var (
	byPidns = containment{name: "pidns", pidns: true}
	byGroup = containment{name: "group"}
)

// waysOf is what the configuration's contain stands for, the strongest first; the
// first that works is taken.
func waysOf(contain string) ([]containment, error) {
	root := os.Geteuid() == 0
	switch contain {
	case "auto":
		if root {
			return []containment{byPidns, byGroup}, nil
		}
		return []containment{byGroup}, nil
	case byPidns.name:
		if !root {
			return nil, errors.New(`cannot contain programs by "pidns": only root can make a pid namespace`)
		}
		return []containment{byPidns}, nil
	case "cgroup":
		return nil, errors.New(`cannot contain programs by "cgroup": this version of erluv knows "pidns" and "group"`)
	}
	return []containment{byGroup}, nil
}
