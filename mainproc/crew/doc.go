// Package crew has the roles as processes. It starts child and spawner through a stage that drops
// their privileges, and checks the result. It gives them their settings, and watches them until all
// have been reaped. It ends the processes that they leave behind.
//
//	life.go       the lives of successive crews: a state machine, which mainproc runs
//	launch.go     the settings of crews, and their start
//	process.go    the thread that starts processes, and one process
//	stage.go      a process that drops privileges and becomes a role
//	contain.go    the ways to contain programs
//	limits.go     the groups for programs with limits
//	crew.go       child and spawner, from their start until they serve
//	host.go       this machine, as each child learns of it
//	history.go    the memory with the ends of programs, which outlives the child
//	watch.go      the messages of running roles, and their end
//	logged.go     their lines of the log
//	pulse.go      which of them hang
//	vitals.go     their condition, seen from outside
//	spawners.go   the messages and pulses of spawners
//	replace.go    a new spawner in place of a killed one
//	users.go      spawners of other users
//	relays.go     relays: each belongs to a connection, and to no crew
//	orphans.go    processes that roles leave behind
//	standing.go   a crew's state, for a dump
//
// It knows neither the configuration, from which it gets Settings, nor the connection to a node,
// which it gets as a Connection.
package crew
