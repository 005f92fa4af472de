package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// A strangerError says that an untrusted user could have put the file there.
type strangerError struct{ text string }

func (e strangerError) Error() string { return e.text }

// maxLinks bounds the symbolic links on the way to a file. It is the kernel's own limit,
// path_resolution(7).
const maxLinks = 40

// openTrusted opens a regular file that only root and the trusted users can have put in its place.
//
// It follows the path one name after the other, each below the descriptor of the directory that it
// has just checked. So nothing can be exchanged between check and use. Every directory and every
// link must belong to one of these users. No directory may be writable for others unless it is
// sticky, because there users cannot move each other's files.
//
// The caller judges the file itself, by its descriptor. FIFOs and devices are refused before they
// are opened. If the file does not exist, the error is fs.ErrNotExist.
func openTrusted(path string, trusted ...int) (*os.File, error) {
	w := walk{trusted: trusted, links: maxLinks}
	defer w.leave()
	if err := w.root(); err != nil {
		return nil, err
	}
	names := split(path)
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		target, st, err := w.look(name)
		switch {
		case err != nil:
			return nil, err
		case target != "":
			if filepath.IsAbs(target) {
				if err := w.root(); err != nil {
					return nil, err
				}
			}
			names = append(split(target), names...)
		case len(names) > 0:
			err = w.enter(name)
		default:
			return w.open(name, st)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s is a directory", w.at)
}

// A walk is at one place in the file tree. It owns the descriptor of that directory.
type walk struct {
	trusted []int // user IDs besides 0
	links   int   // how many more links it follows
	dir     int   // O_PATH; valid while at is not ""
	at      string
}

func split(path string) (names []string) {
	for name := range strings.SplitSeq(path, "/") {
		if name != "" && name != "." {
			names = append(names, name)
		}
	}
	return names
}

func (w *walk) leave() {
	if w.at != "" {
		unix.Close(w.dir)
	}
}

func (w *walk) root() error {
	w.leave()
	w.at = ""
	return w.openDir(unix.AT_FDCWD, "/", "/")
}

// enter enters a directory. look has found that it is not a link.
func (w *walk) enter(name string) error {
	old := w.dir
	defer unix.Close(old)
	path := filepath.Join(w.at, name)
	w.at = ""
	return w.openDir(old, name, path)
}

// openDir makes a directory the place of the walk, if it can be trusted.
func (w *walk) openDir(below int, name, path string) error {
	dir, err := eintr.Openat(below, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	w.dir, w.at = dir, path
	var st unix.Stat_t
	if err := eintr.Fstat(dir, &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if !w.trusts(st.Uid) {
		return strangerError{fmt.Sprintf("it lies in %s, which belongs to %s and not to %s",
			path, userName(int(st.Uid)), userNames(append(w.trusted, 0)))}
	}
	if st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0 {
		return fmt.Errorf("it lies in %s, which others can write (mode %04o): chmod go-w %s",
			path, st.Mode&0o7777, path)
	}
	return nil
}

func (w *walk) trusts(owner uint32) bool { return owner == 0 || slices.Contains(w.trusted, int(owner)) }

// look returns what name is in the directory: the target of a link, or else the status.
func (w *walk) look(name string) (target string, st unix.Stat_t, err error) {
	path := filepath.Join(w.at, name)
	fd, err := eintr.Openat(w.dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", st, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	if err := eintr.Fstat(fd, &st); err != nil {
		return "", st, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", st, nil
	}
	if !w.trusts(st.Uid) {
		return "", st, strangerError{fmt.Sprintf("the link %s belongs to %s and not to %s",
			path, userName(int(st.Uid)), userNames(append(w.trusted, 0)))}
	}
	if w.links--; w.links < 0 {
		return "", st, &os.PathError{Op: "open", Path: path, Err: unix.ELOOP}
	}
	buf := make([]byte, unix.PathMax)
	n, err := eintr.Readlinkat(fd, "", buf)
	if err != nil || n == 0 {
		return "", st, &os.PathError{Op: "readlink", Path: path, Err: unix.ENOENT}
	}
	return string(buf[:n]), st, nil
}

// open opens the last name, which look has found to be as st says.
func (w *walk) open(name string, st unix.Stat_t) (*os.File, error) {
	path := filepath.Join(w.at, name)
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	fd, err := eintr.Openat(w.dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if err := eintr.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	return os.NewFile(uintptr(fd), path), nil
}
