package control

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

const (
	// Cookie is the cookie that both sides of a control socket use.
	Cookie = "control"

	// Host is the host part of the name of each node that connects to a control socket. No other
	// node may have it, so that none of them can take the place of a served node.
	Host = "control"

	// suffix ends the name of a socket.
	suffix = ".sock"

	// maxPath is the longest path of a socket (unix(7), sun_path).
	maxPath = 107
)

// Dir returns the directory with the sockets of a user's erluvs. runtime is their XDG_RUNTIME_DIR.
func Dir(uid int, runtime string) (string, error) {
	switch {
	case uid == 0:
		return "/run/erluv", nil
	case runtime == "":
		return "", errors.New("XDG_RUNTIME_DIR is not set: set it, or name a path")
	case !filepath.IsAbs(runtime):
		return "", fmt.Errorf("XDG_RUNTIME_DIR is %q, which is no absolute path", runtime)
	}
	return filepath.Join(runtime, "erluv"), nil
}

// PathOf returns the path of an erluv's socket in a directory. name is the part of its node's name
// before the @.
func PathOf(dir, name string) string { return filepath.Join(dir, name+suffix) }

// nameOf is the reverse.
func nameOf(path string) string { return strings.TrimSuffix(filepath.Base(path), suffix) }

// place is the directory of a socket. Only root and this user can put or replace anything there. It
// owns the descriptor.
type place struct {
	fd        int
	dir, name string
}

func (p place) close() { _ = unix.Close(p.fd) }

// open walks to the directory of path, name by name, and follows no symbolic link. With create it
// makes a missing last directory.
func open(path string, create bool) (p place, err error) {
	if len(path) > maxPath {
		return p, fmt.Errorf("its path has %d characters, and %d are possible", len(path), maxPath)
	}
	p = place{fd: -1, dir: "/", name: filepath.Base(path)}
	if p.fd, err = eintr.Open("/", dirFlags, 0); err != nil {
		return p, &os.PathError{Op: "open", Path: "/", Err: err}
	}
	names := strings.FieldsFunc(filepath.Dir(path), func(r rune) bool { return r == '/' })
	for i, name := range names {
		last := i == len(names)-1
		if err = p.enter(name, last && create); err == nil {
			err = p.trusted(last)
		}
		if err != nil {
			p.close()
			return place{}, err
		}
	}
	return p, nil
}

const dirFlags = unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// enter goes into a directory. If it makes one, root's is open to all users, and another user's
// only to that user.
func (p *place) enter(name string, create bool) error {
	path := filepath.Join(p.dir, name)
	made := false
	if create {
		err := eintr.Mkdirat(p.fd, name, 0o700)
		if err != nil && err != unix.EEXIST {
			return fmt.Errorf("cannot make the directory %s: %w", path, err)
		}
		made = err == nil
	}
	fd, err := eintr.Openat(p.fd, name, dirFlags, 0)
	switch {
	case err == unix.ENOTDIR || err == unix.ELOOP:
		return fmt.Errorf("%s is no directory, or a symbolic link, and none is followed here: name the path that it leads to", path)
	case err != nil:
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	_ = unix.Close(p.fd)
	p.fd, p.dir = fd, path
	if made && os.Geteuid() == 0 {
		if err := eintr.Fchmod(fd, 0o755); err != nil { // independent of the umask
			return fmt.Errorf("cannot set the mode of %s: %w", path, err)
		}
	}
	return nil
}

// trusted refuses a directory that other users can change. It refuses the last one even if they can
// only add to it.
func (p *place) trusted(last bool) error {
	var st unix.Stat_t
	if err := eintr.Fstat(p.fd, &st); err != nil {
		return &os.PathError{Op: "stat", Path: p.dir, Err: err}
	}
	switch {
	case st.Uid != 0 && st.Uid != uint32(os.Geteuid()):
		return fmt.Errorf("%s belongs to user %d, and must belong to root or user %d", p.dir, st.Uid, os.Geteuid())
	case st.Mode&0o022 != 0 && (last || st.Mode&unix.S_ISVTX == 0):
		return fmt.Errorf("%s can be written by others (mode %04o): chmod go-w %s", p.dir, st.Mode&0o7777, p.dir)
	}
	return nil
}

// Living returns the names of the erluvs that listen on control sockets in a directory. A missing
// directory has none.
func Living(dir string) (names []string, err error) {
	p, err := open(PathOf(dir, "x"), false)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer p.close()
	names, err = p.sockets()
	return slices.DeleteFunc(names, func(name string) bool { return knock(PathOf(dir, name)) != nil }), err
}

// maxSockets bounds how many entries of the directory are examined.
const maxSockets = 10_000

func (p place) sockets() (names []string, err error) {
	fd, err := eintr.Openat(p.fd, ".", dirFlags, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: p.dir, Err: err}
	}
	f := os.NewFile(uintptr(fd), p.dir)
	defer f.Close()
	entries, err := f.ReadDir(maxSockets)
	if errors.Is(err, io.EOF) { // it is empty
		err = nil
	}
	for _, e := range entries {
		if e.Type() == os.ModeSocket && strings.HasSuffix(e.Name(), suffix) {
			names = append(names, nameOf(e.Name()))
		}
	}
	slices.Sort(names)
	return names, err
}
