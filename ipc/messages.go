package ipc

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Version is the version of the conversations; both ends must have the same.
const Version = 4

// Kind is a message's first byte.
type Kind uint8

// The kinds of messages. Only ever appended.
const (
	KindHello        Kind = 1
	KindStart        Kind = 2
	KindStartSpawner Kind = 3
	KindReady        Kind = 4
	KindFailed       Kind = 5
	KindStop         Kind = 6
	KindStopped      Kind = 7
	KindLedger       Kind = 8
	KindDrain        Kind = 9
	KindBeat         Kind = 10
	KindSpawner      Kind = 11
	KindWantSpawner  Kind = 12
	KindLink         Kind = 14 // 13 was a line of the log without a level
	KindLog          Kind = 15

	KindSpawn          Kind = 16
	KindSpawned        Kind = 17
	KindChanged        Kind = 18
	KindSignalGroup    Kind = 19
	KindGroupSignalled Kind = 20
	KindSpawnInMemfd   Kind = 21
	KindRotate         Kind = 22
	KindRotated        Kind = 23
	KindForget         Kind = 24
	KindRelease        Kind = 25
	KindLogs           Kind = 26
	KindLost           Kind = 27

	KindStartRelay Kind = 32

	KindHost     Kind = 40
	KindStanding Kind = 41

	KindAwaited Kind = 48
)

// Message is one of the types below.
type Message interface {
	kind() Kind
	write(*writer)
}

// Role says who is speaking in a Hello.
type Role uint8

// The roles that main starts.
const (
	RoleChild   Role = 1
	RoleSpawner Role = 2
	RoleRelay   Role = 3
)

func (r Role) String() string {
	switch r {
	case RoleChild:
		return "child"
	case RoleSpawner:
		return "spawner"
	case RoleRelay:
		return "relay"
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// Hello is the first message of a role: it runs, dropped, and waits.
type Hello struct {
	Version uint16
	Role    Role
	PID     uint32
}

// Start gives the child what it serves with, the connections aside: see Link. One
// descriptor comes with it: the child's end of its conversation with the spawner.
type Start struct {
	Controller    string // registered process on the node that is served
	ErluvVersion  string
	CookieSource  string // where the cookie was found, never the cookie
	User          string // what the workers run as
	UID, GID      uint32
	Allowed       []Allowed // whom programs may be run as, that user first; 255 at most; none: only that one
	MainPID       uint32
	MaxWorkers    uint32
	KillTimeoutMS uint32
	Contain       string // the containment that is in force
	Leaves        string // as in StartSpawner
	Limits        LimitDirs
	Kept          string // by what the control groups are kept from programs
	Sandbox       string // the mode, then the parts that are in force, by spaces
	SpawnerPID    uint32
	LostAfterMS   uint32   // how long a detached worker outlives the node of its owner
	Stays         bool     // the child goes on without a connection: one may come
	Reports       bool     // the spawner reports exits and signals groups: pidfds cannot
	RemoteExec    bool     // an operator may start programs
	Path          []string // of the programs that one starts
	History       uint32   // how many ends of programs are remembered
	LogRing       uint32   // bytes of a program's last output that are kept where no number is asked for
	LogRingTotal  uint64   // bytes of all of these
	// Environ is what a program may inherit from main's environment, if it is
	// asked for by name. Nothing of erluv's own is in it.
	Environ []string
}

// Link gives the child a connection to a node. The child is ready when it serves the first,
// which follows the Start; others may follow at any time. Three descriptors come with it:
// the connection, between two frames of what is written to it, its journal, and the child's
// end of its ledger's conversation. So many messages with a Ledger follow as Carried says,
// with the watches that have outlived the child before; while the child serves, other messages
// may come between these.
type Link struct {
	ID             uint32 // main's number of the connection
	Node           string // our own name on it
	Creation       uint32
	Target         string // the node that is served
	TargetCreation uint32
	Serial         uint32 // of the pids that the child gives; those before were another's
	Respawned      bool   // the node is up: another child has served it before
	Accepted       bool   // the node has made the connection
	Transport      string // "tcp", "tls" or "unix", for people
	Since          uint64 // when it was made, in milliseconds of Unix time, for people
	Operator       string // who is there, at a control socket, for people; "": it is none
	Carried        uint32
}

// LinkFDs is how many descriptors come with a Link.
const LinkFDs = 3

// Lost is the child's word that a connection has ended, and why. The child has closed it, and
// serves the others. The end of the last one is a Stopped, unless the child Stays.
type Lost struct {
	ID   uint32 // of the Link
	Text string // for people
}

// StartSpawner gives the spawner what it starts programs with. One descriptor
// comes with it: the spawner's end of its conversation with the child.
type StartSpawner struct {
	Path    []string // directories where a program without a slash is looked up
	Reports bool     // as in Start; PidfdsSuffice says whether it is needed
	Scope   bool     // each program is in a domain of its own, see package sandbox
	Deny    bool     // each is denied the system calls that an ordinary program never makes, see package sandbox
	Leaves  string   // the control group in which each program gets one of its own, a leaf; "": none
	Limits  LimitDirs
	Few     bool // only programs with limits get a leaf
	Spare   bool // a program's domain keeps it from changing control groups
}

// Ready is a role's word that it serves.
type Ready struct{}

// MaxText bounds, in bytes, what a role says for people; the rest is not sent.
const MaxText = 4096

// Failed is a role's word that it cannot, and why. Nothing follows it.
type Failed struct{ Text string }

// Stop asks the child for an orderly end: no new requests, workers stopped,
// output delivered, the connection closed.
type Stop struct{ Reason string }

// Cause is why the child stopped.
type Cause uint8

// The causes of a Stopped.
const (
	CauseAsked        Cause = 1 // by Stop, or by the node's request
	CauseDisconnected Cause = 2 // the connection has ended
)

// Stopped is the child's last message.
type Stopped struct {
	Cause Cause
	Text  string // for people
}

// Source says what a stream of a new program is.
type Source uint8

// The sources of a stream.
const (
	SourceFD   Source = 1 // the next descriptor that came with the message
	SourceNull Source = 2 // /dev/null
	SourceFile Source = 3 // Path, opened by the spawner as the worker's user
	SourceDup  Source = 4 // the same as an earlier stream: Dup

	SourceTerminal Source = 5 // Spawn.Terminal, opened by the spawner
)

// Stream is one descriptor of a new program.
type Stream struct {
	Source Source
	Dup    uint8  // SourceDup: the number of the earlier stream
	Path   string // SourceFile: as seen from the program's directory
	Write  bool   // SourceFile: written and created, otherwise read
	Append bool   // SourceFile: appended to instead of truncated
	Mode   uint32 // SourceFile: mode of a created file, before the umask
	FD     uint8  // the program's descriptor; those between two streams are closed
	Log    bool   // SourceFD: Path is opened beside it, appended to, for the child
}

// Spawn asks for a program to be started, in a session and process group of its
// own. With it come the descriptors of the streams with SourceFD, in order, the
// program's ends. A Spawn of more than MaxPacket bytes travels as SpawnInMemfd.
type Spawn struct {
	Seq     uint32
	Program string   // as asked for: looked up when it has no slash
	Path    string   // where it is looked up: see PATH in environ(7); empty: in Env's PATH, or the spawner's
	Args    []string // with the program's own name as the first
	Env     []string
	Dir     string
	Streams []Stream // 0, 1, 2, then others by FD

	Attributes Attributes
	Terminal   *Terminal // not nil: one stream has it as its source; it controls the session
	Notify     bool      // it gets a NOTIFY_SOCKET, see Spawned and Forget

	// Refused is a user as whom it may not run. Nothing is started; the answer says
	// whether there is such a user, which the child cannot look up.
	Refused string
}

// Terminal is a pseudo-terminal (pty(7)) for a new program.
type Terminal struct {
	Rows, Cols uint16
	Clear, Set Modes // of the kernel's settings, what is cleared and then set

	// Reopen: its file in /dev/pts belongs to the program's user, who can open it by
	// its name; otherwise to the spawner's keeper, if it has one.
	Reopen bool
}

// Modes are bits of a terminal's settings (termios(3)).
type Modes struct {
	Iflag, Oflag, Cflag, Lflag uint32
	Cc                         [19]byte
}

// Stage says what could not be done for a Spawn.
type Stage uint8

// The stages of starting a program.
const (
	StageNone      Stage = 0 // started
	StageProgram   Stage = 1 // look-up, fork or exec
	StageDir       Stage = 2
	StageStdin     Stage = 3
	StageStdout    Stage = 4
	StageStderr    Stage = 5
	StageFD        Stage = 6 // a further descriptor: Refusal.FD
	StageAttribute Stage = 7 // one of Attributes: Refusal.Attribute
	StageTerminal  Stage = 11
	StageNotify    Stage = 12 // the NOTIFY_SOCKET
	StageConfine   Stage = 13 // Attributes.Confine
	StageLimits    Stage = 14 // Attributes.Limits: Refusal.Limit; ENOTSUP: there is none here
	// StageUser is for a Refused, ENOENT or EPERM, and the child's own: there is no
	// spawner for the user to be had.
	StageUser Stage = 15
)

// Refusal is why a program was not started: at which stage, with which error, and of what
// there are several, for which. The zero Refusal is none.
type Refusal struct {
	Stage Stage
	Errno unix.Errno
	FD    uint8 // of StageFD
	Limit Limit // of StageLimits; NumLimits: all of them

	Attribute Attribute // of StageAttribute
}

// ErrnoOf is the error of the system that err is or wraps, or EIO.
func ErrnoOf(err error) unix.Errno {
	var e unix.Errno
	if errors.As(err, &e) {
		return e
	}
	return unix.EIO
}

// Spawned answers a Spawn. With StageNone descriptors come with it: the pidfd of the
// process, with Terminal two of the child's end of it, the files of the streams with Log,
// in order, and with Notify the socket from which what the program notifies is read.
type Spawned struct {
	Seq   uint32
	PID   uint32 // as the spawner counts: what Changed and SignalGroup call it
	OSPID uint32 // as the child counts
	Refusal
	Leaf uint32 // the program's leaf, until a Release; 0: none

	// Limited is the number of its groups in those of the LimitDirs that are of
	// version 1, until a Release; 0: none.
	Limited uint32
}

// Changed reports that a process which a Spawn started was stopped or continued
// and, on kernels whose pidfds do not tell it (before 6.15), that it has ended. It
// comes after the Spawned.
type Changed struct {
	PID    uint32
	Status uint32 // as wait(2) has it
}

// SignalGroup asks for a signal (0: only whether there is anyone) to the process
// group of a started process, on kernels whose pidfds cannot (before 6.9), and to all
// others in its leaf. With a leaf SIGKILL goes to everything in there at once.
//
// With it comes the pidfd, when the child may send no signal by it itself, since the
// process is another user's: then the group is signalled by that.
type SignalGroup struct {
	PID    uint32
	Signal uint32
	Leaf   uint32 // of Spawned
	Only   bool   // with a pidfd: to the process alone; it is answered with 0
}

// GroupSignalled answers a SignalGroup: 0, or ESRCH when nobody is left.
type GroupSignalled struct {
	PID   uint32
	Errno uint32
}

// Rotate asks for a new file in place of one that a stream with Log has filled. The
// old ones are kept as Path.1, the last, to Path.Keep.
type Rotate struct {
	Seq   uint32
	Dir   string // as in Spawn
	Umask uint32
	Path  string // as in Stream
	Mode  uint32
	Keep  uint16
}

// Rotated answers a Rotate. With Errno 0 one descriptor comes with it: the file.
type Rotated struct {
	Seq   uint32
	Errno uint32
}

// Release says which leaves are not needed any more: those that are empty, and those
// with processes that were left alone on purpose; and which groups of programs with
// limits: they are removed, when they are empty.
type Release struct {
	Empty, Left, Limited []uint32
}

// Forget says that a program with Notify is over: its socket's name is removed. It
// is not answered.
type Forget struct {
	Seq uint32 // of the Spawn
}

// Append writes m to b, as one packet.
func Append(b []byte, m Message) []byte {
	w := writer{append(b, byte(m.kind()))}
	m.write(&w)
	return w.b
}

// Decode reads one packet. The result keeps nothing of p.
func Decode(p []byte) (Message, error) {
	r := &reader{b: p}
	k := Kind(r.u8())
	if r.err != nil {
		return nil, r.err
	}
	m := read(k, r)
	if m == nil {
		return nil, fmt.Errorf("ipc: no message has the kind %d", k)
	}
	if err := r.done(); err != nil {
		return nil, fmt.Errorf("%w (in a message of kind %d)", err, k)
	}
	return m, nil
}
