// Package epmd speaks with an Erlang Port Mapper Daemon: it asks where a node
// listens, and registers a node of its own.
//
// It is a client of three requests of the chapter "EPMD Protocol" of the ERTS User's
// Guide: the port of one node (PORT_PLEASE2_REQ), the list of all names (NAMES_REQ), and
// the registration (ALIVE2_REQ), which lasts as long as its connection. [Keeper]
// registers again when EPMD has been restarted. A hidden node that only connects out
// needs no entry.
//
// The daemon is not trusted. Every answer is bounded, every length is checked before
// anything is allocated, and the caller's context bounds the time: give it a deadline,
// a silent peer is waited for as long as it allows.
package epmd
