// Package childproc is erluv_child: it serves the connections to nodes. It runs
// as nobody and holds neither the cookie nor any privilege; main has connected
// and shaken hands, and watches over it.
//
// A frame's way through the rooms:
//
//	peer/         one connection: bytes in and out, ticks, when to hold back; and what is
//	              that node's: questions, flow, observers, the ledger, words that wait
//	main.go       the role: it speaks with main, and ties loop, peers and manager together
//	client.go     a peer with what waits here for room there
//	dispatch.go   a frame becomes an event: whom it is for, what it asks
//	audit.go      what an operator does is logged
//	caller.go     who has asked, and is answered at once or later
//	held.go       the budget for what is kept for those who are answered later
//	table.go      the families of requests, a row each:
//	requests.go   to the manager,
//	calls.go      to a process of ours: write, read, signal, stop, info,
//	system.go     system messages,
//	io.go         of the I/O protocol, to a worker as a device: put_chars, get_line,
//	port.go       and the messages that a port takes
//	order/        {spawn, Cmd, Opts}, {run, ...}, {watch, ...} and {put_file, ...} become an order
//	figures.go    figures for those who look again and again, and what is counted for them
//	files.go      what goes wrong with files that output goes to
//	manager.go    the table of workers and of clients; every decision about them
//	signals.go    links, monitors and exit signals of workers
//	absence.go    a detached program outlives the node of its owner
//	user.go       spawners of other users than the child's
//	words.go      what is told of a process, each time or the last only
//	output/       the way of output from a pipe into the frame: cut, counted, read on demand
//	output.go     how that meets a worker and its process
//	until.go      get_until: a function of the node looks for the end
//	run.go        run: output collected instead of delivered
//	proc.go       a process of ours of any kind: its entry in the table, and its end
//	program.go    a worker, the one kind: a program, from its start to its end
//	failure.go    what is told of a program that was not started
//	life.go       the states of a program, which event leads where, and what is to be done
//	restart.go    whether and when a program is started again
//	ready.go      when a program is ready, and whether it lives (sd_notify)
//	footprint.go  what a program makes when it is ready: a listener, a file
//	proxy.go      a process of the node paired with a worker
//	info.go       what erluv and a worker say of themselves
//	connections.go  what info tells of the nodes
//	host.go       the states of this host: whether new workers are started
//	status.go     requests for another state, drains, labels; what info tells of the host
//	classes.go    the programs that this host offers
//	ids.go        the ids of programs, of which no two have the same
//	machine/      load, memory and file systems, looked at when somebody asks
//	fsevents.go   the other kind: watchers of files, and what they tell
//	put.go        uploads: files that a node writes here, and programs in memory
//	writer.go     the process that writes one
//	upload/       where an upload stands, and the memory of one that is no file
//	terms.go      the terms that a worker's end is told with
//	log.go        what is logged of all this
//	ring/         the last output of programs
//	logs.go       how that comes there, and who asks for it
//	history/      the last ends of programs
//	ends.go       why they have ended
//	events.go     which streams wait for receivers, for controllers that ask
//	dump.go       how the child stands, at SIGQUIT
//
// There is one verb for each kind of end. Of a process of ours:
//
//	end       it is to end with a reason, gracefully
//	kill      it is to end at once
//	bury      it has ended: calls are answered, observers are told, the table forgets it
//	decline   it never was: who has asked for it is answered with an error
//
// Of the program of one, which may be started again:
//
//	fault     it does not do what it should, and is stopped
//	halt      the deed of end, kill and fault: it is sent the stop signal, or killed
//	Gone      it is over (workers.Host); when all is delivered decide says whether it is
//	          started again or the process is buried
//	withdraw  nobody but its caller will hear of the process, which is about to end
//
// Of a client and of the manager:
//
//	lost      a node is gone: what belongs to it ends
//	stop      the manager is to end: all processes end
//	endIfEmpty  none is left, and the manager has ended
//
// Everything belongs to the one thread of the loop: nothing here is locked.
package childproc
