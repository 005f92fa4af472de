// Package ipc has the conversations between erluv's own processes: the messages and their encoding,
// and the socket that carries them and their descriptors. It decides nothing, and knows neither
// Erlang nor the configuration. mainproc, childproc and spawner speak through it.
//
// Every conversation is an AF_UNIX SEQPACKET socket pair. One message is one packet, so the kernel
// neither splits nor joins messages. Each role finds its end of the conversation with main on
// descriptor 3.
//
//	main                                     child (and spawner alike)
//	  │  stage, exec                            │
//	  │ ◄──────────── Hello{version, role, pid} │
//	  │  looks at /proc/pid: nobody, no         │
//	  │  capabilities, no_new_privs             │
//	  │ Logs{level} + [log] ──────────────────► │
//	  │ Start{...} + [spawner] ───────────────► │      to the child
//	  │ Host{...} ────────────────────────────► │      the same
//	  │ Link{id, ...} + [connection, journal,   │      the same: the first, others at any
//	  │                  ledger] ─────────────► │      time later
//	  │ Ledger{...} × Link.Carried ───────────► │
//	  │ StartSpawner{...} + [child] ──────────► │      to the spawner
//	  │ ◄──────────────────── Ready | Failed{…} │
//	  │                                         │  serves
//	  │ Spawner{user, pid} + [spawner] ───────► │      to the child only, when
//	  │                                         │      its spawner was killed, or
//	  │ ◄────────────── WantSpawner{user}       │      when it wants one for another
//	  │                                         │      user, and when that has ended
//	  │ ◄────────────── Standing{wish, meta}    │      from the child only: requests have
//	  │                                         │      changed it; main keeps the last one
//	  │ ◄──────────────────── Lost{id, text}    │      from the child only: a connection has
//	  │                                         │      ended, and the child continues
//	  │ Beat{} ───────────────────────────────► │      every two seconds
//	  │ ◄──────────────────── Counted{programs} │      from the child only, before its answer,
//	  │                                         │      if the number has changed
//	  │ ◄──────────────────────────────── Beat{}│
//	  │ Awaited{nodes} ───────────────────────► │      to the child only, when it changes
//	  │ Stop{reason} ─────────────────────────► │      to the child only
//	  │ ◄────────────────── Stopped{cause, …}   │      from the child only
//	  ·                                         ·
//
//	main                                     child, on a link's ledger's socket, which
//	  │                                         │ main does not watch
//	  │ ◄───────────── Ledger{added, removed}   │  before the frames that depend on it
//	  │ ◄──────────── Drain{}, on descriptor 3  │  now and then: main reads the ledger
//	  ·                                         ·  main reads the rest after the child's death
//
//	main                                     any role, on its log's socket
//	  │ ◄────────── Log{level, text, attributes}│  the role drops lines while it is full
//	  ·                                         ·  main reads at a bounded rate
//
//	child                                    spawner
//	  │ Spawn{seq, ...} + [streams] ──────────► │  opens files, forks, execs
//	  │ ◄── Spawned{seq, pid} + [pidfd]         │
//	  │     Spawned{seq, stage, errno}          │  nothing was started
//	  │ SignalGroup{pid, sig, leaf, only} ────► │  where the child's pidfd cannot do
//	  │             + [pidfd], another user's   │  it: before 6.9, for a leaf, and for
//	  │ ◄──────── GroupSignalled{pid, errno}    │  another user's process
//	  │ Release{leaves} ──────────────────────► │  these are no longer needed
//	  │ ◄───────────────── Changed{pid, status} │  stopped or continued; ended, where
//	  │                                         │  a pidfd does not show that (before 6.15)
//	  │ Rotate{seq, path, ...} ───────────────► │  renames, opens
//	  │ ◄───────────────── Rotated{seq} + [file]│
//	  ·  end of file                            ·  ends every process it started, then itself
//
//	main                                     relay
//	  │ ◄──────────── Hello{version, role, pid} │
//	  │ Logs{level} + [log] ──────────────────► │
//	  │ StartRelay{...} + [connection, inner,   │
//	  │          counters, material] ─────────► │  TLS's handshake
//	  │ ◄──────────────────── Ready | Failed{…} │
//	  │ Beat{} ───────────────────────────────► │
//	  │ ◄──────────────────────────────── Beat{}│
//	  │ ◄────────────── Stopped{disconnected, …}│  before it shuts the inner stream down
//	  ·                                         ·
//
// Package mainproc/permit has the table of the messages that main accepts, from which role and
// when. No process can send main a descriptor (Conn.NoDescriptors).
//
// A message is its kind in one byte, then its fields in the order of the type. Integers are
// little-endian; strings and lists follow their length. Decoders refuse an unknown kind, a length
// beyond the packet and a trailing byte. Kinds are only ever appended. A change of a kind's meaning
// raises Version. Both ends come from one binary, so another version is refused.
//
//	conn.go        the socket: packets and descriptors, with and without waiting
//	greet.go       how a role begins its conversation with main
//	messages.go    the messages of main, child and spawner, and their kinds
//	codec.go       how they are written and read
//	wire.go        how their fields are written and read
//	trace.go       a line in the log for each message
//	awaited.go     to the child: nodes that main tries to reach
//	host.go        to the child: the machine, and classes of programs; its standing
//	users.go       to the child: users of programs, and their spawners
//	ledger.go      from the child: observers that must learn of its death
//	log.go         from each role: lines of the log
//	dump.go        SIGQUIT makes a role log its tables
//	attributes.go  attributes of a new program
//	confine.go     its confinement
//	allow.go       groups of system calls that it may make
//	limits.go      its limits, and where their control groups are
//	handles.go     its descriptors for the child
//	memfd.go       a Spawn that is larger than a packet
//	upload.go      a file that the role upload writes
//	relay.go       to the relay: a connection, and certificates
//	links.go       how many connections there may be
//	kernel.go      what this kernel's pidfds can do
//	journal/       the memory with the child's frames
//	counters/      the memory with the relay's counts
package ipc
