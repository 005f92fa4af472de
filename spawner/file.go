package spawner

import (
	"strings"

	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// Files for output are opened as the worker's user, and no other user can choose which file that
// is. Otherwise a user who may write to a directory of the path, such as /tmp, could place a link
// to another file there. Linux refuses some of these with fs.protected_symlinks,
// fs.protected_regular and fs.protected_hardlinks (proc(5)). The spawner always refuses them, also
// with EACCES:
//
//   - a symbolic link, anywhere in the path, that belongs neither to the user nor
//     to root. The text of a link is followed as a path. A link of /proc to an open
//     file therefore leads only to that path, and never to the file itself
//     (as with RESOLVE_NO_MAGICLINKS of openat2(2));
//   - in a sticky directory that others can write, a file that belongs neither to
//     the user nor to the directory's owner;
//   - in such a directory, a regular file with a second name.
//
// Each directory of the path is held by a descriptor, so nothing changes between check and use.

// maxLinks is how many links are followed, as in the kernel (path_resolution(7)).
const maxLinks = 40

// place is where a file is or will be: a directory and the name in it. It owns the directory's
// descriptor.
type place struct {
	dir  int
	name string
}

func (p place) close() { _ = unix.Close(p.dir) }

// find follows a path from the directory from to its last name, which is then not a link.
func find(from int, path string) (place, error) {
	switch {
	case path == "":
		return place{}, unix.ENOENT
	case len(path) >= unix.PathMax:
		return place{}, unix.ENAMETOOLONG
	}
	at := place{dir: -1}
	err := at.enter(from, ".")
	if err != nil {
		return place{}, err
	}
	for links := 0; links <= maxLinks; links++ {
		if strings.HasPrefix(path, "/") {
			err = at.enter(unix.AT_FDCWD, "/")
		}
		var link string
		if err == nil {
			link, path, err = at.follow(path)
		}
		if err != nil {
			at.close()
			return place{}, err
		}
		if link == "" {
			return at, nil
		}
		path = link + path
	}
	at.close()
	return place{}, unix.ELOOP
}

// follow walks along a path up to a link. It returns the link's target and the rest of the path, or
// two empty strings at the end.
func (p *place) follow(path string) (link, rest string, err error) {
	for {
		path = strings.TrimLeft(path, "/")
		name, rest := path, ""
		if i := strings.IndexByte(path, '/'); i >= 0 {
			name, rest = path[:i], path[i:]
		}
		if name == "" {
			return "", "", unix.EISDIR // the path ends in a slash
		}
		if link, err = p.link(name); link != "" || err != nil {
			return link, rest, err
		}
		if rest == "" {
			p.name = name
			return "", "", nil
		}
		if err := p.enter(p.dir, name); err != nil {
			return "", "", err
		}
		path = rest
	}
}

// enter makes a directory the place's own.
func (p *place) enter(from int, name string) error {
	fd, err := eintr.Openat(from, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if p.dir >= 0 {
		p.close()
	}
	p.dir = fd
	return nil
}

// link returns the target of a link, or "" if the name is not a link or does not exist.
func (p *place) link(name string) (string, error) {
	fd, err := eintr.Openat(p.dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := eintr.Fstat(fd, &st); err != nil {
		return "", err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", nil
	}
	if st.Uid != 0 && st.Uid != uint32(unix.Geteuid()) {
		return "", unix.EACCES
	}
	buf := make([]byte, unix.PathMax)
	n, err := eintr.Readlinkat(fd, "", buf)
	if err == nil && n == 0 {
		err = unix.ENOENT
	}
	return string(buf[:max(n, 0)]), err
}

// open opens the file for writing, and creates it if it does not exist. It never waits: a FIFO
// without reader is ENXIO (open(2)).
func (p place) open(flags int, mode uint32) (int, error) {
	flags |= unix.O_WRONLY | unix.O_CREAT | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	fd, err := eintr.Openat(p.dir, p.name, flags, mode)
	if err != nil {
		return -1, err
	}
	if err := p.check(fd); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// check refuses a file that another user may have put there.
func (p place) check(fd int) error {
	var dir, file unix.Stat_t
	if err := eintr.Fstat(p.dir, &dir); err != nil {
		return err
	}
	if err := eintr.Fstat(fd, &file); err != nil {
		return err
	}
	kind := file.Mode & unix.S_IFMT
	if dir.Mode&unix.S_ISVTX == 0 || dir.Mode&0o022 == 0 || kind != unix.S_IFREG && kind != unix.S_IFIFO {
		return nil
	}
	if file.Uid != uint32(unix.Geteuid()) && file.Uid != dir.Uid || kind == unix.S_IFREG && file.Nlink > 1 {
		return unix.EACCES
	}
	return nil
}

// openOutput opens a file for output as the worker's user.
func openOutput(dir int, st ipc.Stream) (int, error) {
	p, err := find(dir, st.Path)
	if err != nil {
		return -1, err
	}
	defer p.close()
	flags := 0
	if st.Append {
		flags = unix.O_APPEND
	}
	fd, err := p.open(flags, st.Mode)
	if err != nil || st.Append {
		return fd, err
	}
	// After the check. Only a regular file has a length.
	if err := eintr.Ftruncate(fd, 0); err != nil && err != unix.EINVAL {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
