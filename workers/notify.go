package workers

import (
	"strings"

	"erluv/loop"

	"golang.org/x/sys/unix"
)

// Notice is what a program has said by its NOTIFY_SOCKET in one message
// (sd_notify(3)). What else it said is passed over.
type Notice struct {
	Ready    bool // READY=1
	Alive    bool // WATCHDOG=1
	Trigger  bool // WATCHDOG=trigger: it asks to be treated as one that is not
	Status   string
	IsStatus bool // STATUS was given
}

const (
	// maxNotice is the longest message, in bytes; of a longer one the beginning is
	// read.
	maxNotice = 4096
	// maxStatus is how much of a STATUS is kept, in bytes.
	maxStatus = 1024
	// maxControl holds the most descriptors that a message can have (SCM_MAX_FD, 253), and
	// behind them who has sent it.
	maxControl = 1280
	// noticesATurn bounds what is read in one turn of the loop.
	noticesATurn = 16
	// noticesAtEnd is more than a socket holds (net.unix.max_dgram_qlen).
	noticesAtEnd = 1024
)

// notify is the socket from which a program's notices are read. It is not in the
// group of what waits for the node: a program's watchdog must not run out since the
// node does not read. The socket came with the answer to the request seq.
type notify struct {
	w   *Worker
	fd  int // -1: closed
	seq uint32
	src loop.Source
}

// watch begins to read; without a socket it does nothing.
func (n *notify) watch() (err error) {
	if n != nil {
		n.src, err = n.w.starter.loop.Watch(n.fd, loop.In, n)
	}
	return err
}

// Ready: there are notices.
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
			return // EAGAIN: there is no more
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

// last reads what is left: the program may have ended right after it.
func (n *notify) last() {
	if n != nil {
		n.read(noticesAtEnd)
	}
}

// close closes the socket and has its name removed.
func (n *notify) close() {
	if n == nil || n.fd < 0 {
		return
	}
	n.src.Remove()
	_ = unix.Close(n.fd)
	n.fd = -1
	n.w.starter.forget(n.seq)
}

// parseNotice reads lines of NAME=value; ok is false when none of them means
// anything here.
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
