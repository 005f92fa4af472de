// Package workers runs one operating-system program for each Worker. It has the program started,
// reads its output, writes its input, and ends it with everything that it started. It knows no
// Erlang: the Host interface hides which process asked for the worker, and where its output goes.
//
// The files:
//
//	worker.go   Worker, Spec and Host; it carries out the actions of state.go
//	state.go    a worker's life as a table: state × event → state, actions
//	limits.go   how long a program may run, and be silent
//	stop.go     the graceful stop: one signal, or a sequence of steps
//	notify.go   the notices of a program (sd_notify)
//	sender.go   whether a notice comes from the program
//	oom.go      control groups for programs with limits
//	counted.go  what the kernel counts in them
//	starter.go  the conversation with the spawner; a bounded number of requests
//	demand.go   the spawner of another user, which exists while it is needed
//	another.go  another spawner in place of a killed one
//	standing.go the state of a starter, for a dump
//	short.go    what is done when epoll or descriptors run short
//	busy.go     a program whose file is being written is tried again
//	process.go  one process: its end, signals to it and its group, by pidfd
//	leaf.go     the control group of a program and all its descendants
//	output.go   stdout and stderr: from the pipe into space of the host
//	pipes.go    how the pages that a user's pipes may hold are shared out
//	input.go    stdin: what waits to be written, within limits
//	extra.go    pipes beyond these three
//	image.go    a program in memory
//	log.go      output to a file, with its rotation
//	terminal.go a terminal in place of the three pipes
//	modes.go    the settings of a terminal
//
// Only the loop's thread may use the package.
package workers
