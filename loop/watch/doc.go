// Package watch reports what happens to files and directories, by inotify(7). It knows no Erlang:
// the Host interface hides which process watches, and where the reports go. It starts no goroutine,
// and only the loop's thread may use it.
//
// One inotify instance serves all watchers, because a user may have few (128 by default). Watchers
// of the same file share one kernel watch, and each gets its events. While the host has no room,
// nothing is read. The kernel's queue then holds the events. The kernel merges some of them, and
// reports when it had to drop any.
//
//	watcher.go  a watcher: what it watches and which kinds it wants; the interface Host
//	set.go      the instance: its turns in the loop, its share of work in each
//	event.go    the events in the kernel's queue, and what they mean
//	tell.go     an event goes to its watchers
//	tree.go     the watched directories: their paths, the watchers they belong to
//	moves.go    a renamed directory keeps its watch
//	scan.go     directories are read, to watch those in them and to report what was
//	            created before they were watched
//	lost.go     recovery after an overflow of the queue
package watch
