package link

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"sync"
	"time"

	"erluv/ipc"
	"erluv/ipc/journal"
	"erluv/wire/client"
	"erluv/wire/dist"
	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

// Link is an established connection to the node, with what both sides have said of
// themselves. One goroutine at a time has it: the guard's, or one that gives it to a child,
// or that of a Caretaker. Only Drain is called beside others, by who listens to the child.
type Link struct {
	ID    uint32
	Local dist.Local // without the cookie
	Peer  dist.Peer

	transport transport // nil: it is closed

	// What main itself has read and not handled, at the end of a frame or within
	// one; or how many of the next bytes belong to a frame that is passed over.
	in   []byte
	skip int

	accepted  bool      // the node has made it
	since     time.Time // when it was given first, which is as soon as it is there
	self      *Self
	respawned bool     // another child has served it before
	carried   []string // records of observers that have outlived that one

	mu    sync.Mutex // for given: Drain may come while another goroutine gives the link
	given *given     // nil: no child has it, or main has it back

	log *slog.Logger // of what crosses here; nil: nobody wants it
}

// Cost is how many descriptors of main a link takes: the connection, journal and ledger. Over TLS it
// takes both ends of the inner stream in place of the connection, and of the relay its pidfd, its
// conversation, and that of its log.
func Cost(overTLS bool) int {
	if overTLS {
		return 7
	}
	return 3
}

// given is what main keeps of a connection that a child has.
type given struct {
	base    position         // where it stood then
	lost    error            // why that is not known
	journal *journal.Journal // where the child says how it stands
	ledger  *ledger          // whom it has told of
}

// Give gives the connection to a child, which send speaks to.
func (l *Link) Give(send func(m ipc.Message, fds ...int) error) error {
	// One that the node closes already is the child's to find so: it was up, and
	// nothing could be taken over.
	base, lost := l.transport.position()
	if lost != nil && !errors.Is(lost, errClosing) && !errors.Is(lost, errUnknown) {
		return lost
	}
	// What is handed over as read is the first that the journal counts.
	base.read -= uint64(len(l.in))
	j, err := journal.New(l.in, l.skip)
	if err != nil {
		return err
	}
	serial := l.self.next()
	book, theirs, err := ledgerPair(serial)
	if err != nil {
		_ = j.Close()
		return err
	}
	defer theirs.Close()
	if l.log != nil {
		ipc.Trace(book.conn, l.log, "child's ledger")
	}
	carried := book.carry(l.carried)
	if l.since.IsZero() {
		l.since = time.Now()
	}
	l.mu.Lock()
	l.given = &given{base: base, lost: lost, journal: j, ledger: book}
	l.mu.Unlock()
	err = send(ipc.Link{
		ID: l.ID, Node: l.Local.Name, Creation: l.Local.Creation,
		Target: l.Peer.Name, TargetCreation: l.Peer.Creation,
		Serial: serial, Respawned: l.respawned, Accepted: l.accepted, Transport: l.transportName(), Since: uint64(l.since.UnixMilli()), Operator: l.Operator(), Carried: uint32(len(carried)),
	}, l.transport.descriptor(), j.FD(), theirs.FD())
	for i := 0; i < len(carried) && err == nil; i++ {
		err = send(carried[i])
	}
	return err
}

// transportName is what carries the connection, for people.
func (l *Link) transportName() string {
	if l.Local.TLS {
		return "tls"
	}
	to, err := unix.Getsockname(l.transport.descriptor())
	if _, local := to.(*unix.SockaddrUnix); err == nil && local {
		return "unix"
	}
	return "tcp"
}

// Drain reads what the child has told of observers, into buf of ipc.MaxPacket bytes.
func (l *Link) Drain(buf []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.given == nil { // the child has it not yet
		return nil
	}
	err := l.given.ledger.drain(buf, drainAtOnce)
	l.given.ledger.slack.Happened()
	return err
}

// Keep goes on with the connection in place of a child that has ended, which is why, and
// was reaped with all of its threads. An error: it cannot be gone on with.
func (l *Link) Keep(why etf.Term, controller string, dieTimeout time.Duration) (*Caretaker, error) {
	s, book, err := l.remains()
	if err != nil {
		return nil, err
	}
	ticktime := time.Duration(min(book.ticktime, 1<<31)) * time.Second
	return newCaretaker(l.transport, newInterim(l, controller, dieTimeout, s, book, why), ticktime)
}

// remains is how a child has left the connection. Nobody writes to it, to the journal or
// to the ledger any more.
func (l *Link) remains() (stand, *ledger, error) {
	g := l.given
	if g == nil { // no child was given it
		book := newLedger(nil, l.self.next())
		book.carry(l.carried)
		return stand{In: l.in, Skip: l.skip}, book, nil
	}
	defer l.forget()
	if err := g.ledger.drain(make([]byte, ipc.MaxPacket), math.MaxInt); err != nil {
		return stand{}, nil, err
	}
	if g.lost != nil {
		return stand{}, nil, g.lost
	}
	s, err := standing(l.transport, g.base, g.journal)
	return s, g.ledger, err
}

// forget frees what is kept of a child.
func (l *Link) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.given != nil {
		// The next child must know which pids were given, whether this connection is
		// taken over or not. An error is told by who reads the ledger to go by it.
		_ = l.given.ledger.drain(make([]byte, ipc.MaxPacket), drainAtOnce)
		l.self.used(l.given.ledger.serial)
		_ = l.given.journal.Close()
		l.given.ledger.close()
		l.given = nil
	}
}

// Shut ends the connection while a child has it: the child finds that it has ended.
func (l *Link) Shut() {
	if l.transport != nil {
		l.transport.shut()
	}
}

// Client has a connection that was made just now used by a client in place of a child; see
// package client. The link is closed after it.
func (l *Link) Client(deliver func(etf.Term)) (*client.Client, error) {
	fd, err := unix.FcntlInt(uintptr(l.transport.descriptor()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot take the connection's descriptor: %w", err)
	}
	file := os.NewFile(uintptr(fd), "connection")
	defer file.Close() // net has another one
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("cannot use the connection: %w", err)
	}
	return client.New(conn, l.Local, l.Peer, deliver), nil
}

// why is why the connection has ended, if the transport knows it, or "".
func (l *Link) why() string {
	if l == nil || l.transport == nil {
		return ""
	}
	return l.transport.why()
}

// Ended is err, why the connection has ended, with what the transport knows of it.
func (l *Link) Ended(err error) error {
	if why := l.why(); why != "" && err != nil {
		return fmt.Errorf("%w (TLS: %s)", err, why)
	}
	return err
}

// Close closes our side of the connection.
func (l *Link) Close() {
	if l == nil || l.transport == nil {
		return
	}
	l.forget()
	l.transport.close()
	l.transport = nil
}
