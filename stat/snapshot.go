package stat

import "time"

// Node is what erluv says of itself: the request info.
type Node struct {
	Name, Target      string // full node names; Target "": of no node
	Version           string
	Status            string // ready, standby, stopping, stopped and others: where the host stands
	User              string // of the programs
	UID, GID          uint32
	MainPID, ChildPID int
	SpawnerPID        int
	AllowUsers        []User
	Connections       []Connection
	Cookie            string // where it was found, never what it is
	Controller        string
	Contained         string // pidns, cgroup or group
	Reach             string // cgroup or group: by what a program's processes are found
	Groups            string // owner, landlock, open or none
	Uptime            time.Duration
	Workers           int
	MaxWorkers        int
	RefusedFrames     uint64
	Sandbox           Sandbox
	Limits            []Limit
	Host              Host
}

// Connection is one to a node, or one that is being made.
type Connection struct {
	Node      string
	Connected bool
	Accepted  bool   // the node has made it
	Transport string // tcp, tls or unix; "": there is none yet
	Since     time.Time

	Links, Monitors int // of workers, by processes of the node
	Workers         int // whose owner is there

	Sent, Received int64  // bytes, since the child has it
	Why            string // it could not be made; "": it was not tried
}

// User is one that programs may be run as besides Node.User.
type User struct {
	Name       string
	UID        uint32
	Group      string
	GID        uint32
	Groups     []string
	SpawnerPID int // 0: none runs
}

// Sandbox is what confines the child.
type Sandbox struct {
	Mode                         string
	Seccomp, Files, Ports, Scope bool
	NoNewPrivs                   bool
	Capabilities, Dumpable       bool
}

// Limit says of one resource whether a program can have a limit of it.
type Limit struct {
	Name string
	Has  bool
}

// Process is a process of Erlang, ours or a node's. The zero Process is none.
type Process struct {
	Node                 string
	ID, Serial, Creation uint32
}

// Program is what is told of a worker. Detail is nil where only what costs nothing was
// asked for.
type Program struct {
	Worker   Process
	ID       string  // that its caller has given it; "": none
	Class    string  // "": none's
	Caller   Process // of a run; the zero Process: it is none
	PID      int     // 0: it has not started
	Command  []string
	User     string
	State    string
	Started  time.Time // zero: it has not
	Restarts int
	*Detail
}

// Detail is what takes a look into /proc and into control groups.
type Detail struct {
	Ready    *Ready // nil: it has no condition
	Name     string // "": none
	Owner    Process
	Detached bool
	Lost     *Lost  // nil: the owner's node is there, as far as is known
	Restart  string // temporary, transient or permanent
	Packet   Packet
	Active   Active
	CPU      *time.Duration // of all its threads; nil: it does not run
	RSS      *int64         // bytes; nil: it does not run
	Counted  Counted
	Stdin    Stream
	Stdout   Stream
	Stderr   Stream
	Further  []Stream // of other descriptors
}

// Ready is whether the program has become ready, and what it says of its state.
type Ready struct {
	Is     bool
	Status string
}

// Packet is how output is cut: raw, or by lines of Max bytes, or by headers of so many
// bytes.
type Packet struct {
	Max, Header int
	List        bool // lines come as lists
}

// Active is how output is delivered: a word (auto, true, false, once), or so many
// messages.
type Active struct {
	Word  string
	Count int
}

// Counted is what the control groups have counted of a program and all that it has
// started; -1: nobody counts it.
type Counted struct {
	Memory, MemoryPeak int64 // bytes
	OOMKills           int64
	Processes          int64
	CPU                int64 // milliseconds
}

// Stream is one of a program's streams.
type Stream struct {
	No      int
	Open    bool
	Bytes   int64
	Waiting *int64 // bytes that wait to be written; nil: it is not for input
	Output  bool   // it is delivered, so Held means something
	Held    *Held  // nil: nobody holds it
}

// Held is the receiver that a stream waits for.
type Held struct {
	By    Process
	Bytes int64 // that wait for it at most
	Queue int   // the length of its queue when the node was asked last
	Since time.Duration
	Lost  int64 // bytes that it was not sent
}

// Lost is the owner of a program whose node is gone, and until when the program is kept.
type Lost struct {
	Owner        Process // the zero Process: there was none
	Since, Until time.Time
}

// Watcher is what is told of a watcher of files.
type Watcher struct {
	Worker    Process
	State     string
	Started   time.Time
	Path      string
	Recursive bool

	// What is told to those who ask for one alone.
	All       bool
	Name      string
	Owner     Process
	Detached  bool
	Watched   int
	Unwatched int
}
