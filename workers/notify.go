package workers

import (
	"strings"

	"erluv/loop"

	"golang.org/x/sys/unix"
)

// Notice is what a program wrote to its NOTIFY_SOCKET in one message (sd_notify(3)). Other
// assignments in the message are ignored.
type Notice struct {
	Ready    bool // READY=1
	Alive    bool // WATCHDOG=1
	Trigger  bool // WATCHDOG=trigger: the program asks to be treated as failed
	Status   string
	IsStatus bool // STATUS was given
}

const (
	// maxNotice is how many bytes of a message are read.
	maxNotice = 4096
	// maxStatus is how much of a STATUS is kept, in bytes.
	maxStatus = 1024
	// maxControl is the size of a message's control data, in bytes. It has room for the most
	// descriptors of a message (SCM_MAX_FD, 253) and the sender behind them.
	maxControl = 1280
	// noticesATurn is the maximum number of messages read in one turn of the loop.
	noticesATurn = 16
	// noticesAtEnd is more than a socket holds (net.unix.max_dgram_qlen).
	noticesAtEnd = 1024
)

// notify is the socket for a program's notices. It is not in the host's group: a program's watchdog
// must not run out because the node does not read. The socket came with the answer to request seq.
type notify struct {
	w   *Worker
	fd  int // -1: closed
	seq uint32
	src loop.Source
}

// watch starts to watch the socket. It does nothing without one.
func (n *notify) watch() (err error) {
	if n != nil {
		n.src, err = n.w.starter.loop.Watch(n.fd, loop.In, n)
	}
	return err
}

// Ready reads waiting notices.
func (n *notify) Ready(loop.Events) { n.read(noticesATurn) }

func (n *notify) read(most int) {
	var buf [maxNotice]byte
	var oob [maxControl]byte
	for range most {
		size, oobn, _, _, err := unix.Recvmsg(n.fd, buf[:], oob[:], unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return // EAGAIN: no notice is waiting
		}
		from := senderOf(oob[:oobn])
		ours := n.w.owns(from)
		if from.pidfd >= 0 {
			_ = unix.Close(from.pidfd)
		}
		if notice, ok := parseNotice(string(buf[:size])); ok && ours {
			n.w.host.Notified(n.w, notice)
		}
		if n.fd < 0 {
			return
		}
	}
}

// last reads the remaining notices. The program may have ended right after it wrote them.
func (n *notify) last() {
	if n != nil {
		n.read(noticesAtEnd)
	}
}

// close closes the socket and has the spawner remove its name.
func (n *notify) close() {
	if n == nil || n.fd < 0 {
		return
	}
	n.src.Remove()
	_ = unix.Close(n.fd)
	n.fd = -1
	n.w.starter.forget(n.seq)
}

// parseNotice reads lines of the form NAME=value. ok is false if it knows none of them.
func parseNotice(text string) (n Notice, ok bool) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch {
		case name == "READY" && value == "1":
			n.Ready = true
		case name == "WATCHDOG" && value == "1":
			n.Alive = true
		case name == "WATCHDOG" && value == "trigger":
			n.Trigger = true
		case name == "STATUS":
			n.Status, n.IsStatus = strings.ToValidUTF8(value[:min(len(value), maxStatus)], "\ufffd"), true
		default:
			continue
		}
		ok = true
	}
	return n, ok
}
