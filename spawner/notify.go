package spawner

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"erluv/eintr"

	"golang.org/x/sys/unix"
)

// notifySockets are the sockets on which programs report that they are ready (sd_notify(3),
// NOTIFY_SOCKET). They have names, in a directory that no other user can enter. Every
// implementation accepts a name, and no sandbox of a program blocks it. The child reads the
// sockets.
type notifySockets struct {
	dir  string // "": not made yet
	lock int    // held as long as the directory is in use
	path map[uint32]string
}

const (
	notifyIn     = "/tmp"
	notifyPrefix = "erluv-notify-"
	notifyLock   = "lock"

	// A younger directory without a lock may still be in the making.
	notifyYoung = time.Minute
)

// add makes a socket for the program of a request. The caller owns the descriptor.
func (n *notifySockets) add(seq uint32) (fd int, path string, err error) {
	fd, path, err = n.bind(seq)
	if err == unix.ENOENT && n.dir != "" { // a cleaner of /tmp has removed the directory
		n.close()
		fd, path, err = n.bind(seq)
	}
	return fd, path, err
}

func (n *notifySockets) bind(seq uint32) (fd int, path string, err error) {
	if n.dir == "" {
		if err := n.begin(); err != nil {
			return -1, "", err
		}
	}
	path = filepath.Join(n.dir, strconv.FormatUint(uint64(seq), 10))
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, "", err
	}
	if err = identified(fd); err == nil {
		err = eintr.Bind(fd, &unix.SockaddrUnix{Name: path})
	}
	if err == nil {
		n.path[seq] = path
		if err = eintr.Chmod(path, 0o600); err != nil { // independent of the umask
			n.forget(seq)
		}
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, "", err
	}
	return fd, path, nil
}

// identified has the kernel identify each sender: by number, and by pidfd where the kernel can
// (Linux 6.5).
func identified(fd int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSPIDFD, 1)
	if err != nil && err != unix.ENOPROTOOPT {
		return err
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
}

// forget removes the socket's name.
func (n *notifySockets) forget(seq uint32) {
	if path, ok := n.path[seq]; ok {
		_ = eintr.Unlink(path)
		delete(n.path, seq)
	}
}

// begin makes the directory, and removes those of killed spawners.
func (n *notifySockets) begin() error {
	n.sweep()
	dir, err := os.MkdirTemp(notifyIn, notifyPrefix)
	if err != nil {
		return err
	}
	if err = eintr.Chmod(dir, 0o700); err == nil {
		n.lock, err = takeLock(dir, unix.O_CREAT)
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return err
	}
	n.dir, n.path = dir, make(map[uint32]string)
	return nil
}

func (n *notifySockets) close() {
	if n.dir != "" {
		_ = os.RemoveAll(n.dir)
		_ = unix.Close(n.lock)
		n.dir = ""
	}
}

// takeLock opens a directory's lock and takes it, unless another process has it.
func takeLock(dir string, create int) (int, error) {
	fd, err := eintr.Open(filepath.Join(dir, notifyLock), unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW|create, 0o600)
	if err != nil {
		return -1, err
	}
	if err := eintr.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// sweep removes unused directories of our user.
func (n *notifySockets) sweep() {
	entries, err := os.ReadDir(notifyIn)
	if err != nil {
		return // begin will report the error
	}
	for _, e := range entries {
		dir := filepath.Join(notifyIn, e.Name())
		var st unix.Stat_t
		if !strings.HasPrefix(e.Name(), notifyPrefix) || eintr.Lstat(dir, &st) != nil ||
			st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() {
			continue
		}
		lock, err := takeLock(dir, 0)
		if err != nil && (err != unix.ENOENT || time.Since(time.Unix(st.Mtim.Unix())) < notifyYoung) {
			continue
		}
		_ = os.RemoveAll(dir)
		if lock >= 0 {
			_ = unix.Close(lock)
		}
	}
}
