// Package peer is one connection to a node, and what belongs to it alone: frames in and
// out with their place in the journal, ticks, questions, flow, observers. It knows no
// workers and decides nothing about them: package childproc is its host, and has a Peer for
// each node that it serves.
//
//	peer.go       the socket: bytes in and out, ticks, when to hold back
//	outbox.go     the one buffer in which all frames are composed
//	output.go     output of programs, which is read straight into it
//	inbox.go      the one into which frames are read; both are rooms of the journal
//	decode.go     how large a term of the node may be
//	words.go      what waits for room: words, answers, exit signals
//	observers.go  links and monitors of our processes; table.go: how they are kept
//	ledger.go     what main is told of these, before the node is
//	rex.go        questions to the node
//	flow.go       what its processes are sent
//	mailbox.go    what waits for one of them, and which streams are read: a state machine
//	debt.go       how much of one stream that may be
//	look.go       a look at the content of a mailbox
//	trace.go      a line of the log for each frame; standing.go: what a dump has of a peer
//
// Everything belongs to the one thread of the loop: nothing here is locked.
package peer
