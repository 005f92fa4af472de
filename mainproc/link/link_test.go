package link

import (
	"errors"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

// mute is a transport that does not know its position.
type mute struct{ plain }

func (mute) position() (position, error) { return position{}, errUnknown }

// TestGive: the child gets the right messages and descriptors. In the end nothing of these is left.
func TestGive(t *testing.T) {
	fd, _ := pair(t)
	l := testConnection()
	l.ID, l.transport, l.self.serial, l.carried = 7, plain{fd}, 3, []string{testName.Record()}
	if err := l.Drain(make([]byte, ipc.MaxPacket)); err != nil {
		t.Errorf("before: %v", err)
	}
	var said []ipc.Message
	err := l.Give(func(m ipc.Message, fds ...int) error {
		if _, ok := m.(ipc.Link); ok && (len(fds) != ipc.LinkFDs || fds[0] != fd) {
			t.Errorf("%d descriptors: %v", len(fds), fds)
		}
		said = append(said, m)
		return nil
	})
	if err != nil || len(said) != 2 {
		t.Fatalf("%v, %v", said, err)
	}
	if want := (ipc.Link{
		ID: 7, Node: "us@h", Creation: 4, Target: "them@h", TargetCreation: 9, Serial: 3, Transport: "tcp", Since: uint64(l.since.UnixMilli()), Carried: 1,
	}); said[0] != want || time.Since(l.since) > time.Hour {
		t.Errorf("%+v, want %+v", said[0], want)
	}
	if err := l.Drain(make([]byte, ipc.MaxPacket)); err != nil {
		t.Error(err)
	}
	s, book, err := l.remains()
	if err != nil || len(s.Out)+len(s.In)+s.Skip != 0 || book.observers[testName.Record()] != 1 || l.given != nil {
		t.Errorf("%+v, %+v, %v", s, book, err)
	}
	if next := l.self.next(); next != 4 {
		t.Errorf("the next child begins with serial %d", next)
	}
	broken := errors.New("broken")
	if err := l.Give(func(ipc.Message, ...int) error { return broken }); err != broken {
		t.Error(err)
	}
	l.transport = nil // the test owns the descriptor
	l.forget()
	l.Close()
}

// TestGiveErrors: a connection is not given if the kernel does not tell its position. It is given
// if it is ending, or can never tell its position.
func TestGiveErrors(t *testing.T) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[1])
	give := func(x transport) error {
		l := testConnection()
		l.transport = x
		given := false
		err := l.Give(func(ipc.Message, ...int) error { given = true; return nil })
		if _, tcp := x.(plain); given != (err == nil) || !tcp && !given {
			t.Errorf("given: %t, %v", given, err)
		}
		if err == nil {
			_, err = l.Keep(etf.Atom("why"), "erluv", time.Second)
		}
		l.forget()
		return err
	}
	wantError(t, "no TCP", give(plain{p[0]}), "TCP_INFO")
	wantError(t, "never", give(mute{plain{p[0]}}), "not known where the connection stands")
	fd, node := pair(t)
	_ = node.SetLinger(0)
	_ = node.Close()
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}, int(waitBound.Milliseconds()))
	wantError(t, "closed", give(plain{fd}), "being closed")
	l := testConnection()
	l.transport = plain{p[0]}
	l.Close()
	l.Close()
	var none *Link
	none.Close()
	if err := unix.Fstat(p[0], &unix.Stat_t{}); err != unix.EBADF {
		t.Errorf("it is not closed: %v", err)
	}
}

// TestRemains: what continues if no child got the connection, and if its ledger is broken.
func TestRemains(t *testing.T) {
	l := testConnection()
	l.in, l.skip, l.carried = []byte{1, 2}, 0, []string{testName.Record()}
	s, book, err := l.remains()
	if err != nil || string(s.In) != "\x01\x02" || book.observers[testName.Record()] != 1 {
		t.Errorf("%+v, %+v, %v", s, book, err)
	}
	book, theirs, err := ledgerPair(0)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if err := theirs.TrySend([]byte{0xff}); err != nil {
		t.Fatal(err)
	}
	l.given = &given{journal: journalEmpty(t), ledger: book}
	_, err = l.Keep(etf.Atom("why"), "erluv", time.Second)
	wantError(t, "broken ledger", err, "sent a forbidden message")
}

// TestScarceDescriptors: without a free descriptor there is no caretaker.
func TestScarceDescriptors(t *testing.T) {
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	l := testConnection()
	l.transport = mute{}
	scarce := was
	scarce.Cur = 0
	err := unix.Setrlimit(unix.RLIMIT_NOFILE, &scarce)
	_, no := l.Keep(etf.Atom("why"), "erluv", time.Second)
	if err := errors.Join(err, unix.Setrlimit(unix.RLIMIT_NOFILE, &was)); err != nil {
		t.Fatal(err)
	}
	wantError(t, "no descriptor", no, "cannot make an eventfd")
}
