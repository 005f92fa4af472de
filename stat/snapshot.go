package stat

import "time"

// Node is erluv's data about itself: the request info.
type Node struct {
	Name, Target      string // full node names; Target "": no node
	Version           string
	Status            string // ready, standby, stopping, stopped and others: the state of the host
	User              string // of the programs
	UID, GID          uint32
	MainPID, ChildPID int
	SpawnerPID        int
	AllowUsers        []User
	Connections       []Connection
	Cookie            string // the source of the cookie, never its value
	Controller        string
	Contained         string // pidns, cgroup or group
	Reach             string // cgroup or group: how a program's processes are found
	Groups            string // owner, landlock, open or none
	Uptime            time.Duration
	Workers           int
	MaxWorkers        int
	RefusedFrames     uint64
	Sandbox           Sandbox
	Limits            []Limit
	Host              Host
}

// Connection is a connection to a node, or one that is being made.
type Connection struct {
	Node      string
	Connected bool
	Accepted  bool   // the node has opened it
	Transport string // tcp, tls or unix; "": none yet
	Since     time.Time

	Links, Monitors int // of workers, by processes of the node
	Workers         int // workers whose owner is there

	Sent, Received int64  // bytes, since the child has the connection
	Why            string // why it failed; "": not tried
}

// User is another user that programs may run as, besides Node.User.
type User struct {
	Name       string
	UID        uint32
	Group      string
	GID        uint32
	Groups     []string
	SpawnerPID int // 0: none runs
}

// Sandbox is the sandbox of the child.
type Sandbox struct {
	Mode                         string
	Seccomp, Files, Ports, Scope bool
	NoNewPrivs                   bool
	Capabilities, Dumpable       bool
}

// Limit says whether programs can have a limit on one resource.
type Limit struct {
	Name string
	Has  bool
}

// Process is a process of Erlang, of erluv or of a node. The zero Process means none.
type Process struct {
	Node                 string
	ID, Serial, Creation uint32
}

// Program is a worker. Detail is nil if the request asked only for data that costs nothing.
type Program struct {
	Worker   Process
	ID       string  // given by its caller; "": none
	Class    string  // "": without a class
	Caller   Process // of a run; the zero Process: it is not a run
	PID      int     // 0: not started
	Command  []string
	User     string
	State    string
	Started  time.Time // zero: not started
	Restarts int
	*Detail
}

// Detail is data that needs /proc and control groups.
type Detail struct {
	Ready    *Ready // nil: it has no condition
	Name     string // "": none
	Owner    Process
	Detached bool
	Lost     *Lost  // nil: the owner's node is connected, as far as is known
	Restart  string // temporary, transient or permanent
	Packet   Packet
	Active   Active
	CPU      *time.Duration // of all its threads; nil: it does not run
	RSS      *int64         // bytes; nil: it does not run
	Counted  Counted
	Stdin    Stream
	Stdout   Stream
	Stderr   Stream
	Further  []Stream // for other descriptors
}

// Ready tells whether the program is ready, and its own words about its state.
type Ready struct {
	Is     bool
	Status string
}

// Packet is the way that output is divided: raw, by lines of at most Max bytes, or by headers of
// Header bytes.
type Packet struct {
	Max, Header int
	List        bool // lines come as lists
}

// Active is the way that output is delivered: a word (auto, true, false, once), or a number of
// messages.
type Active struct {
	Word  string
	Count int
}

// Counted has the counts of a program's control groups, with all descendants. -1 means not counted.
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
	Waiting *int64 // bytes that wait to be written; nil: not an input
	Output  bool   // it is delivered, so Held has a meaning
	Held    *Held  // nil: no receiver holds it
}

// Held is the receiver that a stream waits for.
type Held struct {
	By    Process
	Bytes int64 // the maximum for it, in bytes
	Queue int   // the length of its queue at the last answer of the node
	Since time.Duration
	Lost  int64 // bytes that were not sent to it
}

// Lost is the owner of a program whose node is gone, and the time until which the program is kept.
type Lost struct {
	Owner        Process // the zero Process: there was no owner
	Since, Until time.Time
}

// Watcher is a watcher of files.
type Watcher struct {
	Worker    Process
	State     string
	Started   time.Time
	Path      string
	Recursive bool

	// These fields are only in the answer for one watcher.
	All       bool
	Name      string
	Owner     Process
	Detached  bool
	Watched   int
	Unwatched int
}
