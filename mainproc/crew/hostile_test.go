package crew

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"

	"erluv/ipc"
	"erluv/mainproc/permit"
	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

// hostile is a child that an attacker has taken over, from its side. It sends nonsense in one
// conversation after another, and counts its frames. Main sends it these conversations on the one
// that it was started with.
type hostile struct {
	*rand.Rand
	fds    []int // of all kinds, to attach to frames
	counts saidCounts
}

// saidCounts are counts that main can request.
type saidCounts struct {
	Frames   uint32 // sent, or refused by the kernel
	Attached uint32 // those with descriptors
	Refused  uint32 // those that the kernel refused, as with SO_PASSRIGHTS
}

// watches has one observer of each kind.
var watches = func() []ipc.Observer {
	ref := string(etf.AppendNewRef(nil, "them@h", 9, 1, 2, 3))
	return []ipc.Observer{
		{Kind: ipc.ObserverLink, ID: 5, Serial: 1, PeerID: 100, PeerCreation: 9},
		{Kind: ipc.ObserverMonitor, ID: 5, Serial: 1, PeerID: 101, PeerCreation: 9, Ref: ref},
		{Kind: ipc.ObserverName, Name: "erluv", PeerID: 102, PeerCreation: 9, Ref: ref},
		{Kind: ipc.ObserverPeer, ID: 5, Serial: 1, PeerID: 103, PeerCreation: 9, Ref: ref},
		{Kind: ipc.ObserverName, Name: "erluv_main", PeerID: 104, PeerCreation: 9, Ref: ref},
	}
}()

// messages are some messages of all roles.
var messages = []ipc.Message{
	ipc.Hello{Version: ipc.Version, Role: ipc.RoleChild, PID: 1},
	ipc.Start{Controller: "c"},
	ipc.Link{Node: "n@h"},
	ipc.StartSpawner{Path: []string{"/bin"}},
	ipc.Ready{},
	ipc.Failed{Text: "no"},
	ipc.Stop{Reason: "r"},
	ipc.Stopped{Cause: ipc.CauseAsked, Text: "t"},
	ipc.Ledger{Serial: 1, Added: []string{watches[0].Record()}},
	ipc.Drain{},
	ipc.Beat{},
	ipc.Counted{Programs: 1},
	ipc.Spawner{PID: 9},
	ipc.WantSpawner{User: 1},
	ipc.Logs{},
	ipc.Log{Text: "t"},
	ipc.Lost{ID: 1, Text: "t"},
	ipc.Host{OnlyClasses: true},
	ipc.Standing{Wish: ipc.WishStandby},
	&ipc.Spawn{Program: "p", Args: []string{"p"}},
	ipc.Spawned{PID: 5},
	ipc.Rotated{Seq: 1},
	ipc.SpawnInMemfd{Size: 1},
}

// turn is main's request, in two bytes and two descriptors: main's conversation and the ledger's.
// Without descriptors it requests the counts.
type turn struct {
	who permit.Speaker
	at  permit.Phase
}

// playHostile takes the seed.
func playHostile(args []string) error {
	seed, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return err
	}
	control, err := ipc.FromFD(conversation)
	if err != nil {
		return err
	}
	h := &hostile{Rand: rand.New(rand.NewPCG(seed, 1)), fds: allKinds()}
	buf := make([]byte, 2)
	for {
		n, fds, err := control.Recv(buf, 0)
		switch {
		case err != nil || n != 2:
			return nil // main has finished
		case len(fds) == 0:
			answer, _ := binary.Append(nil, binary.LittleEndian, h.counts)
			if err := control.Send(answer, 0); err != nil {
				return err
			}
			continue
		}
		h.converse(turn{permit.Speaker(buf[0]), permit.Phase(buf[1])}, fds[0], fds[1])
		ipc.CloseAll(fds)
	}
}

// allKinds opens a descriptor of each kind that such a process can have.
func allKinds() (fds []int) {
	add := func(fd int, err error) {
		if err == nil {
			fds = append(fds, fd)
		}
	}
	for _, path := range []string{"/dev/null", "/proc/self/mem", "/proc/self/ns/user", "/proc/self/exe", "/dev/ptmx", "/dev/zero"} {
		add(unix.Open(path, unix.O_RDONLY|unix.O_NOCTTY|unix.O_CLOEXEC, 0))
	}
	add(unix.Open("/", unix.O_DIRECTORY|unix.O_CLOEXEC, 0))
	add(unix.Open("/etc/passwd", unix.O_PATH|unix.O_CLOEXEC, 0))
	var p [2]int
	_ = unix.Pipe2(p[:], unix.O_CLOEXEC)
	fds = append(fds, p[:]...)
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		if p, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0); err == nil {
			fds = append(fds, p[:]...)
		}
	}
	add(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	add(unix.MemfdCreate("hostile", unix.MFD_CLOEXEC))
	add(unix.Eventfd(0, unix.EFD_CLOEXEC))
	add(unix.EpollCreate1(unix.EPOLL_CLOEXEC))
	add(unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC))
	add(unix.Signalfd(-1, &unix.Sigset_t{}, unix.SFD_CLOEXEC))
	add(unix.InotifyInit1(unix.IN_CLOEXEC))
	add(unix.PidfdOpen(os.Getpid(), 0))
	return fds
}

// longestTurn is the most frames in one conversation, if main lets it.
const longestTurn = 64

// converse sends nonsense until main hangs up. The last message is certainly wrong.
func (h *hostile) converse(t turn, up, book int) {
	for range 1 + h.IntN(longestTurn) {
		frame, fd := h.frame(t), up
		if t.at == permit.AtWork && h.IntN(4) == 0 {
			frame, fd = h.frame(turn{permit.Ledger, permit.AtWork}), book
		}
		if !h.say(fd, frame, h.attached(up)) {
			return
		}
	}
	for h.say(up, []byte{0xff}, nil) {
		h.wait(up, unix.POLLHUP)
	}
}

// attached returns descriptors for a frame, half of the time none. Otherwise it returns one, a few,
// as many as a packet may have, as many as the kernel takes, or more.
func (h *hostile) attached(up int) (list []int) {
	n := [...]int{0, 0, 0, 0, 1, 1, 2 + h.IntN(8), ipc.MaxFDs, 253, 254}[h.IntN(10)]
	if n >= 253 && h.IntN(10) != 0 { // more than 252 take long
		n = 1
	}
	for range n {
		list = append(list, h.fds[h.IntN(len(h.fds))])
	}
	if n > 0 && h.IntN(8) == 0 {
		list[0] = up // the conversation in itself
	}
	return list
}

// say sends a frame, and reports whether the conversation continues.
func (h *hostile) say(fd int, frame []byte, fds []int) bool {
	h.counts.Frames++
	var oob []byte
	if len(fds) > 0 {
		h.counts.Attached++
		oob = unix.UnixRights(fds...)
	}
	for {
		switch err := unix.Sendmsg(fd, frame, oob, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL); err {
		case nil, unix.EMSGSIZE, unix.EINVAL:
			return true
		case unix.EPERM:
			h.counts.Refused++
			return true
		case unix.ETOOMANYREFS:
			oob = nil
		case unix.EAGAIN:
			if h.wait(fd, unix.POLLOUT) {
				return true // the ledger, which main does not read yet
			}
		case unix.EINTR:
		default:
			return false
		}
	}
}

// wait waits briefly, and reports whether that was in vain.
func (h *hostile) wait(fd int, events int16) bool {
	n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, 10)
	return n == 0
}

// frame returns a permitted message, a forbidden one, either with a part changed, or random bytes.
func (h *hostile) frame(t turn) []byte {
	switch h.IntN(16) {
	case 0:
		return h.bytes(h.IntN(32))
	case 1:
		if h.IntN(64) != 0 {
			return h.bytes(h.IntN(200))
		}
		return h.bytes(h.IntN(150 << 10)) // packets that are too large
	case 2:
		return ipc.Append(nil, messages[h.IntN(len(messages))])
	case 3, 4:
		return h.mutated(ipc.Append(nil, messages[h.IntN(len(messages))]))
	case 5, 6:
		return h.mutated(h.permitted(t))
	}
	return h.permitted(t)
}

func (h *hostile) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(h.Uint32())
	}
	return b
}

// permitted returns a message that main accepts in this phase.
func (h *hostile) permitted(t turn) []byte {
	role := ipc.RoleChild
	if t.who == permit.Spawner {
		role = ipc.RoleSpawner
	}
	var m ipc.Message
	switch {
	case t.who == permit.Ledger:
		m = h.ledger()
	case h.IntN(16) == 0 && t.at == permit.AtWork:
		m = ipc.Stopped{Cause: ipc.Cause(1 + h.IntN(2)), Text: string(h.bytes(h.IntN(ipc.MaxText)))}
	case t.at == permit.AtWork:
		m = [...]ipc.Message{ipc.Drain{}, ipc.Drain{}, ipc.Drain{}, ipc.Beat{}}[h.IntN(4)]
	case h.IntN(4) == 0:
		m = ipc.Failed{Text: string(h.bytes(h.IntN(ipc.MaxText)))}
	case t.at == permit.AtHello:
		m = ipc.Hello{Version: ipc.Version, Role: role, PID: uint32(os.Getpid())}
	default:
		m = ipc.Ready{}
	}
	return ipc.Append(nil, m)
}

// ledger returns a Ledger that adds and removes possible records.
func (h *hostile) ledger() ipc.Ledger {
	record := func() string {
		w := watches[h.IntN(len(watches))]
		w.PeerID = uint32(h.IntN(8))
		return w.Record()
	}
	m := ipc.Ledger{Serial: h.Uint32(), Ticktime: h.Uint32()}
	for range h.IntN(4) {
		m.Added = append(m.Added, record())
	}
	if len(m.Added) > 0 && h.IntN(2) == 0 {
		m.Removed = append(m.Removed, m.Added[0])
	}
	if h.IntN(64) == 0 {
		m.Removed = append(m.Removed, record())
	}
	return m
}

// mutated changes a message as an attacker would who knows the encoding.
func (h *hostile) mutated(b []byte) []byte {
	at := h.IntN(len(b))
	switch h.IntN(8) {
	case 0: // a bit
		b[at] ^= 1 << h.IntN(8)
	case 1: // a byte at the ends of its range
		b[at] = [...]byte{0, 1, 0x7f, 0x80, 0xff}[h.IntN(5)]
	case 2: // too short
		b = b[:at]
	case 3: // too long
		b = append(b, h.bytes(1+h.IntN(8))...)
	case 4: // a length, or bytes in a possible place of one
		if len(b) >= at+4 {
			n := [...]uint32{0, 1, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, uint32(len(b))}[h.IntN(8)]
			binary.LittleEndian.PutUint32(b[at:], n)
		}
	case 5: // another kind with the same fields
		b[0] = byte(h.IntN(32))
	case 6: // two in one
		b = append(b, b...)
	case 7: // a part twice
		b = append(b[:at:at], b[at/2:]...)
	}
	return b
}

// startHostile starts one, as another user if root does, and returns main's end of its
// conversation.
func startHostile(seed uint64) (pid int, control *ipc.Conn, err error) {
	ours, theirs, err := ipc.Pair()
	if err != nil {
		return 0, nil, err
	}
	defer theirs.Close()
	sys := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		sys.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	pid, err = syscall.ForkExec(self, []string{"test", "hostile", strconv.FormatUint(seed, 10)}, &syscall.ProcAttr{
		Files: []uintptr{0, 1, 2, uintptr(theirs.FD())}, Sys: sys,
	})
	if err != nil {
		return 0, nil, fmt.Errorf("cannot start %s: %w", strings.Join(os.Args[:1], ""), err)
	}
	return pid, ours, nil
}
