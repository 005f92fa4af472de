// Package workers runs one operating-system program for each Worker: it has it
// started, reads what it writes, feeds it, and ends it with everything that it
// started. It knows no Erlang: who asked for the worker, and where its output
// goes, is behind the Host interface.
//
// The rooms within the room:
//
//	state.go    a worker's life as a table: state × event → state, actions
//	worker.go   carries the actions out
//	limits.go   the times that a program may take
//	stop.go     a stop sequence of the caller's own
//	notify.go   what a program says of itself (sd_notify); sender.go: whether it is its word
//	oom.go      groups for programs with limits; counted.go: what the kernel counts in them
//	starter.go  the conversation with the spawner; a bounded number under way
//	demand.go   the spawner of another user, which is there while it is needed
//	standing.go what a dump has of a starter
//	short.go    when there is no more of something
//	busy.go     a program that is just being written is tried again
//	process.go  one process: its end, signals to it and to its group, by pidfd
//	another.go  another spawner in place of one that was killed
//	leaf.go     the control group of a process and of all that it has started
//	output.go   stdout and stderr: from the pipe into the space the host gives
//	pipes.go    what the pipes of one user may hold is shared out
//	input.go    stdin: what is waiting to be written, bounded
//	extra.go    pipes beyond these three
//	image.go    a program that is in memory
//	log.go      output that goes to a file, with its rotation
//	terminal.go a terminal in place of the three pipes; modes.go: its settings
//
// Everything belongs to the thread of the loop.
package workers
