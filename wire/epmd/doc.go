// Package epmd is a client of an Erlang Port Mapper Daemon. It asks for the port of a node, and
// registers a node of its own.
//
//	epmd.go      Lookup: the port of one node (PORT_PLEASE2_REQ)
//	names.go     Names: the list of all names (NAMES_REQ)
//	register.go  Register: a node of its own (ALIVE2_REQ)
//	keeper.go    Keeper: a registration that outlives EPMD
//
// It uses these three requests of the chapter "EPMD Protocol" of the ERTS User's Guide. A
// registration lasts as long as its connection. [Keeper] registers again when EPMD has been
// restarted. A hidden node that only connects out needs no entry.
//
// The package does not trust the daemon. It bounds every answer, and checks every length before it
// allocates memory. The caller's context bounds the time: give it a deadline, because it is the
// only bound on a silent peer.
package epmd
