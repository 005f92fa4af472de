package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// Without a keeper, as for an ordinary user, Landlock keeps programs from changing control groups.
// All changes of files are allowed beside the path to the mounted control groups, and nowhere else.
// Landlock has no exceptions, so the rules name each file and directory beside that path, as they
// are when the rules are made. In the directories on the path, the first of which is the root,
// nothing can be added, renamed or removed. Landlock does not cover changes of an inode alone, such
// as chmod(2).

// changes are the accesses that change files. Reading, executing and driving a device stay allowed.
const changes Access = allFiles &^ (unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE |
	unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV)

// SparesGroups returns nil if Rules.SpareGroups works for a user, or an error that says why not.
func SparesGroups(uid uint32) error {
	if abi := landlockABI(); abi < abiRename {
		return fmt.Errorf("%w: it has version %d, and %d is needed", ErrLandlock, abi, abiRename)
	}
	_, err := besideGroups(uid)
	return err
}

// besideGroups returns rules for everything beside the path to the control groups. A directory on
// the path that the user may write to is an error, since the rules would stop the user's programs
// from writing there.
func besideGroups(uid uint32) (list []Beneath, err error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	mounts := groupMounts(string(text))
	if len(mounts) == 0 {
		return nil, errors.New("no control groups are mounted")
	}
	return beside("/", mounts, uid)
}

func beside(dir string, mounts []string, uid uint32) (list []Beneath, err error) {
	var st unix.Stat_t
	if err := eintr.Stat(dir, &st); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if st.Mode&0o002 != 0 || st.Uid == uid && st.Mode&0o200 != 0 {
		return nil, fmt.Errorf("control groups are mounted beneath %s, to which user %d may write", dir, uid)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case e.Type()&os.ModeSymlink != 0: // its target is named elsewhere
		case isOrHolds(path, mounts, false):
		case isOrHolds(path, mounts, true):
			more, err := beside(path, mounts, uid)
			if err != nil {
				return nil, err
			}
			list = append(list, more...)
		default:
			list = append(list, Beneath{Path: path, Access: changes, Optional: true})
		}
	}
	return list, nil
}

// isOrHolds reports whether a path is one of the mounts or, with holds, contains one.
func isOrHolds(path string, mounts []string, holds bool) bool {
	for _, m := range mounts {
		if m == path || holds && strings.HasPrefix(m, path+"/") {
			return true
		}
	}
	return false
}

// groupMounts returns the mount points of control groups in the file mountinfo of proc(5).
func groupMounts(mountinfo string) (list []string) {
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		if f := strings.Fields(before); len(f) >= 5 && (strings.HasPrefix(after, "cgroup ") || strings.HasPrefix(after, "cgroup2 ")) {
			list = append(list, unescape(f[4]))
		}
	}
	return list
}

// unescape undoes the kernel's escapes for spaces and the like: \040.
func unescape(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '\\' && i+3 < len(path) {
			if n, err := strconv.ParseUint(path[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String()
}
