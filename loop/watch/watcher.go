package watch

import (
	"strings"

	"golang.org/x/sys/unix"
)

// Kind is what has happened.
type Kind uint8

// The kinds. Each watcher gets Overflow, Unmounted and the end of the watched file, and others only
// if it wants them.
const (
	Created   Kind = iota // a name has appeared in a directory
	Modified              // written to, or truncated
	Closed                // closed by a program that could write to it
	Attrib                // permissions, owner, times, number of links
	Renamed               // a name has gone or come by rename(2)
	Deleted               // a name has gone; for the watched file: its last link
	Unmounted             // the file system has gone
	Overflow              // events were lost
	kinds
)

// Kinds is a set of kinds.
type Kinds uint16

// All has every kind that can be wanted, except Closed.
const All = 1<<Created | 1<<Modified | 1<<Attrib | 1<<Renamed | 1<<Deleted

// always has the kinds that each watcher gets.
const always Kinds = 1<<Unmounted | 1<<Overflow

// With returns the set with one more kind.
func (s Kinds) With(k Kind) Kinds { return s | 1<<k }

func (s Kinds) has(k Kind) bool { return s&(1<<k) != 0 }

// Host asks for watchers and receives their reports. None of its methods may call the Set.
type Host interface {
	// Room reports whether the host can take a report now. If not, it gets none until Resume.
	Room() bool
	// Watching reports that everything is watched that could be. It comes once, before any other
	// call but Failed, and not from within Watch.
	Watching(w *Watcher)
	// Failed reports that the path cannot be watched after all. The watcher is over.
	Failed(w *Watcher, err unix.Errno)
	// Changed reports what happened to a path, in order. The host must not keep the slices.
	Changed(w *Watcher, what []Kind, path []byte)
	// Unwatched reports a directory below that cannot be watched.
	Unwatched(w *Watcher, err unix.Errno, path []byte)
	// Ended follows the report that the watched file is gone. The watcher is over.
	Ended(w *Watcher)
}

// Watcher watches a file, a directory, or a directory and all below it. Its Set owns it.
type Watcher struct {
	// Tag belongs to the host.
	Tag any

	path      string
	recursive bool
	wanted    Kinds
	mask      uint32 // the mask for inotify_add_watch(2)
	root      *node
	live      bool // the host got Watching
	over      bool
	lost      bool      // an overflow must still be reported
	toScan    int       // directories to be read until all are watched
	nodes     int       // watched files and directories
	unwatched int       // failures to watch a directory
	refused   []refusal // directories among these to report once the watcher is live
}

// refusal is a directory that cannot be watched.
type refusal struct {
	path string
	err  unix.Errno
}

// maxRefused is how many refusals are kept until the watcher is live. Unwatched counts the others
// too.
const maxRefused = 100

// Path is the watched path, as given but without slashes at the end.
func (w *Watcher) Path() string { return w.path }

// Recursive reports whether all below is watched too.
func (w *Watcher) Recursive() bool { return w.recursive }

// Live reports whether the host got Watching.
func (w *Watcher) Live() bool { return w.live }

// Watched is the number of files and directories that the kernel watches for the watcher.
func (w *Watcher) Watched() int { return w.nodes }

// Unwatched is how often a directory could not be watched.
func (w *Watcher) Unwatched() int { return w.unwatched }

// bits are the kinds as inotify(7) defines them.
var bits = [kinds]uint32{
	Created: unix.IN_CREATE, Modified: unix.IN_MODIFY, Closed: unix.IN_CLOSE_WRITE, Attrib: unix.IN_ATTRIB,
	Renamed: unix.IN_MOVED_FROM | unix.IN_MOVED_TO, Deleted: unix.IN_DELETE,
}

func newWatcher(path string, wanted Kinds, recursive bool, tag any) *Watcher {
	w := &Watcher{Tag: tag, path: path, recursive: recursive, wanted: wanted | always}
	if trimmed := strings.TrimRight(path, "/"); trimmed != "" {
		w.path = trimmed
	}
	// Each watcher gets the end of the watched file. With IN_EXCL_UNLINK, the kernel does not
	// report events of an unlinked file under its former name.
	w.mask = unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_EXCL_UNLINK | unix.IN_MASK_ADD
	if recursive { // to follow the tree
		wanted |= 1<<Created | 1<<Deleted | 1<<Renamed | 1<<Attrib
	}
	for k, b := range bits {
		if wanted.has(Kind(k)) {
			w.mask |= b
		}
	}
	w.root = &node{w: w}
	return w
}
