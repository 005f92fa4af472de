// Package childproc is erluv_child: it serves the connection to the node. It runs
// as nobody and holds neither the cookie nor any privilege; main has connected
// and shaken hands, and watches over it.
//
// A frame's way through the rooms:
//
//	conn.go       the socket: bytes in and out, ticks, when to hold back
//	dispatch.go   a frame becomes an event: whom it is for, what it asks
//	order/        {spawn, Cmd, Opts}, {run, ...} and {watch, ...} become an order
//	files.go      what goes wrong with files that output goes to
//	manager.go    the table of workers; every decision about them
//	calls.go      what a worker is asked: write, signal, stop, info, the port protocol
//	signals.go    links, monitors and exit signals of workers
//	ledger.go     what main is told of links and monitors, before the node is
//	flow.go       how much a receiver is sent, by what waits for it
//	packet.go     how output is cut into messages
//	stream.go     output that is cut, counted, or read on demand
//	io.go         a worker as an I/O device: io:put_chars, io:get_line
//	deliver.go    what a program writes becomes a message: from its pipe straight
//	              into the frame (workers/output.go reads it there)
//	run.go        run: output collected instead of delivered
//	proc.go       a worker as a process, from its start to its end
//	failure.go    what is told of a program that was not started
//	restart.go    whether and when a program is started again
//	ready.go      when a program is ready, and whether it lives (sd_notify)
//	footprint.go  what a program makes when it is ready: a listener, a file
//	receivers.go  those who are sent a stream
//	proxy.go      a process of the node paired with a worker
//	rex.go        questions to the node
//	info.go       what erluv and a worker say of themselves
//	fsevents.go   watchers of files, and what they tell
//	memory.go     what is given back when many workers have come or gone
//	outbox.go     the one buffer in which all frames are composed
//	inbox.go      the one into which they are read; both are rooms of the journal
//
// Everything belongs to the one thread of the loop: nothing here is locked.
package childproc
