package spawner

import (
	"strconv"

	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// Log files, which the child writes and rotates. Only the spawner can open and rename files as the
// worker's user, so the child asks it to.

// openLog opens the file of a stream with Log, for appending. The error is EINVAL if it is not a
// regular file, because only these have a size.
func openLog(dir int, st ipc.Stream) (int, error) {
	at, err := find(dir, st.Path)
	if err != nil {
		return -1, err
	}
	defer at.close()
	return at.openLog(st.Mode)
}

func (p place) openLog(mode uint32) (int, error) {
	fd, err := p.open(unix.O_APPEND, mode)
	if err != nil {
		return -1, err
	}
	var file unix.Stat_t
	if err = eintr.Fstat(fd, &file); err == nil && file.Mode&unix.S_IFMT != unix.S_IFREG {
		err = unix.EINVAL
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// rotate serves a Rotate.
func rotate(m ipc.Rotate) (int, error) {
	unix.Umask(int(m.Umask))
	dir, errno := openDir(m.Dir)
	if errno != 0 {
		return -1, errno
	}
	defer unix.Close(dir)
	at, err := find(dir, m.Path)
	if err != nil {
		return -1, err
	}
	defer at.close()
	if err := at.shift(int(m.Keep)); err != nil {
		return -1, err
	}
	return at.openLog(m.Mode)
}

// shift renames the file to name.1, and before that name.1 to name.2, up to the first free number,
// or to keep. A missing file needs no room. It is missing if another process rotated it, or if an
// earlier attempt failed halfway.
func (p place) shift(keep int) error {
	to := func(n int) string {
		if n == 0 {
			return p.name
		}
		return p.name + "." + strconv.Itoa(n)
	}
	n := 0
	for n < keep {
		var st unix.Stat_t
		err := eintr.Fstatat(p.dir, to(n), &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == unix.ENOENT {
			break
		}
		if err != nil {
			return err
		}
		n++
	}
	for ; n > 0; n-- {
		if err := eintr.Renameat(p.dir, to(n-1), p.dir, to(n)); err != nil {
			return err
		}
	}
	return nil
}
