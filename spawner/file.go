package spawner

import (
	"strings"

	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// Files for output are opened as the worker's user, and so that nobody else can
// choose which: who may write to a directory on the way, as all may to /tmp, could
// put a link there to a file of this user. Linux refuses some of that where
// fs.protected_symlinks, fs.protected_regular and fs.protected_hardlinks are set
// (proc(5)); here it is refused in any case, with EACCES as there:
//
//   - a symbolic link, anywhere in the path, that belongs neither to the user nor
//     to root. What a link says is followed as a path; a link of /proc to something
//     that is open leads nowhere else (RESOLVE_NO_MAGICLINKS of openat2(2));
//   - in a sticky directory that others can write, a file that belongs neither to
//     the user nor to the directory's owner, or that has another name elsewhere.
//
// Each directory on the way is held by a descriptor, so nothing changes between the
// look and the use.

// maxLinks is how many links are followed, as by the kernel (path_resolution(7)).
const maxLinks = 40

// place is where a file is or will be: a directory and the name in it. It owns the
// directory's descriptor.
type place struct {
	dir  int
	name string
}

func (p place) close() { _ = unix.Close(p.dir) }

// find follows a path, seen from the directory from, up to the last name, which is
// no link then.
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

// follow goes along a path up to a link, and returns what that says and what comes
// behind it; or to the end.
func (p *place) follow(path string) (link, rest string, err error) {
	for {
		path = strings.TrimLeft(path, "/")
		name, rest := path, ""
		if i := strings.IndexByte(path, '/'); i >= 0 {
			name, rest = path[:i], path[i:]
		}
		if name == "" {
			return "", "", unix.EISDIR // a slash was the last
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

// enter makes a directory the place's.
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

// link is what a link of the name says, "" when it is none or not there.
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

// open opens the file for writing and creates it if it is not there. It never
// waits: a FIFO that nobody reads is ENXIO (open(2)).
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

// check refuses a file that others may have put where it is.
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
	// Not before it has been checked. What is no file has no length.
	if err := eintr.Ftruncate(fd, 0); err != nil && err != unix.EINVAL {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
