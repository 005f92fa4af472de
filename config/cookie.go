package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// nodeCookie returns the cookie file that a node in this environment would read
// (kernel/src/auth.erl, read_cookie): in $HOME, or else in the XDG configuration directory. After
// these it tries the home directory of the user database, which differs under sudo -E. If no file
// exists, it returns the first path.
func (l *loader) nodeCookie(name string) string {
	home, xdg := l.env["HOME"], l.env["XDG_CONFIG_HOME"]
	if !filepath.IsAbs(home) {
		home = l.Machine.Home
	}
	if !filepath.IsAbs(xdg) {
		xdg = filepath.Join(home, ".config")
	}
	dirs := slices.DeleteFunc([]string{home, filepath.Join(xdg, "erlang"), l.Machine.Home},
		func(dir string) bool { return !filepath.IsAbs(dir) })
	for _, dir := range dirs {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return l.inHome(filepath.Join(dir, name))
		}
	}
	if len(dirs) == 0 {
		return "~/" + name
	}
	return l.inHome(filepath.Join(dirs[0], name))
}

// inHome writes a path with ~ if it is directly in the home directory.
func (l *loader) inHome(path string) string {
	if filepath.Dir(path) == l.Machine.Home {
		return "~/" + filepath.Base(path)
	}
	return path
}

// maxCookieFile bounds the bytes that are read. A cookie has at most 255 characters.
const maxCookieFile = 4096

// readCookie reads a cookie file as a node would. It must belong to one of the users, and other
// users may have no access to it (kernel/src/auth.erl, check_attributes). The errors name the file
// and never its contents.
func readCookie(path string, owners []int) (Secret, error) {
	f, err := openTrusted(path, owners...)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s does not exist: copy the cookie of the node there, or name another file", path)
	}
	if stranger := (strangerError{}); errors.As(err, &stranger) {
		return "", fmt.Errorf("%s: %w%s", path, err, asOwner(owners))
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, unwrapPath(err))
	}
	defer f.Close()
	owner, mode, err := attributes(f)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %w", path, err)
	case !slices.Contains(owners, owner):
		return "", fmt.Errorf("%s belongs to %s, and must belong to %s%s", path, userName(owner), userNames(owners), asOwner(owners))
	case mode != 0o400 && mode != 0o600:
		return "", fmt.Errorf("%s has mode %04o, and must have 0400 or 0600: chmod 400 %s", path, mode, path)
	}
	content, err := readBounded(f, maxCookieFile)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	// auth.erl reads the first line, including spaces at its end. It allows only empty lines after
	// it.
	cookie := string(content)
	if end := strings.IndexAny(cookie, "\r\n"); end >= 0 && strings.Trim(cookie[end:], "\r\n ") == "" {
		cookie = cookie[:end]
	}
	if err := checkCookie(cookie); err != nil {
		return "", fmt.Errorf("%s: the cookie %w", path, err)
	}
	return Secret(cookie), nil
}

// asOwner returns the remedy for a file of another user.
func asOwner(owners []int) string {
	if slices.Contains(owners, 0) {
		return ": copy it to a file of root's with mode 0400, or have its owner start erluv with sudo"
	}
	return ": copy it to a file of your own with mode 0400"
}

// attributes returns the owner and the permission bits of an open file, including set-ID and
// sticky.
func attributes(f *os.File) (owner int, mode uint32, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	st := info.Sys().(*syscall.Stat_t)
	return int(st.Uid), st.Mode & 0o7777, nil
}

func readBounded(f *os.File, limit int64) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("is larger than %d bytes", limit)
	}
	return content, err
}

// unwrapPath removes the path from an error that is shown after it.
func unwrapPath(err error) error {
	if p, ok := err.(*fs.PathError); ok {
		return fmt.Errorf("cannot %s %s: %w", p.Op, p.Path, p.Err)
	}
	return err
}
