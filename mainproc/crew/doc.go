// Package crew has the roles as processes: it starts child and spawner by way of a stage that
// drops their privileges, looks at what they have become, gives them what they serve with, and
// watches them until all have been reaped. It ends what they leave behind.
//
//	life.go       the life of the crews, from one to the next: a machine, which mainproc runs
//	launch.go     what crews are made by: the settings, and a start by them
//	process.go    the thread that starts processes, and one process
//	stage.go      a process of its own that drops privileges and becomes a role
//	contain.go    by which ways programs are contained
//	limits.go     the groups for programs with limits
//	crew.go       child and spawner, from their start to what they serve with
//	host.go       what each child is told of this machine; history.go: what outlives it
//	watch.go      what running roles say, and their end
//	logged.go     what they log
//	pulse.go      which of them hang; vitals.go: how they do, seen from outside
//	spawners.go   the same of spawners
//	replace.go    another spawner in place of one that was killed
//	users.go      spawners of other users
//	relays.go     relays, of which each belongs to a connection and to no crew
//	orphans.go    what roles leave behind
//	standing.go   what a dump has of a crew
//
// It knows neither the configuration, of which it is told in Settings, nor the connection
// to a node, which is whatever Connection it is handed.
package crew
