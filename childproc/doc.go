// Package childproc is erluv_child: it serves the connections to nodes. It runs as an unprivileged
// user, nobody by default, and has neither the cookie nor any privilege. Main connects, shakes
// hands, and watches over the child.
//
// A process of the child is an Erlang process of erluv's node. It is a program, called a worker, or a
// watcher of files, or an upload.
//
// The rooms and files, about in the order of a frame's way:
//
//	peer/           one connection: bytes in and out, ticks, back-pressure; and the state of
//	                one node: questions, flow, observers, the ledger, waiting words
//	main.go         the role: it talks to main, and connects loop, peers and manager
//	client.go       a peer with the state that waits here for room there
//	dispatch.go     a frame becomes a request to a process or an event
//	audit.go        the acts of operators are logged
//	caller.go       callers, which are answered at once or later
//	held.go         the budget for data that is kept until a later answer
//	table.go        the families of requests, a row each:
//	requests.go     to the manager
//	calls.go        to a process of the child: write, read, signal, stop, info
//	system.go       system messages
//	io.go           of the I/O protocol, to a worker as a device: put_chars, get_line
//	port.go         the messages that a port takes
//	order/          {spawn, Cmd, Opts}, {run, ...}, {watch, ...} and {put_file, ...} become an order
//	figures.go      figures for callers that ask again and again, and the counts behind them
//	files.go        failures of output files
//	manager.go      the table of workers and of clients; all decisions about them
//	signals.go      links, monitors and exit signals of workers
//	absence.go      a detached program outlives the node of its owner
//	user.go         spawners of users other than the child's
//	words.go        messages of a process, of which some replace earlier ones
//	output/         the way of output from a pipe into a frame: cut, counted, read on demand
//	output.go       its connection to a worker and its process
//	until.go        get_until: a function of the node looks for the end
//	run.go          run: output is collected instead of delivered
//	proc.go         a process of the child of any kind: its entry in the table, and its end
//	program.go      a worker: a program, from its start to its end
//	failure.go      the reason why a program was not started
//	life.go         the states of a program; for each event the next state and the deeds
//	restart.go      whether and when a program is started again
//	ready.go        when a program is ready, and whether it lives (sd_notify)
//	footprint.go    what a program makes when it is ready: a listener, a file
//	proxy.go        a process of the node that belongs to a worker
//	info.go         what info reports of erluv and of a worker
//	connections.go  what info reports of the nodes
//	host.go         the states of this host: whether new workers are started
//	status.go       requests for another state, drains, labels; what info reports of the host
//	classes.go      the programs that this host offers
//	ids.go          the ids of programs, each unique
//	machine/        load, memory and file systems, looked at on request
//	fsevents.go     watchers of files, and their messages
//	put.go          uploads: files that a node writes here, and programs in memory
//	writer.go       the process that writes a file
//	upload/         the state of an upload, and the memory of one that is no file
//	terms.go        the terms for a worker's end
//	log.go          what is logged of all this
//	ring/           the last output of programs
//	logs.go         how it gets there, and requests for it
//	history/        the last ends of programs
//	ends.go         the reasons of these ends
//	events.go       events about waiting streams, for controllers that ask for them
//	dump.go         the state of the child, logged at SIGQUIT
//
// There is one verb for each kind of end. Of a process of the child:
//
//	end       it must end with a reason, gracefully
//	kill      it must end at once
//	bury      it has ended: calls are answered, observers get signals, the table forgets it
//	decline   it never existed: its caller is answered with an error
//
// Of the program of a process, which may be started again:
//
//	fault     it violates an option, and is stopped
//	halt      the deed of end, kill and fault: the stop signal, or SIGKILL
//	Gone      it has ended (workers.Host); once all output is delivered, decide restarts it
//	          or buries the process
//	withdraw  only its caller will hear of the process, which is about to end
//
// Of a client and of the manager:
//
//	lost        a node is gone: everything that belongs to it ends
//	stop        the manager must end: all processes end
//	endIfEmpty  no process is left, and the manager has ended
//
// Only the loop's thread uses the package's data, so it has no locks.
package childproc
