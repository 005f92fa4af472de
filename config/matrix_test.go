package config

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const matrixCookie = "s3cret"

// The matrix shows which paths to a cookie, and which files, are allowed or refused. Steps make
// each case, in a directory of the test's own:
//
//	d NAME MODE  a directory   f NAME MODE  a file with a cookie   o NAME UID  give it away
//	l NAME TO    a symbolic link            h NAME TO  another name of a file
//	p NAME       a FIFO        s NAME       a socket   c NAME  a device (null)
//	m NAME N     N links in a row           e NAME  an empty file  b NAME  a large one
//
// The last word is the path to read. If an ordinary user runs the test, cases with steps that need
// root are left out.
var matrix = []struct{ name, steps, want string }{
	{"read only", "f x 400, x", ""},
	{"writable", "f x 600, x", ""},
	{"no mode", "f x 0, x", "has mode 0000"},
	{"write only", "f x 200, x", "has mode 0200"},
	{"executable", "f x 700, x", "has mode 0700"},
	{"the group reads", "f x 640, x", "has mode 0640"},
	{"the group writes", "f x 620, x", "has mode 0620"},
	{"others read", "f x 604, x", "has mode 0604"},
	{"others execute", "f x 601, x", "has mode 0601"},
	{"everybody reads", "f x 444, x", "has mode 0444"},
	{"set-user-ID", "f x 4600, x", "has mode 4600"},
	{"set-group-ID", "f x 2600, x", "has mode 2600"},
	{"sticky", "f x 1600, x", "has mode 1600"},
	{"a stranger's", "f x 400, o x 4711, x", "belongs to 4711"},
	{"nobody's", "f x 400, o x 65534, x", "belongs to nobody"},
	{"another name of a stranger's", "f x 400, o x 4711, h y x, y", "belongs to 4711"},
	{"another name of ours", "f x 400, h y x, y", ""},
	{"empty", "e x, x", "the cookie is empty"},
	{"too large", "b x, x", "is larger than 4096 bytes"},

	{"the group writes beside it", "d a 770, f a/x 400, a/x", "others can write (mode 0770)"},
	{"others write beside it", "d a 707, f a/x 400, a/x", "others can write (mode 0707)"},
	{"others write above it", "d a 777, d a/b 700, f a/b/x 400, a/b/x", "others can write (mode 0777)"},
	{"others write far above it", "d a 722, d a/b 700, d a/b/c 700, f a/b/c/x 400, a/b/c/x", "others can write (mode 0722)"},
	{"a sticky directory", "d a 1777, f a/x 400, a/x", ""},
	{"a stranger's in a sticky directory", "d a 1777, f a/x 400, o a/x 4711, a/x", "belongs to 4711"},
	{"a directory that nobody lists", "d a 100, f a/x 400, a/x", ""},
	{"a stranger's directory", "d a 700, f a/x 400, o a 4711, a/x", "which belongs to 4711"},
	{"a stranger's directory above", "d a 755, d a/b 700, f a/b/x 400, o a 4711, a/b/x", "which belongs to 4711"},
	{"a stranger's sticky directory", "d a 1777, f a/x 400, o a 4711, a/x", "which belongs to 4711"},

	{"a link", "f x 400, l y x, y", ""},
	{"a link from the root", "f x 400, l y @/x, y", ""},
	{"a link to a directory", "d a 700, f a/x 400, l y a, y/x", ""},
	{"a link up and down", "d a 700, f x 400, l a/y ../a/../x, a/y", ""},
	{"a stranger's link", "f x 400, l y x, o y 4711, y", "the link"},
	{"a stranger's link in a sticky directory", "d a 1777, f x 400, l a/y ../x, o a/y 4711, a/y", "the link"},
	{"a stranger's link to a directory", "d a 700, f a/x 400, l y a, o y 4711, y/x", "the link"},
	{"a link to a stranger's", "f x 400, o x 4711, l y x, y", "belongs to 4711"},
	{"a link into a directory where others write", "d a 777, f a/x 400, l y a/x, y", "others can write (mode 0777)"},
	{"a link out of the directory where others write", "d a 777, f x 400, l a/y ../x, a/y", "others can write (mode 0777)"},
	{"a link through the kernel", "f x 400, l y /proc/self/root@/x, y", ""},
	{"a link to nowhere", "l y x, y", "does not exist"},
	{"a link to itself", "l y y, y", "too many levels of symbolic links"},
	{"two links to each other", "l x y, l y x, y", "too many levels of symbolic links"},
	{"as many links as can be", "f x0 400, m x 40, x40", ""},
	{"one more", "f x0 400, m x 41, x41", "too many levels of symbolic links"},

	{"a FIFO", "p x, x", "is no regular file"},
	{"a link to a FIFO", "p x, l y x, y", "is no regular file"},
	{"a socket", "s x, x", "is no regular file"},
	{"a device", "c x, x", "is no regular file"},
	{"a device of the system", "/dev/zero", "is no regular file"},
	{"a link to a terminal", "l y /dev/tty, y", "is no regular file"},
	{"a directory", "d a 700, a", "is no regular file"},
	{"a directory, by its dot", "d a 700, a/.", "is no regular file"},
	{"the root", "/", "is a directory"},
	{"nothing", "x", "does not exist"},
	{"no directory", "a/x", "does not exist"},
	{"beneath a file", "f x 400, x/y", "not a directory"},
	{"beneath a FIFO", "p x, x/y", "not a directory"},
}

func TestMatrix(t *testing.T) {
	if len(matrix)+len(swaps) < 40 {
		t.Errorf("%d cases", len(matrix)+len(swaps))
	}
	for _, c := range matrix {
		t.Run(c.name, func(t *testing.T) {
			path, ok := matrixPlace(t, c.steps)
			if !ok {
				return // only root can do these steps
			}
			cookie, err := readCookie(path, []int{os.Getuid()})
			switch {
			case c.want == "" && (err != nil || string(cookie) != matrixCookie):
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %q", err, c.want)
			case err != nil && strings.Contains(err.Error(), matrixCookie):
				t.Errorf("the cookie is in %q", err)
			}
		})
	}
}

// matrixPlace does the steps. It returns the path, and whether the steps were possible.
func matrixPlace(t *testing.T, steps string) (path string, ok bool) {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string {
		if strings.HasPrefix(name, "/") {
			return strings.Replace(name, "@", dir, 1)
		}
		return filepath.Join(dir, name)
	}
	list := strings.Split(steps, ", ")
	path = list[len(list)-1]
	if strings.HasSuffix(path, "/.") {
		path = at(path) + "/."
	} else {
		path = at(path)
	}
	for _, step := range list[:len(list)-1] {
		w := append(strings.Fields(step), "")
		name, arg := at(w[1]), w[2]
		mode, _ := strconv.ParseUint(arg, 8, 32)
		var err error
		switch w[0] {
		case "d":
			if err = os.Mkdir(name, 0o700); err == nil {
				err = unix.Chmod(name, uint32(mode))
			}
		case "f":
			if err = os.WriteFile(name, []byte(matrixCookie), 0o600); err == nil {
				err = unix.Chmod(name, uint32(mode))
			}
		case "e":
			err = os.WriteFile(name, nil, 0o600)
		case "b":
			err = os.WriteFile(name, make([]byte, 5000), 0o600)
		case "l":
			err = os.Symlink(strings.Replace(arg, "@", dir, 1), name)
		case "h":
			err = os.Link(at(arg), name)
		case "m":
			n, _ := strconv.Atoi(arg)
			for i := 0; i < n && err == nil; i++ {
				err = os.Symlink(fmt.Sprintf("%s%d", w[1], i), fmt.Sprintf("%s%d", name, i+1))
			}
		case "p":
			err = unix.Mkfifo(name, 0o600)
		case "s":
			var l net.Listener
			if l, err = net.Listen("unix", name); err == nil {
				t.Cleanup(func() { _ = l.Close() })
			}
		case "c", "o":
			if os.Getuid() != 0 {
				return "", false
			}
			if uid, _ := strconv.Atoi(arg); w[0] == "o" {
				err = os.Lchown(name, uid, -1)
			} else if err = unix.Mknod(name, unix.S_IFCHR|0o600, 1<<8|3); err == unix.EPERM {
				return "", false // root cannot either, in a container
			}
		default:
			t.Fatalf("there is no step %q", step)
		}
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
	}
	// The directory is removed even if it cannot be listed.
	t.Cleanup(func() { _ = unix.Chmod(filepath.Join(dir, "a"), 0o700) })
	return path, true
}

// In swaps a name leads to an allowed file, then to a refused one, again and again while it is
// read. The test exchanges the two names of the steps (renameat2(2)).
var swaps = []struct{ name, steps, a, b, want string }{
	{"a file and a stranger's", "f x 400, f y 400, o y 4711, x", "x", "y", "belongs to 4711"},
	{"a file and one that others read", "f x 400, f y 444, x", "x", "y", "has mode 0444"},
	{"a file and a FIFO", "f x 400, p y, x", "x", "y", "is no regular file"},
	{"a file and a device", "f x 400, c y, x", "x", "y", "is no regular file"},
	{"a file and a directory", "f x 400, d a 700, x", "x", "a", "is no regular file"},
	{"a file and a link to a stranger's", "f x 400, f z 400, o z 4711, l y z, x", "x", "y", ""},
	{"a file and a stranger's link to it", "f x 400, l y z, h z x, o y 4711, x", "x", "y", "the link"},
	{"a directory and a stranger's", "d a 700, f a/x 400, d b 700, f b/x 400, o b/x 4711, o b 4711, a/x", "a", "b", "which belongs to 4711"},
	{"a directory and one where others write", "d a 700, f a/x 400, d b 777, f b/x 444, a/x", "a", "b", "others can write"},
	{"a directory and a link to a stranger's", "d a 700, f a/x 400, d c 700, f c/x 400, o c/x 4711, o c 4711, l b c, a/x", "a", "b", ""},
	{"a directory above and a stranger's", "d a 700, d a/d 700, f a/d/x 400, d b 700, d b/d 700, f b/d/x 400, o b/d/x 4711, o b/d 4711, o b 4711, a/d/x", "a", "b", "which belongs to 4711"},
	{"a link and a stranger's", "f x 400, l y x, l z x, o z 4711, y", "y", "z", "the link"},
}

// TestSwaps: the checked file is the one that is read. The result is the cookie or an error at any
// moment, never a stranger's text, and there is no waiting.
func TestSwaps(t *testing.T) {
	for _, c := range swaps {
		t.Run(c.name, func(t *testing.T) {
			path, ok := matrixPlace(t, c.steps)
			if !ok {
				return // only root can do these steps
			}
			var dir string
			for dir = path; filepath.Base(dir) != "001"; {
				dir = filepath.Dir(dir)
			}
			others := 0
			_ = filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
				var st unix.Stat_t
				if err == nil && e.Type().IsRegular() && unix.Lstat(p, &st) == nil && (st.Uid == stranger || st.Mode&0o077 != 0) {
					others++
					return os.WriteFile(p, []byte("stranger"), 0)
				}
				return nil
			})
			stop := make(chan struct{})
			var swapping sync.WaitGroup
			swapping.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						_ = unix.Renameat2(unix.AT_FDCWD, filepath.Join(dir, c.a), unix.AT_FDCWD, filepath.Join(dir, c.b), unix.RENAME_EXCHANGE)
					}
				}
			})
			read, refused := 0, 0
			for end := time.Now().Add(2 * time.Minute); time.Now().Before(end) && (read < 100 || refused < 100); {
				cookie, err := readCookie(path, []int{os.Getuid()})
				switch {
				case err == nil && string(cookie) == matrixCookie:
					read++
				case err == nil:
					t.Fatalf("%q was read, of %d other files", cookie, others)
				default:
					if strings.Contains(err.Error(), c.want) {
						refused++
					}
				}
			}
			close(stop)
			swapping.Wait()
			if read < 100 || refused < 100 {
				t.Errorf("read %d times, refused %d times", read, refused)
			}
		})
	}
}
