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

// The kinds of messages. New ones are only ever appended.
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
	KindCounted  Kind = 42

	KindAwaited Kind = 48
)

// Message is one of the types below.
type Message interface {
	kind() Kind
	write(*writer)
}

// Role is the sender of a Hello.
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

// Hello is the first message of a role, which has dropped its privileges and waits.
type Hello struct {
	Version uint16
	Role    Role
	PID     uint32
}

// Start gives the child its settings. Connections come in Links. One descriptor comes with it: the
// child's end of its conversation with the spawner.
type Start struct {
	Controller    string // registered process on the node that is served
	ErluvVersion  string
	CookieSource  string // where the cookie was found, never the cookie
	User          string // the workers' user
	UID, GID      uint32
	Allowed       []Allowed // the users that programs may run as, the workers' user first; 255 at most; none: only that one
	MainPID       uint32
	MaxWorkers    uint32
	KillTimeoutMS uint32
	Contain       string // the containment in force
	Leaves        string // as in StartSpawner
	Limits        LimitDirs
	Kept          string // how control groups are protected from programs
	Sandbox       string // the mode, then the parts in force, separated by spaces
	SpawnerPID    uint32
	LostAfterMS   uint32   // how long a detached worker outlives the node of its owner
	Stays         bool     // the child continues without a connection, because one may come
	Reports       bool     // the spawner reports exits and signals groups, because pidfds cannot
	RemoteExec    bool     // an operator may start programs
	Path          []string // where the operator's programs are looked up
	History       uint32   // how many ends of programs are remembered
	LogRing       uint32   // bytes of a program's last output that are kept by default
	LogRingTotal  uint64   // bytes of all of these together
	// Environ is the part of main's environment that a program may inherit, if its options name a
	// variable. It has no variable of erluv's own.
	Environ []string
}

// Link gives the child a connection to a node. The child is ready when it serves the first one,
// which follows the Start. Others may follow at any time. Three descriptors come with it: the
// connection, its journal, and the child's end of its ledger's conversation. The connection is
// between two frames in the direction to the node. Carried messages with a Ledger follow, with the
// observers that have outlived the previous child. While the child serves, other messages may come
// between these.
type Link struct {
	ID             uint32 // main's number of the connection
	Node           string // our own name on it
	Creation       uint32
	Target         string // the node that is served
	TargetCreation uint32
	Serial         uint32 // of the child's next pids; earlier pids belong to earlier children
	Respawned      bool   // an earlier child has served this connection
	Accepted       bool   // the node has made the connection
	Transport      string // "tcp", "tls" or "unix", for people
	Since          uint64 // when it was made, in milliseconds of Unix time, for people
	Operator       string // the user at a control socket, for people; "": not an operator
	Carried        uint32
}

// LinkFDs is how many descriptors come with a Link.
const LinkFDs = 3

// Lost reports that a connection has ended, and why. The child has closed it, and serves the
// others. After the last connection the child sends Stopped instead, unless it Stays.
type Lost struct {
	ID   uint32 // of the Link
	Text string // for people
}

// StartSpawner gives the spawner its settings. One descriptor comes with it: the spawner's end of
// its conversation with the child.
type StartSpawner struct {
	Path    []string // directories where a program without a slash is looked up
	Reports bool     // as in Start; PidfdsSuffice says whether it is needed
	Scope   bool     // each program gets a domain of its own, see package sandbox
	Deny    bool     // programs are denied the system calls that an ordinary program never makes, see package sandbox
	Leaves  string   // the control group that holds a group for each program, a leaf; "": none
	Limits  LimitDirs
	Few     bool // only programs with limits get a leaf
	Spare   bool // a program's domain keeps it from changing control groups
}

// Ready reports that a role serves.
type Ready struct{}

// MaxText bounds, in bytes, the texts for people; the rest is not sent.
const MaxText = 4096

// Failed reports that a role cannot begin, and why. It is the last message.
type Failed struct{ Text string }

// Stop asks the child for an orderly end: no new requests, workers stopped, output delivered, the
// connection closed.
type Stop struct{ Reason string }

// Cause is the reason why the child stopped.
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

// Source says where a stream of a new program comes from.
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
	Path   string // SourceFile: relative to the program's directory
	Write  bool   // SourceFile: written and created, otherwise read
	Append bool   // SourceFile: appended to instead of truncated
	Mode   uint32 // SourceFile: mode of a created file, before the umask
	FD     uint8  // the program's descriptor; those between two streams are closed
	Log    bool   // SourceFD: the spawner also opens Path for appending, for the child
}

// Spawn asks the spawner to start a program in a session and process group of its own. Its
// descriptors are the program's ends of the streams with SourceFD, in order. A Spawn of more than
// MaxPacket bytes travels as SpawnInMemfd.
type Spawn struct {
	Seq     uint32
	Program string   // as requested; looked up if it has no slash
	Path    string   // its search path, as PATH in environ(7); empty: PATH of Env, or the spawner's
	Args    []string // the first is the program's own name
	Env     []string
	Dir     string
	Streams []Stream // 0, 1, 2, then others by FD

	Attributes Attributes
	Terminal   *Terminal // not nil: the source of one stream, and the session's controlling terminal
	Notify     bool      // the program gets a NOTIFY_SOCKET, see Spawned and Forget

	// Refused is a user that the program may not run as. The spawner starts nothing, and answers
	// whether the user exists, since the child cannot look users up.
	Refused string
}

// Terminal is a pseudo-terminal (pty(7)) for a new program.
type Terminal struct {
	Rows, Cols uint16
	Clear, Set Modes // flags of the kernel's settings to clear, then to set

	// Reopen gives the terminal's file in /dev/pts to the program's user, who can then open it by
	// name. Otherwise the file belongs to the spawner's keeper, if there is one.
	Reopen bool
}

// Modes are bits of a terminal's settings (termios(3)).
type Modes struct {
	Iflag, Oflag, Cflag, Lflag uint32
	Cc                         [19]byte
}

// Stage says which part of a Spawn failed.
type Stage uint8

// The stages of starting a program.
const (
	StageNone      Stage = 0 // started
	StageProgram   Stage = 1 // look-up, fork or exec
	StageDir       Stage = 2
	StageStdin     Stage = 3
	StageStdout    Stage = 4
	StageStderr    Stage = 5
	StageFD        Stage = 6 // a further descriptor, Refusal.FD
	StageAttribute Stage = 7 // one of Attributes, Refusal.Attribute
	StageTerminal  Stage = 11
	StageNotify    Stage = 12 // the NOTIFY_SOCKET
	StageConfine   Stage = 13 // Attributes.Confine
	StageLimits    Stage = 14 // one of Attributes.Limits, Refusal.Limit; ENOTSUP: not available here
	// StageUser is the answer to Refused, with ENOENT or EPERM. The child itself uses it when there
	// is no spawner for a user.
	StageUser Stage = 15
)

// Refusal says why a program was not started: the stage and the error, and which descriptor, limit
// or attribute it concerns. The zero Refusal means that it was started.
type Refusal struct {
	Stage Stage
	Errno unix.Errno
	FD    uint8 // of StageFD
	Limit Limit // of StageLimits; NumLimits: all of them

	Attribute Attribute // of StageAttribute
}

// ErrnoOf returns the system's error that err is or wraps, or EIO.
func ErrnoOf(err error) unix.Errno {
	var e unix.Errno
	if errors.As(err, &e) {
		return e
	}
	return unix.EIO
}

// Spawned answers a Spawn. With StageNone it has descriptors, as Handles lists them. These are the
// pidfd, the child's two of a Terminal, the files of streams with Log, and the socket of Notify.
type Spawned struct {
	Seq   uint32
	PID   uint32 // as the spawner numbers it; Changed and SignalGroup use this
	OSPID uint32 // as the child numbers it
	Refusal
	Leaf uint32 // the program's leaf, until a Release; 0: none

	// Limited is the number of its groups in the LimitDirs of version 1, until a Release; 0: none.
	Limited uint32
}

// Changed reports that a process of a Spawn was stopped or continued. On kernels whose pidfds do
// not tell (before 6.15) it also reports the end. It comes after the Spawned.
type Changed struct {
	PID    uint32
	Status uint32 // as from wait(2)
}

// SignalGroup asks the spawner to signal the process group of a started process, and all other
// processes in its leaf. With a leaf, the spawner leaves the group out where the child has signalled
// it by a pidfd (see Start.Reports). Signal 0 only asks whether a process is left. With a leaf
// SIGKILL goes to all its processes at once.
//
// The pidfd comes with it if the child may not use it itself, because the process is another
// user's. The spawner then signals the group by the pidfd.
type SignalGroup struct {
	PID    uint32
	Signal uint32
	Leaf   uint32 // of Spawned
	Only   bool   // with a pidfd: only the process gets the signal; the answer is always 0
}

// GroupSignalled answers a SignalGroup: 0, or ESRCH when no process is left.
type GroupSignalled struct {
	PID   uint32
	Errno uint32
}

// Rotate asks for a new file in place of one that a stream with Log has filled. The old ones become
// Path.1, the latest, to Path.Keep.
type Rotate struct {
	Seq   uint32
	Dir   string // as in Spawn
	Umask uint32
	Path  string // as in Stream
	Mode  uint32
	Keep  uint16
}

// Rotated answers a Rotate. With Errno 0 it has one descriptor, the file.
type Rotated struct {
	Seq   uint32
	Errno uint32
}

// Release returns leaves that are no longer needed: empty ones, and those with processes that were
// left alone on purpose. It also returns groups of programs with limits, which the spawner removes
// once they are empty.
type Release struct {
	Empty, Left, Limited []uint32
}

// Forget says that a program with Notify is over, so that the spawner removes its socket's name. It
// has no answer.
type Forget struct {
	Seq uint32 // of the Spawn
}

// Append appends m to b, as one packet.
func Append(b []byte, m Message) []byte {
	w := writer{append(b, byte(m.kind()))}
	m.write(&w)
	return w.b
}

// Decode decodes one packet. The result does not refer to p.
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
