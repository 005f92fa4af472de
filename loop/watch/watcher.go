package watch

import (
	"strings"

	"golang.org/x/sys/unix"
)

// Kind is what has happened.
type Kind uint8

// The kinds. Overflow, Unmounted, and the end of what is watched are told to every
// watcher, the others to those who want them.
const (
	Created   Kind = iota // a name has appeared in a directory
	Modified              // written to, or truncated
	Closed                // closed by somebody who could write to it
	Attrib                // permissions, owner, times, number of links
	Renamed               // a name has gone, or come, by rename(2)
	Deleted               // a name has gone; what is watched: the last link to it
	Unmounted             // the file system has gone
	Overflow              // events were lost
	kinds
)

// Kinds is a set of kinds.
type Kinds uint16

// All holds everything that can be wanted but Closed.
const All = 1<<Created | 1<<Modified | 1<<Attrib | 1<<Renamed | 1<<Deleted

// always are the kinds that nobody has to want.
const always Kinds = 1<<Unmounted | 1<<Overflow

// With is the set with one kind more.
func (s Kinds) With(k Kind) Kinds { return s | 1<<k }

func (s Kinds) has(k Kind) bool { return s&(1<<k) != 0 }

// Host is who asks for watchers and is told. None of its methods may call the Set.
type Host interface {
	// Room says whether something can be told now. If not, nothing is until
	// Resume.
	Room() bool
	// Watching: everything is watched that could be. It comes once, before
	// anything else but Failed, and not from within Watch.
	Watching(w *Watcher)
	// Failed: it cannot be watched after all. The watcher is over.
	Failed(w *Watcher, err unix.Errno)
	// Changed tells what happened to a path, in this order. Neither may be kept.
	Changed(w *Watcher, what []Kind, path []byte)
	// Unwatched: a directory below cannot be watched.
	Unwatched(w *Watcher, err unix.Errno, path []byte)
	// Ended: what was watched is gone, which was told. The watcher is over.
	Ended(w *Watcher)
}

// Watcher watches a file, or a directory, or all that is below it. Its Set owns it.
type Watcher struct {
	// Tag is the host's.
	Tag any

	path      string
	recursive bool
	wanted    Kinds
	mask      uint32 // what is asked of the kernel
	root      *node
	live      bool // the host was told that it watches
	over      bool
	lost      bool      // an overflow is still to be told
	toScan    int       // directories to be read before all is watched
	nodes     int       // watched
	unwatched int       // directories that cannot be, so far
	refused   []refusal // of these, those to be told as soon as it is live
}

// refusal is a directory that cannot be watched.
type refusal struct {
	path string
	err  unix.Errno
}

// maxRefused is how many of them are kept until the watcher is live. Who has more
// sees their number in Unwatched.
const maxRefused = 100

// Path is what is watched, as it was given, without slashes at the end.
func (w *Watcher) Path() string { return w.path }

// Recursive says whether all below is watched too.
func (w *Watcher) Recursive() bool { return w.recursive }

// Live says whether the host was told that it watches.
func (w *Watcher) Live() bool { return w.live }

// Watched is the number of files and directories that the kernel watches for it.
func (w *Watcher) Watched() int { return w.nodes }

// Unwatched is how often a directory could not be watched.
func (w *Watcher) Unwatched() int { return w.unwatched }

// bits are the kinds as inotify(7) has them.
var bits = [kinds]uint32{
	Created: unix.IN_CREATE, Modified: unix.IN_MODIFY, Closed: unix.IN_CLOSE_WRITE, Attrib: unix.IN_ATTRIB,
	Renamed: unix.IN_MOVED_FROM | unix.IN_MOVED_TO, Deleted: unix.IN_DELETE,
}

func newWatcher(path string, wanted Kinds, recursive bool, tag any) *Watcher {
	w := &Watcher{Tag: tag, path: path, recursive: recursive, wanted: wanted | always}
	if trimmed := strings.TrimRight(path, "/"); trimmed != "" {
		w.path = trimmed
	}
	// The end of what is watched is always told. IN_EXCL_UNLINK: what goes on in
	// a file that has no name any more is not told under the name it had.
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
