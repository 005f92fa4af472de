package watch

import "golang.org/x/sys/unix"

// event handles the next event, and those that can be reported with it. Each node knows up to which
// position it was served. So if the host has no room for all watchers of the file, the others
// follow in the next turn.
func (s *Set) event() {
	e, end := s.gather()
	s.left--
	if e.mask&unix.IN_Q_OVERFLOW != 0 {
		s.next = end
		s.overflow()
		return
	}
	pos := s.base + uint64(end)
	s.turn = append(s.turn[:0], s.table[e.wd]...)
	defer clear(s.turn)
	for _, n := range s.turn {
		if n.w == nil || n.seen >= pos {
			continue
		}
		if !s.host.Room() {
			return
		}
		n.seen = pos
		s.left--
		s.tell(n, &e)
		if s.fd < 0 { // that was the last watcher
			return
		}
	}
	s.next = end
	s.stale()
}

// tell reports an event to one watcher, and follows changes of its tree.
func (s *Set) tell(n *node, e *event) {
	if k, ok := e.ending(); ok {
		switch {
		case n.parent == nil:
			s.gone(n.w, k)
		case e.mask&unix.IN_MOVE_SELF != 0:
			s.dropMoves(func(m move) bool { return m.n == n }) // see move
		case e.mask&unix.IN_IGNORED != 0:
			s.forget(n)
		}
		return
	}
	if len(e.name) == 0 {
		// The parent reports what happens to a directory below.
		if n.parent == nil {
			s.path = append(s.path[:0], n.w.path...)
			s.report(n.w, s.happened)
		}
		return
	}
	if e.mask&unix.IN_CREATE != 0 && n.wasTold(e.name) {
		s.untold(n, e.name)
		return
	}
	if e.mask&(unix.IN_DELETE|unix.IN_MOVED_FROM) != 0 {
		s.untold(n, e.name)
	}
	if !s.locate(n, e.name) {
		s.unwatch(n, unix.ENAMETOOLONG)
		return
	}
	s.report(n.w, s.happened)
	if n.w.recursive && e.isDir() {
		s.follow(n, string(e.name), e)
	}
}

// report gives the host those kinds that the watcher wants, for s.path.
func (s *Set) report(w *Watcher, what []Kind) {
	if !w.live {
		return
	}
	var buf [kinds]Kind
	wanted := buf[:0]
	for _, k := range what {
		if w.wanted.has(k) {
			wanted = append(wanted, k)
		}
	}
	if len(wanted) > 0 {
		s.host.Changed(w, wanted, s.path)
	}
}

// gone ends a watcher whose file or directory no longer exists under its path.
func (s *Set) gone(w *Watcher, k Kind) {
	if !w.live {
		s.fail(w, unix.ENOENT)
		return
	}
	s.host.Changed(w, []Kind{k}, []byte(w.path))
	s.Close(w)
	s.host.Ended(w)
}

func (s *Set) fail(w *Watcher, err unix.Errno) {
	if w.over {
		return
	}
	s.Close(w)
	s.host.Failed(w, err)
}

// refuse records and reports that the directory at s.path cannot be watched. A limit makes a
// watcher fail that is not live yet: it would watch only the part of the tree that was found first.
func (s *Set) refuse(w *Watcher, err unix.Errno) {
	w.unwatched++
	switch {
	case w.live:
		s.host.Unwatched(w, err, s.path)
	case err == unix.ENOSPC || err == unix.ENOMEM || err == unix.EMFILE || err == unix.ENFILE:
		s.fail(w, err)
	case len(w.refused) < maxRefused:
		w.refused = append(w.refused, refusal{string(s.path), err})
	}
}

// complete is called when all directories of a watcher have been read.
func (s *Set) complete(w *Watcher) {
	lost := w.lost
	w.lost = false
	if w.live {
		if lost {
			s.host.Changed(w, []Kind{Overflow}, []byte(w.path))
		}
		return
	}
	w.live = true
	s.host.Watching(w)
	for _, r := range w.refused {
		s.host.Unwatched(w, r.err, []byte(r.path))
	}
	w.refused = nil
}
