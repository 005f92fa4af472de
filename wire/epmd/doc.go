// Package epmd asks an Erlang Port Mapper Daemon where a node listens.
//
// It is a client of the two questions that anybody may ask: the port of one
// node (PORT_PLEASE2_REQ) and the list of all names (NAMES_REQ), as the "EPMD
// Protocol" section of the ERTS User's Guide describes them. It registers
// nothing: a hidden node that only connects out needs no entry.
//
// Whoever answers is not trusted. Every answer is bounded, every length is
// checked before anything is allocated, and the caller's context bounds the
// time: give it a deadline, a silent peer is waited for as long as it allows.
package epmd
