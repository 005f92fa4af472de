package mainproc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"erluv/config"
	"erluv/ipc"
	"erluv/ipc/journal"
	"erluv/mainproc/crew"
	"erluv/sandbox"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// The test binary plays main, the stage and both roles. The roles start without an environment and
// with one argument. So the name of the binary (a hard link) tells how they misbehave until they
// serve. Afterwards the node's bytes tell them.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if play, ok := plays[os.Args[1]]; ok {
			err := play(os.Args[2:])
			if err != nil {
				fmt.Fprintln(os.Stderr, os.Args[1]+":", err)
			}
			syscall.Exit(ExitStatus(err)) // os.Exit waits a second with -race
		}
	}
	goleak.VerifyTestMain(m)
}

var plays = map[string]func(args []string) error{
	"main":  playMain,
	"ping":  playPing,
	"stage": playStage,
	"relay": func([]string) error { return errors.New("no relay") },
	"child": func([]string) error { return playRole(ipc.RoleChild, playChild) },
	"spawner": func(args []string) error {
		if len(args) > 0 { // a test may start the role itself, or the stage may not have dropped
			if err := crew.Settle(args); err != nil {
				return err
			}
		}
		return playRole(ipc.RoleSpawner, playSpawner)
	},
}

// playMain is erluv with a configuration in JSON. It prints "up".
func playMain(args []string) error {
	var cfg config.Config
	if err := json.Unmarshal([]byte(args[0]), &cfg); err != nil {
		return err
	}
	cfg.Cookie = testCookie // no formatting gives it away
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	return Run(ctx, &cfg, log, Options{Version: "test", Up: func() { fmt.Println("up") }})
}

func playPing(args []string) error {
	var cfg config.Config
	if err := json.Unmarshal([]byte(args[0]), &cfg); err != nil {
		return err
	}
	cfg.Cookie = testCookie
	_, err := Ping(context.Background(), &cfg)
	return err
}

// misbehaviour returns the special name under which the binary was started, if there is one.
func misbehaviour() string {
	path, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return ""
	}
	return filepath.Base(path)
}

func playStage(args []string) error {
	if misbehaviour() == "undropped" {
		if _, _, e := syscall.RawSyscall(syscall.SYS_FCNTL, 3, syscall.F_SETFD, 0); e != 0 {
			return e
		}
		return syscall.Exec("/proc/self/exe", []string{"erluv", args[0]}, nil)
	}
	return crew.Stage(args)
}

// playRole says hello as the role and continues with play.
func playRole(role ipc.Role, play func(*ipc.Conn) error) error {
	hello := ipc.Hello{Version: ipc.Version, Role: role, PID: uint32(os.Getpid())}
	switch misbehaviour() {
	case role.String() + "-exits":
		syscall.Exit(9)
	case role.String() + "-panics":
		panic("on purpose")
	case role.String() + "-is-silent":
		_ = unix.Pause()
	case role.String() + "-has-another-version":
		hello.Version++
	case role.String() + "-has-another-pid":
		hello.PID = 9
	}
	if err := sandbox.NotDumpable(); err != nil {
		return err
	}
	conn, err := ipc.FromFD(3)
	if err != nil {
		return err
	}
	var first ipc.Message = hello
	switch misbehaviour() {
	case role.String() + "-fails":
		first = ipc.Failed{Text: "for a reason\x1b[2J"}
	case role.String() + "-says-something-else":
		first = ipc.Ready{}
	case role.String() + "-sends-a-descriptor":
		if err := conn.Send(ipc.Append(nil, hello), 0, 2); err != nil {
			first = ipc.Failed{Text: "a descriptor: " + err.Error()}
		}
	}
	if err := conn.Send(ipc.Append(nil, first), 0); err != nil {
		return err
	}
	if misbehaviour() == role.String()+"-leaves" {
		return nil
	}
	return play(conn)
}

// report is what the child sends to the node as soon as it serves.
type report struct {
	Start    ipc.Start
	Link     ipc.Link
	PID      int
	Args     []string
	Environ  []string
	NonBlock bool
}

// recvStart reads a role's settings. It drops the message for the log before them.
func recvStart(conn *ipc.Conn, buf []byte) (n int, fds []int, err error) {
	n, fds, err = conn.Recv(buf, 0)
	if err == nil && ipc.Kind(buf[0]) == ipc.KindLogs {
		ipc.CloseAll(fds)
		return conn.Recv(buf, 0)
	}
	return n, fds, err
}

// playChild serves: it sends a report, and obeys each byte from the node.
func playChild(conn *ipc.Conn) error {
	buf := make([]byte, ipc.MaxPacket)
	n, fds, err := recvStart(conn, buf)
	if err != nil {
		return err
	}
	m, err := ipc.Decode(buf[:n])
	if err != nil {
		return err
	}
	start, ok := m.(ipc.Start)
	if !ok || len(fds) != 1 {
		return fmt.Errorf("%T with descriptors %v", m, fds)
	}
	spawner, err := ipc.FromFD(fds[0])
	if err != nil {
		return err
	}
	if n, _, err = conn.Recv(buf, 0); err != nil {
		return err
	}
	if m, err = ipc.Decode(buf[:n]); err != nil {
		return err
	}
	if _, ok := m.(ipc.Host); !ok {
		return fmt.Errorf("%T instead of a host", m)
	}
	if n, fds, err = conn.Recv(buf, 0); err != nil {
		return err
	}
	if m, err = ipc.Decode(buf[:n]); err != nil {
		return err
	}
	link, ok := m.(ipc.Link)
	if !ok || len(fds) != ipc.LinkFDs {
		return fmt.Errorf("%T with descriptors %v", m, fds)
	}
	flags, err := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	r := report{Start: start, Link: link, PID: os.Getpid(), Args: os.Args, Environ: os.Environ(), NonBlock: flags&unix.O_NONBLOCK != 0}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	pages, err := journal.Map(fds[1])
	if err != nil {
		return err
	}
	node := os.NewFile(uintptr(fds[0]), "node")
	if _, err := node.Write(append(text, '\n')); err != nil {
		return err
	}
	if err := conn.Send(ipc.Append(nil, ipc.Ready{}), 0); err != nil {
		return err
	}
	lost := func() {
		if start.Stays {
			_ = conn.Send(ipc.Append(nil, ipc.Lost{ID: link.ID, Text: "by the node"}), 0)
			return
		}
		_ = conn.Send(ipc.Append(nil, ipc.Stopped{Cause: ipc.CauseDisconnected, Text: "by the node"}), 0)
		syscall.Exit(0)
	}
	go obey(node, conn, spawner, lost, func(read int) {
		pages.Commit(&journal.Record{OutPos: uint64(len(text)) + 1, InPos: uint64(read)})
	})
	for {
		n, fds, err := conn.Recv(buf, 0)
		for hung.Load() {
			_ = unix.Pause()
		}
		if err != nil {
			return err
		}
		m, err := ipc.Decode(buf[:n])
		if err != nil {
			return err
		}
		if s, ok := m.(ipc.Spawner); ok { // the conversation with it stays open
			if s.User > 0 {
				others.Lock()
				others.fds = append(others.fds, fds...)
				others.Unlock()
				fmt.Fprintf(node, "user %d: %d %d\n", s.User, s.PID, len(fds))
				continue
			}
			fmt.Fprintf(node, "spawner: %d %d\n", s.PID, len(fds))
		}
		if _, ok := m.(ipc.Beat); ok && !mute.Load() {
			if err := conn.Send(ipc.Append(nil, ipc.Beat{}), 0); err != nil {
				return err
			}
		}
		if stop, ok := m.(ipc.Stop); ok && !mute.Load() {
			fmt.Fprintf(node, "stop: %s\n", stop.Reason)
			return conn.Send(ipc.Append(nil, ipc.Stopped{Cause: ipc.CauseAsked}), 0)
		}
	}
}

var (
	mute atomic.Bool // no answer to a stop
	hung atomic.Bool // continues after the end of the conversation

	others struct { // conversations with spawners of other users
		sync.Mutex
		fds []int
	}
)

// obey obeys the node's bytes.
func obey(node io.ReadWriter, conn, spawner *ipc.Conn, lost func(), commit func(read int)) {
	say := func(m ipc.Message) { _ = conn.Send(ipc.Append(nil, m), 0) }
	b := make([]byte, 1)
	for read := 1; ; read++ {
		if _, err := node.Read(b); err != nil {
			lost()
			return
		}
		switch b[0] {
		case 'c': // crash
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		case 'k': // crash, with everything in order
			commit(read)
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		case 's': // the node's own stop
			say(ipc.Stopped{Cause: ipc.CauseAsked})
			syscall.Exit(0)
		case 'S': // the same, behind many other messages
			for range 50 {
				say(ipc.Drain{})
			}
			say(ipc.Stopped{Cause: ipc.CauseAsked})
			syscall.Exit(0)
		case 'j': // junk
			_ = conn.Send([]byte{0xff}, 0)
		case 'r': // a message out of its turn
			say(ipc.Ready{})
		case 'h': // hang up, and stay
			hung.Store(true)
			_ = unix.Shutdown(3, unix.SHUT_RDWR)
		case 'x': // crash of the spawner
			_ = spawner.Send([]byte("x"), 0)
			_, _, _ = spawner.Recv(make([]byte, 1), 0)
			syscall.Exit(1) // may be faster than the spawner
		case '0', '1', '2', '9': // the spawner of a user
			say(ipc.WantSpawner{User: b[0] - '0'})
		case 'd': // these spawners are no longer needed
			others.Lock()
			ipc.CloseAll(others.fds)
			others.fds = nil
			others.Unlock()
		case 'm':
			mute.Store(true)
			_, _ = io.WriteString(node, "mute\n")
		}
	}
}

// playSpawner ends with its conversation with the child, or at a message.
func playSpawner(conn *ipc.Conn) error {
	buf := make([]byte, ipc.MaxPacket)
	n, fds, err := recvStart(conn, buf)
	if err != nil {
		return err
	}
	m, err := ipc.Decode(buf[:n])
	if err != nil {
		return err
	}
	start, ok := m.(ipc.StartSpawner)
	if !ok || len(fds) != 1 || len(start.Path) == 0 {
		return fmt.Errorf("%T with descriptors %v", m, fds)
	}
	child, err := ipc.FromFD(fds[0])
	if err != nil {
		return err
	}
	if misbehaviour() == "spawner-fails-late" {
		return conn.Send(ipc.Append(nil, ipc.Failed{Text: "later"}), 0)
	}
	if err := conn.Send(ipc.Append(nil, ipc.Ready{}), 0); err != nil {
		return err
	}
	_, _, err = child.Recv(buf, 0)
	if errors.Is(err, io.EOF) {
		return nil
	}
	syscall.Exit(7)
	return nil
}

const waitBound = 2 * time.Minute // bounds waits that are short unless the machine is loaded
