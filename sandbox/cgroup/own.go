package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mountPoint is a directory that the child may read (childFiles).
const mountPoint = "/sys/fs/cgroup"

// own returns the directory of the process's control group (cgroups(7)). It is the group of version
// 1 in the hierarchy with the controller, or of version 2 if controller is "".
func own(controller string) (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	return find(string(mounts), string(groups), controller)
}

// find finds it in the contents of mountinfo and cgroup (proc(5)).
func find(mounts, groups, controller string) (string, error) {
	own := ""
	for line := range strings.Lines(groups) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) == 3 && slices.Contains(strings.Split(f[1], ","), controller) {
			own = f[2]
		}
	}
	for line := range strings.Lines(mounts) {
		before, after, _ := strings.Cut(line, " - ")
		f, fs := strings.Fields(before), strings.Fields(after)
		if len(f) < 5 || len(fs) < 3 || !isHierarchy(fs[0], fs[2], controller) {
			continue
		}
		root, at := f[3], f[4]
		rest, err := filepath.Rel(root, own)
		if own == "" || err != nil || hasDots(root) || hasDots(own) || hasDots("/"+rest) {
			continue // another part of the hierarchy is mounted there
		}
		if at == mountPoint || strings.HasPrefix(at, mountPoint+"/") {
			return filepath.Join(at, rest), nil
		}
	}
	if controller != "" {
		return "", fmt.Errorf("no control groups of version 1 with %s are mounted beneath %s", controller, mountPoint)
	}
	return "", errors.New("no control groups of version 2 are mounted beneath " + mountPoint)
}

func isHierarchy(kind, options, controller string) bool {
	if controller == "" {
		return kind == "cgroup2"
	}
	return kind == "cgroup" && slices.Contains(strings.Split(options, ","), controller)
}

// hasDots reports whether a path goes above the root of the process's cgroup namespace.
func hasDots(path string) bool {
	return strings.HasPrefix(path, "/..") && !strings.HasPrefix(path, "/...")
}
