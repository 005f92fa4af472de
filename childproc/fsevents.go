package childproc

import (
	"slices"
	"time"

	"erluv/childproc/order"
	"erluv/loop/watch"
	"erluv/stat"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"golang.org/x/sys/unix"
)

// A watcher of files is a process of the node as a worker is: what links, owns,
// monitors and names it is the same. It has no program; its proc knows the watcher
// instead of a worker.

var kindAtom = [...]etf.Atom{
	watch.Created: "created", watch.Modified: "modified", watch.Closed: "closed", watch.Attrib: "attrib",
	watch.Renamed: "renamed", watch.Deleted: "deleted", watch.Unmounted: "unmounted", watch.Overflow: "overflow",
}

// watch takes {watch, Path, Opts}. The answer comes when all is watched.
func (m *manager) watch(to caller, what, opts etf.Term) {
	if m.phase != serving {
		to.reply(gen.Error(etf.Atom("stopping")))
		return
	}
	o, bad := order.WatchOf(m.outside(to.From), what, opts)
	if bad != nil {
		to.reply(gen.Error(bad.Term()))
		return
	}
	p := m.admit(to, &o.Process, 0)
	if p == nil {
		return
	}
	p.active = activeTrue // there is no output to wait for
	var err error
	if p.fs, err = p.client.files.Watch(o.Path, kindsOf(o.Events), o.Recursive, p); err != nil {
		m.forget(p)
		to.reply(outcome(err))
	}
}

// kindsOf are the events of a request; nil: all.
func kindsOf(events []etf.Atom) watch.Kinds {
	if events == nil {
		return watch.All
	}
	var wanted watch.Kinds
	for k, name := range kindAtom {
		if slices.Contains(events, name) {
			wanted = wanted.With(watch.Kind(k))
		}
	}
	return wanted
}

// endWatch ends a watcher, at once: there is nothing to wait for.
func (m *manager) endWatch(p *proc) {
	p.client.files.Close(p.fs)
	if !p.fs.Live() {
		m.replyAsked(p, gen.Error(etf.Atom("stopping")))
	}
	m.bury(p)
}

// watcher is what workers says of a watcher; see brief.
func (p *proc) watcher(longest int) stat.Watcher {
	w := stat.Watcher{Worker: process(p.pid), State: "starting", Path: cutShort(p.fs.Path(), longest), Recursive: p.fs.Recursive()}
	if p.fs.Live() {
		w.State, w.Started = "watching", p.startedAt()
	}
	return w
}

// watchDetail adds what a watcher says of itself.
func (p *proc) watchDetail(w *stat.Watcher) {
	w.All, w.Name, w.Owner, w.Detached = true, string(p.registered()), process(p.owner), p.detached
	w.Watched, w.Unwatched = p.fs.Watched(), p.fs.Unwatched()
}

// fileHost is a client as the host of its watchers.
type fileHost struct{ c *client }

// Room holds the watchers back as output of programs is, see manager.Room.
func (h fileHost) Room() bool {
	if !h.c.Roomy() {
		h.c.streams.Pause()
		return false
	}
	return true
}

// Watching is the answer to the request.
func (h fileHost) Watching(w *watch.Watcher) {
	p := w.Tag.(*proc)
	p.started = time.Now().UnixMilli()
	h.c.m.introduce(p)
}

// Failed is the other answer.
func (h fileHost) Failed(w *watch.Watcher, err unix.Errno) {
	p := w.Tag.(*proc)
	h.c.m.forget(p)
	h.c.m.neverWas(p, outcome(err))
	h.c.m.finishIfEmpty()
}

// Changed sends {W, {fs, What, Path}}.
func (h fileHost) Changed(w *watch.Watcher, what []watch.Kind, path []byte) {
	p := w.Tag.(*proc)
	if p.owner == (etf.Pid{}) {
		return
	}
	h.c.Compose(func(b []byte) []byte {
		start := len(b)
		b = dist.BeginSend(b, p.owner)
		b = etf.AppendTupleHeader(b, 2)
		b = etf.AppendPid(b, p.pid)
		b = etf.AppendTupleHeader(b, 3)
		b = etf.AppendAtom(b, "fs")
		b = etf.AppendListHeader(b, len(what))
		for _, k := range what {
			b = etf.AppendAtom(b, kindAtom[k])
		}
		b = etf.AppendNil(b)
		return dist.End(etf.AppendBinary(b, path), start)
	})
}

// Unwatched sends {W, {unwatched, Path, Errno}}.
func (h fileHost) Unwatched(w *watch.Watcher, err unix.Errno, path []byte) {
	p := w.Tag.(*proc)
	h.c.m.tell(p.owner, p, etf.Tuple{etf.Atom("unwatched"), etf.Binary(path), gen.Errno(err)})
}

// Ended: what was watched is gone.
func (h fileHost) Ended(w *watch.Watcher) { h.c.m.bury(w.Tag.(*proc)) }
