// Package watch tells what happens to files and directories, by inotify(7). It
// knows no Erlang: who watches, and where the news goes, is behind the Host
// interface. It starts no goroutine; everything belongs to the thread of the loop.
//
// One inotify instance serves all watchers, for a user may have few (128 by
// default). What two of them watch has one watch of the kernel's, and each is
// told. While the host has no room nothing is read: the kernel's queue is the
// queue, the kernel merges what it can, and says so when it has to drop events.
//
//	watcher.go  a watcher: what it watches, what it wants to be told
//	set.go      the instance: its turns in the loop, its share of work in each
//	event.go    what is in the kernel's queue, and what it says
//	tell.go     an event finds its watchers
//	tree.go     directories that are watched: where they are, who watches them
//	moves.go    a directory that is renamed keeps its watch
//	scan.go     directories are read: to watch what is in them, and to tell what
//	            was created before they were watched
//	lost.go     after an overflow of the queue
package watch
