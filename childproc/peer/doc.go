// Package peer is one connection to a node, and what belongs to it alone: frames in and
// out with their place in the journal, and ticks. It knows no workers and decides nothing
// about them: childproc is its host.
//
//	peer.go    the socket: bytes in and out, ticks, when to hold back
//	outbox.go  the one buffer in which all frames are composed
//	inbox.go   the one into which they are read; both are rooms of the journal
//
// Everything belongs to the one thread of the loop: nothing here is locked.
package peer
