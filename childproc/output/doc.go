// Package output is the way of a program's output from its pipes to the frames of nodes. An
// Output belongs to one process of ours, which is its Host; an Outlet is where output leaves to
// one node. Nothing here knows of requests, or of who a process is.
//
// A byte's way:
//
//	stream.go     stdout, stderr or another output: whom it goes to
//	room.go       space for what is read next: that of a frame which has been begun, when it can
//	              go straight there (workers/output.go reads it)
//	kept.go       what is read and cannot be delivered yet
//	packet.go     how it is cut into messages
//	serve.go      what is kept goes to receivers, or to calls that wait
//	receivers.go  those who are sent a stream
//	flow.go       which streams are held back, since a receiver does not keep up
//	outlet.go     what waits for room with one node
//	output.go     all streams of one process
//	reader.go     calls that wait for output
//	device.go     what an Erlang I/O device makes of bytes
//
// Everything belongs to the one thread of the loop.
package output
