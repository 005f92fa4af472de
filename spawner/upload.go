package spawner

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"strings"

	"erluv/eintr"
	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// A separate process, the role upload, writes a file that a node uploads. The spawner starts it
// like a program. So it runs as the file's owner, and a slow disk holds up no other program. It
// also ends as programs do. Type ipc.Upload describes its conversation with the child.
//
// Until it is complete, the file has no name (O_TMPFILE of open(2)). So nothing is left of it,
// however the process ends. Some file systems have no such files. There, and for the moment in
// which it replaces another file, it has a temporary name beside the final one. A file with such a
// name that is not locked is a leftover. The next upload to the directory removes it.

const (
	// partPrefix begins the temporary names. Hexadecimal digits follow, two for each of partDrawn
	// bytes.
	partPrefix = ".erluv-upload-"
	partDrawn  = 8

	// uploadPiece is how many bytes are read and written at once. An upload needs no more memory
	// than that, beside the process itself.
	uploadPiece = 256 << 10

	// madeMode is the mode of created directories, before the umask.
	madeMode = 0o755
)

// Upload is the role `erluv upload MODE MKDIR SIZE PATH`. It returns an error only if the spawner
// has not started it.
func Upload(args []string) error {
	u, err := ipc.UploadOf(args)
	if err == nil && !(isPipe(0) && isPipe(1)) {
		err = errors.New("its standard input or output is no pipe")
	}
	if err != nil {
		return fmt.Errorf("%s is a part of erluv that erluv itself starts: %w", ipc.UploadRole, err)
	}
	// Errors instead of signals, so that a temporary name can be removed.
	signal.Ignore(unix.SIGPIPE, unix.SIGXFSZ)
	receive(u, os.Stdin, os.Stdout)
	return nil
}

func isPipe(fd int) bool {
	var st unix.Stat_t
	return eintr.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO
}

// receive writes the incoming file, and answers.
func receive(u *ipc.Upload, in io.Reader, out io.Writer) {
	answer := func(err error, sum [sha256.Size]byte) (goOn bool) {
		a := ipc.UploadAnswer{Sum: sum}
		if err != nil {
			a.Errno = ipc.ErrnoOf(err)
		}
		_, broken := out.Write(a.Append(nil))
		return err == nil && broken == nil
	}
	p, err := openPart(u)
	if err == nil {
		defer p.discard()
	}
	if !answer(err, [sha256.Size]byte{}) {
		return
	}
	from, piece, whole := bufio.NewReaderSize(in, 1<<12), make([]byte, uploadPiece), sha256.New()
	for {
		var head [ipc.UploadHead]byte
		if _, err := io.ReadFull(from, head[:]); err != nil {
			return
		}
		n, commit, err := ipc.ChunkLength(head)
		if err != nil {
			return
		}
		if commit {
			var rest [ipc.CommitRest]byte
			if _, err := io.ReadFull(from, rest[:]); err == nil {
				sum := [sha256.Size]byte(whole.Sum(nil))
				answer(p.commit(u, ipc.CommitSum(rest), sum), sum)
			}
			return
		}
		for ; n > 0 && err == nil; n -= len(piece) {
			b := piece[:min(n, len(piece))]
			if _, cut := io.ReadFull(from, b); cut != nil {
				return
			}
			whole.Write(b)
			err = p.write(b)
		}
		if !answer(err, [sha256.Size]byte{}) {
			return
		}
	}
}

// part is an incomplete file. It owns its descriptor, and that of the directory.
type part struct {
	at      place
	fd      int
	name    string // the temporary name; "": none
	written int64
}

// openPart opens the file, and reserves its size if that is known.
func openPart(u *ipc.Upload) (*part, error) {
	at, err := findOrMake(u.Path, u.Mkdir)
	if err != nil {
		return nil, err
	}
	p := &part{at: at, fd: -1}
	if err = at.replaceable(); err == nil {
		at.sweep()
		err = p.open()
	}
	if err == nil && u.Size > 0 {
		err = eintr.Do(func() error { return unix.Fallocate(p.fd, 0, 0, u.Size) })
		if err == unix.EOPNOTSUPP {
			err = nil // a full disk shows when the file is written
		}
	}
	if err != nil {
		p.discard()
		return nil, err
	}
	return p, nil
}

// findOrMake finds an absolute path. With mkdir it makes missing directories.
func findOrMake(of string, mkdir bool) (place, error) {
	at, err := find(unix.AT_FDCWD, of)
	if err != unix.ENOENT || !mkdir {
		return at, err
	}
	dir := path.Dir(of)
	if dir == of {
		return at, err
	}
	above, err := findOrMake(dir, true)
	if err != nil {
		return place{}, err
	}
	defer above.close()
	if err := eintr.Mkdirat(above.dir, above.name, madeMode); err != nil && err != unix.EEXIST {
		return place{}, err
	}
	if err := above.sync(); err != nil {
		return place{}, err
	}
	return find(unix.AT_FDCWD, of)
}

// replaceable refuses targets that a file must not replace, and names that the next upload would
// remove.
func (p place) replaceable() error {
	if isPartName(p.name) {
		return unix.EINVAL
	}
	var st unix.Stat_t
	err := eintr.Fstatat(p.dir, p.name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == unix.ENOENT:
		return nil
	case err != nil:
		return err
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return unix.EISDIR
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return unix.EEXIST // a device or a socket
	}
	return nil
}

// sync has the directory's names written to the disk. If the user may not read the directory, it
// syncs all file systems.
func (p place) sync() error {
	fd, err := eintr.Openat(p.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.EACCES {
		unix.Sync()
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return eintr.Do(func() error { return unix.Fsync(fd) })
}

// sweep removes leftovers of earlier uploads, those that no process holds locked. It passes over
// files that it cannot examine.
func (p place) sweep() {
	fd, err := eintr.Openat(p.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	dir := os.NewFile(uintptr(fd), "directory")
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(1024)
		for _, name := range names {
			if isPartName(name) {
				p.sweepOne(name)
			}
		}
		if err != nil {
			return
		}
	}
}

func (p place) sweepOne(name string) {
	fd, err := eintr.Openat(p.dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if eintr.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Uid == uint32(unix.Geteuid()) &&
		eintr.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil {
		_ = eintr.Unlinkat(p.dir, name, 0)
	}
}

const partFlags, partMode = unix.O_WRONLY | unix.O_CLOEXEC, 0o600

// open opens a file without a name. Where the file system has no such files, it opens one with a
// temporary name.
func (p *part) open() (err error) {
	p.fd, err = eintr.Openat(p.at.dir, ".", partFlags|unix.O_TMPFILE, partMode)
	if err == nil && eintr.Access(p.inProc(), unix.F_OK) != nil {
		_ = unix.Close(p.fd) // it could not get a name
		err = unix.EOPNOTSUPP
	}
	if err == unix.EOPNOTSUPP || err == unix.EISDIR { // EISDIR if the kernel does not know the flag
		return p.openNamed()
	}
	if err != nil {
		return err
	}
	return p.lock()
}

// openNamed opens a file with a temporary name. It takes another name if another upload's sweep
// removed the first before it was locked.
func (p *part) openNamed() error {
	for {
		if err := p.create(); err != nil {
			return err
		}
		if swept, err := p.swept(); !swept {
			return err
		}
		_ = unix.Close(p.fd)
		p.fd, p.name = -1, ""
	}
}

func (p *part) create() (err error) {
	name := partName()
	p.fd, err = eintr.Openat(p.at.dir, name, partFlags|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, partMode)
	if err == nil {
		p.name = name
	}
	return err
}

// swept locks the file. It reports whether the file was removed, or is about to be.
func (p *part) swept() (bool, error) {
	err := p.lock()
	if err == unix.EWOULDBLOCK {
		return true, nil
	}
	var st unix.Stat_t
	if err == nil {
		err = eintr.Fstat(p.fd, &st)
	}
	return err == nil && st.Nlink == 0, err
}

// lock marks the file as being written.
func (p *part) lock() error { return eintr.Flock(p.fd, unix.LOCK_EX|unix.LOCK_NB) }

func partName() string {
	var drawn [partDrawn]byte
	rand.Read(drawn[:]) // never fails, crypto/rand
	return partPrefix + hex.EncodeToString(drawn[:])
}

// isPartName reports whether a name has the form that partName makes.
func isPartName(name string) bool {
	digits, is := strings.CutPrefix(name, partPrefix)
	drawn, err := hex.DecodeString(digits)
	return is && err == nil && len(drawn) == partDrawn
}

func (p *part) inProc() string { return fmt.Sprintf("/proc/self/fd/%d", p.fd) }

func (p *part) write(b []byte) error {
	for len(b) > 0 {
		n, err := eintr.Write(p.fd, b)
		if err != nil {
			return err
		}
		p.written += int64(n)
		b = b[n:]
	}
	return nil
}

// commit gives the file its name, if size and checksum are as announced: else EINVAL or EBADMSG.
func (p *part) commit(u *ipc.Upload, want *[sha256.Size]byte, sum [sha256.Size]byte) error {
	switch {
	case want != nil && *want != sum:
		return unix.EBADMSG
	case u.Size >= 0 && u.Size != p.written:
		return unix.EINVAL
	}
	if err := eintr.Fchmod(p.fd, u.Mode); err != nil {
		return err
	}
	if err := eintr.Do(func() error { return unix.Fsync(p.fd) }); err != nil {
		return err
	}
	if err := p.take(); err != nil {
		return err
	}
	return p.at.sync()
}

// take gives the file its final name, and replaces a file of that name.
func (p *part) take() error {
	if err := p.at.replaceable(); err != nil {
		return err
	}
	if p.name == "" {
		err := p.link(p.at.name)
		if err != unix.EEXIST {
			return err
		}
		name := partName()
		if err := p.link(name); err != nil {
			return err
		}
		p.name = name
	}
	err := eintr.Renameat(p.at.dir, p.name, p.at.dir, p.at.name)
	if err == nil {
		p.name = ""
	}
	return err
}

func (p *part) link(name string) error {
	return eintr.Do(func() error {
		return unix.Linkat(unix.AT_FDCWD, p.inProc(), p.at.dir, name, unix.AT_SYMLINK_FOLLOW)
	})
}

// discard removes the file, unless it has its final name.
func (p *part) discard() {
	if p.name != "" {
		_ = eintr.Unlinkat(p.at.dir, p.name, 0)
	}
	if p.fd >= 0 {
		_ = unix.Close(p.fd)
	}
	p.at.close()
}
