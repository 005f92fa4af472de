package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLimits: each limit has a directory of the owner's in which a group with its files can be
// made, or Why has the reason. All of it is removed.
func TestLimits(t *testing.T) {
	l := NewLimits(owner(), nil)
	defer l.Remove()
	said := fmt.Sprint(l.Why)
	for i, c := range controllers {
		dir := l.Dirs()[i]
		if dir == "" {
			if !strings.Contains(said, "no limit of "+c.name) {
				t.Errorf("there is none of %s, and why is: %s", c.name, said)
			}
			continue
		}
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err != nil || st.Uid != owner().UID || strings.Contains(said, "of "+c.name) {
			t.Errorf("%s is of %d, %v; %s", dir, st.Uid, err, said)
		}
		leaf := filepath.Join(dir, "1")
		if err := os.Mkdir(leaf, 0o755); err != nil && !exists(leaf) || !exists(filepath.Join(leaf, c.file)) {
			t.Errorf("%s: %v", leaf, err)
		}
		in := put(t, leaf)
		if err := l.Empty(); err != nil || exists(leaf) || !wasKilled(in) {
			t.Errorf("%s is emptied: %v, %v", leaf, err, in.ProcessState)
		}
	}
	l.Remove()
	for _, dir := range l.Dirs() {
		if dir != "" && exists(dir) {
			t.Errorf("%s is left", dir)
		}
	}
}

// inherited returns a controller of version 2 that our own group can hand down; "": none.
func inherited(t *testing.T, own string) string {
	t.Helper()
	text, _ := os.ReadFile(own + "/cgroup.controllers")
	for controller := range strings.FieldsSeq(string(text)) {
		if lists(own+"/cgroup.subtree_control", controller) {
			return controller
		}
		if hand(own, "+", controller) == nil {
			t.Cleanup(func() { _ = hand(own, "-", controller) }) // fails while another process uses it
			return controller
		}
	}
	return ""
}

// TestEnable: the groups in a tree get a controller of version 2 if the group above it can hand it
// down. Remove undoes that.
func TestEnable(t *testing.T) {
	if !canCgroup() {
		return
	}
	own, err := own("")
	if err != nil {
		t.Fatal(err)
	}
	controller := inherited(t, own)
	eachHierarchy(t, func(t *testing.T, base string, v1 bool) {
		if v1 {
			return
		}
		tree, _ := makeTree(t, base, false)
		if err := tree.enable("none"); err == nil || !strings.Contains(err.Error(), base+" does not have it") {
			t.Error(err)
		}
		if controller == "" {
			return
		}
		if err := errors.Join(tree.enable(controller), tree.enable(controller)); err != nil || tree.aside != "" {
			t.Fatalf("%v, main is in %q", err, tree.aside)
		}
		if leaf := inTree(t, tree); !lists(leaf+"/cgroup.controllers", controller) {
			t.Errorf("%s has no %s", leaf, controller)
		}
		tree.Remove()
		if lists(base+"/cgroup.subtree_control", controller) {
			t.Error("it is handed down for ever")
		}

		// It fails with other processes in the group.
		put(t, base)
		busy, _ := makeTree(t, base, false)
		if err := busy.enable(controller); !errors.Is(err, unix.EBUSY) || busy.aside != "" {
			t.Errorf("%v, main is in %q", err, busy.aside)
		}
	})
}

// TestStepAside: a main that is alone in its group moves to a group beside the tree, and returns.
func TestStepAside(t *testing.T) {
	if !canCgroup() {
		return
	}
	own, err := own("")
	if err != nil {
		t.Fatal(err)
	}
	controller := inherited(t, own)
	eachHierarchy(t, func(t *testing.T, base string, v1 bool) {
		if v1 || controller == "" {
			return
		}
		if err := os.Mkdir(base+"/erluv-0123456789abcdef.main", 0o755); err != nil { // of a dead erluv
			t.Fatal(err)
		}
		cmd := exec.Command("/bin/sh", "-c", `echo $$ >"$1/cgroup.procs" && exec "$0" alone "$1" "$2"`, os.Args[0], base, controller)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil {
			t.Errorf("%v: %s", err, stderr.String())
		}
		if list, _ := filepath.Glob(base + "/erluv-*"); len(list) > 0 || lists(base+"/cgroup.subtree_control", controller) {
			t.Errorf("left: %q", list)
		}
	})
}

// playAlone plays a main that is alone in its group and enables a controller.
func playAlone(args []string) error {
	base, controller := args[0], args[1]
	in := func(dir string) error {
		text, err := os.ReadFile(dir + "/cgroup.procs")
		if err == nil && strings.TrimSpace(string(text)) != strconv.Itoa(os.Getpid()) {
			err = fmt.Errorf("in %s is %q", dir, text)
		}
		return err
	}
	tree, _, err := treeAt(base, false, owner())
	if err != nil {
		return err
	}
	err = errors.Join(tree.enable(controller), in(tree.aside))
	if leaf := tree.dir + "/spawner"; !lists(leaf+"/cgroup.controllers", controller) {
		err = errors.Join(err, errors.New(leaf+" does not have it"))
	}
	tree.Remove()
	return errors.Join(err, in(base))
}
