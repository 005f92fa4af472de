// Package output carries a program's output from its pipes to the frames of nodes. An Output
// belongs to one process of erluv, its Host. An Outlet is the way out to one node. The package
// knows nothing of requests, nor which kind of process a Host is.
//
// The files, in the order of a byte's way:
//
//	stream.go     stdout, stderr or another output, and its receivers
//	room.go       space for the next bytes: in a begun frame, if they can go straight
//	              there (workers/output.go reads them)
//	kept.go       bytes that were read and cannot be delivered yet
//	packet.go     how output is cut into messages
//	serve.go      kept bytes go to receivers, or to waiting calls
//	receivers.go  the receivers of a stream
//	flow.go       which streams are held because a receiver does not keep up
//	outlet.go     workers and streams that wait for room with one node
//	output.go     all streams of one process
//	reader.go     calls that wait for output
//	device.go     bytes as an Erlang I/O device presents them
//
// Only the loop's thread may use the package.
package output
