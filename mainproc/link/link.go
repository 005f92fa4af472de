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

// Link is an established connection to a node, with the data of both handshakes. One goroutine at a
// time has it: the guard's, one that gives it to a child, or a Caretaker's. Only Drain may run
// beside others: the goroutine that listens to the child calls it.
type Link struct {
	ID    uint32
	Local dist.Local // without the cookie
	Peer  dist.Peer

	transport transport // nil: it is closed

	// The field in has the bytes that main itself has read and not handled. The field skip is how
	// many of the next bytes belong to a frame to skip. If it is not 0, in is empty.
	in   []byte
	skip int

	accepted  bool      // the node has made it
	since     time.Time // when it was first given to a child, right after it was made
	self      *Self
	respawned bool     // an earlier child has served it
	carried   []string // records of observers that have outlived that child

	mu    sync.Mutex // for given: Drain may run while another goroutine gives the link
	given *given     // nil: no child has it, or main has it again

	log *slog.Logger // traces messages here; nil: none
}

// Cost is how many of main's descriptors a link takes: the connection, journal and ledger. Over TLS
// it takes both ends of the inner stream in place of the connection. The relay adds its pidfd, its
// conversation and its log's.
func Cost(overTLS bool) int {
	if overTLS {
		return 7
	}
	return 3
}

// given is what main keeps about a connection that a child has.
type given struct {
	base    position         // its position at that time
	lost    error            // why the position is unknown
	journal *journal.Journal // where the child records its own position
	ledger  *ledger          // the observers that the child has reported
}

// Give gives the connection to a child, by messages to send.
func (l *Link) Give(send func(m ipc.Message, fds ...int) error) error {
	// If the node is already closing it, the child must notice that. The link was up, and only a
	// takeover would be impossible.
	base, lost := l.transport.position()
	if lost != nil && !errors.Is(lost, errClosing) && !errors.Is(lost, errUnknown) {
		return lost
	}
	// The bytes handed over as read are the first that the journal counts.
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

// transportName returns the kind of the connection, for people.
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

// Drain reads the child's reports about observers, into buf of ipc.MaxPacket bytes.
func (l *Link) Drain(buf []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.given == nil { // the child does not have it yet
		return nil
	}
	err := l.given.ledger.drain(buf, drainAtOnce)
	l.given.ledger.slack.Happened()
	return err
}

// Keep continues the connection in place of a child that has ended, for the reason why. The child
// must have been reaped with all its threads. An error means that the connection cannot continue.
func (l *Link) Keep(why etf.Term, controller string, dieTimeout time.Duration) (*Caretaker, error) {
	s, book, err := l.remains()
	if err != nil {
		return nil, err
	}
	ticktime := time.Duration(min(book.ticktime, 1<<31)) * time.Second
	return newCaretaker(l.transport, newInterim(l, controller, dieTimeout, s, book, why), ticktime)
}

// remains returns the state in which a child has left the connection. No process writes to the
// connection, the journal or the ledger any more.
func (l *Link) remains() (stand, *ledger, error) {
	g := l.given
	if g == nil { // no child got it
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

// forget frees everything that was kept for a child.
func (l *Link) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.given != nil {
		// The next child must know which pids were given, whether or not this connection is taken
		// over. remains reports an error in the ledger.
		_ = l.given.ledger.drain(make([]byte, ipc.MaxPacket), drainAtOnce)
		l.self.used(l.given.ledger.serial)
		_ = l.given.journal.Close()
		l.given.ledger.close()
		l.given = nil
	}
}

// Shut ends the connection while a child has it, so that the child notices the end.
func (l *Link) Shut() {
	if l.transport != nil {
		l.transport.shut()
	}
}

// Client lets a client use a new connection in place of a child; see package client. The caller
// closes the link afterwards.
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

// why returns why the connection has ended, if the transport knows, or "".
func (l *Link) why() string {
	if l == nil || l.transport == nil {
		return ""
	}
	return l.transport.why()
}

// Ended returns err, the reason of the connection's end, with the transport's own reason.
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
