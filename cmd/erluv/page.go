package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"erluv/sandbox"
	"erluv/web"

	"golang.org/x/sys/unix"
)

// page is the process of the page, seen from erluv web, which has started it without privileges. If
// root has started erluv web, the page runs as nobody. It reaches no file, no port and no other
// process. Its only access to an erluv is a connection that erluv web gives to it. The name in the
// handshake of that connection limits its rights. For erluvs elsewhere erluv web makes the calls:
// see fleet.
type page struct {
	conn *net.UnixConn
	cmd  *exec.Cmd
}

// pageListener is the listener's descriptor in the page, and the last one that the page has: see
// web.Main.
const pageListener = 4

// maxPageWord bounds a request of the page, in bytes.
const maxPageWord = 2 << 10

// pageEndBound is how long the page may take to end.
const pageEndBound = 5 * time.Second

// startPage starts the page. The calling goroutine keeps its thread, because the page ends with
// that thread.
func startPage(l *net.TCPListener, log *slog.Logger) (*page, error) {
	runtime.LockOSThread()
	parts, lacks, err := sandbox.Choose(sandbox.Auto)
	if err != nil {
		return nil, err
	}
	if len(lacks) > 0 {
		log.Warn("the page is not confined by all there is", "this kernel has", strings.Join(lacks, ", "))
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "page"), os.NewFile(uintptr(fds[1]), "starter")
	defer ours.Close()
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, err
	}
	listener, err := l.File()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	defer listener.Close()
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = idsOfNobody()
	}
	p := &page{conn: conn.(*net.UnixConn), cmd: &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{"erluv", rolePageStage, strconv.Itoa(uid), strconv.Itoa(gid), strconv.Itoa(os.Getpid()), strconv.Itoa(int(parts))},
		Env: []string{}, Dir: "/", Stderr: os.Stderr, ExtraFiles: []*os.File{theirs, listener}, SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start the page: %w", err), conn.Close())
	}
	return p, nil
}

// idsOfNobody returns the IDs of the user nobody, or its usual numbers.
func idsOfNobody() (uid, gid int) {
	uid, gid = 65534, 65534
	if u, err := user.Lookup("nobody"); err == nil {
		if n, err := strconv.Atoi(u.Uid); err == nil && n > 0 {
			uid = n
		}
		if n, err := strconv.Atoi(u.Gid); err == nil && n > 0 {
			gid = n
		}
	}
	return uid, gid
}

// serve answers the page's only kind of request, for connections, until ctx or the page ends.
func (p *page) serve(ctx context.Context, given web.Given, answer func(context.Context, web.Word) (any, *os.File)) error {
	defer p.end()
	stop := context.AfterFunc(ctx, func() { _ = p.conn.Close() })
	defer stop()
	if err := p.say(given, nil); err != nil {
		return p.ended(ctx, err)
	}
	for buf := make([]byte, maxPageWord); ; {
		n, err := p.conn.Read(buf)
		if err == nil && n == 0 {
			err = errors.New("it has ended the conversation")
		}
		if err != nil {
			return p.ended(ctx, err)
		}
		var word web.Word
		if err := json.Unmarshal(buf[:n], &word); err != nil {
			return p.ended(ctx, err)
		}
		said, conn := answer(ctx, word)
		if err := p.say(said, conn); err != nil {
			return p.ended(ctx, err)
		}
	}
}

// say sends a message, with a connection if conn is not nil.
func (p *page) say(what any, conn *os.File) error {
	text, err := json.Marshal(what)
	if err != nil {
		return err
	}
	var rights []byte
	if conn != nil {
		defer conn.Close()
		rights = unix.UnixRights(int(conn.Fd()))
	}
	_, _, err = p.conn.WriteMsgUnix(text, rights, nil)
	return err
}

// ended returns why the page has ended, or nil if ctx has ended.
func (p *page) ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	p.end()
	return fmt.Errorf("the page has ended: %s (%w)", p.cmd.ProcessState, err)
}

// end ends the page. It ends by itself with the conversation.
func (p *page) end() {
	_ = p.conn.Close()
	if p.cmd.ProcessState != nil {
		return
	}
	kill := time.AfterFunc(pageEndBound, func() { _ = p.cmd.Process.Kill() })
	_ = p.cmd.Wait()
	kill.Stop()
}

// pageStage runs in a process of its own between erluv web and the page. It gives up everything
// that the page must not have, and becomes the page: `erluv page-stage UID GID PARENT PARTS`.
func pageStage(args []string) error {
	if len(args) != 4 {
		return errors.New("the page is started by erluv web alone")
	}
	var numbers [4]int
	for i, arg := range args {
		n, err := strconv.Atoi(arg)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is no number", arg)
		}
		numbers[i] = n
	}
	parts := sandbox.Parts(numbers[3])
	recipe := sandbox.Recipe{
		Identity: sandbox.Identity{UID: uint32(numbers[0]), GID: uint32(numbers[1])}, Parent: numbers[2],
		KeepFD: pageListener, NoCore: true, Rules: parts.OfRelay(),
	}
	if err := sandbox.Drop(recipe); err != nil {
		return err
	}
	err := syscall.Exec("/proc/self/exe", []string{"erluv", rolePage, args[3]}, []string{})
	return fmt.Errorf("cannot become the page as uid %d: %w: may every user execute erluv?", numbers[0], err)
}

// sealPage is the first action of the page.
func sealPage(args []string) error {
	if len(args) != 1 {
		return errors.New("the page is started by erluv web alone")
	}
	parts, err := strconv.ParseUint(args[0], 10, 8)
	if err != nil {
		return err
	}
	return sandbox.Parts(parts).SealPage()
}
