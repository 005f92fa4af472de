// Package peer is one connection to a node, and everything that concerns this node alone. That is
// frames in both directions with their place in the journal, ticks, questions, flow control, and
// observers. It knows no workers and decides nothing about them. Package childproc is its host, and
// has a Peer for each node that it serves.
//
// A process of the child is an Erlang process of erluv's node, such as a worker.
//
//	peer.go       the socket: bytes in and out, ticks, when to hold back
//	outbox.go     the one buffer in which all frames are composed
//	output.go     output of programs, which is read directly into it
//	inbox.go      the buffer for incoming frames; both are parts of the journal
//	decode.go     how large a term from the node may be
//	words.go      what waits for room: words, answers, exit signals
//	observers.go  links and monitors of the child's processes
//	table.go      the tables that hold them
//	ledger.go     reports of them to main, before the node gets a frame
//	rex.go        questions to the node
//	flow.go       the bytes sent to its processes
//	mailbox.go    the bytes that wait for one of them, and which streams are read
//	debt.go       how many bytes of one stream may wait
//	look.go       a look at the content of a mailbox
//	trace.go      a log line for each frame
//	standing.go   the state of a peer, for a dump
//
// Only the loop's thread may use the package, so it has no locks.
package peer
