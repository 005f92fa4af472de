package childproc

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"erluv/childproc/history"
	"erluv/childproc/order"
	"erluv/loop/watch"
	"erluv/stat"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"golang.org/x/sys/unix"
)

// watcher is a watcher of files as a process of the node.
type watcher struct {
	entry

	files *watch.Watcher
}

var kindAtom = [...]etf.Atom{
	watch.Created: "created", watch.Modified: "modified", watch.Closed: "closed", watch.Attrib: "attrib",
	watch.Renamed: "renamed", watch.Deleted: "deleted", watch.Unmounted: "unmounted", watch.Overflow: "overflow",
}

// watch takes {watch, Path, Opts}. The answer comes once everything is watched.
func (m *manager) watch(to caller, what, opts etf.Term) {
	if m.host.given.OnlyClasses {
		to.reply(gen.Error(classRequired)) // it would show the files of this host
		return
	}
	o, bad := order.WatchOf(m.outside(to.From), what, opts)
	if bad != nil {
		to.reply(gen.Error(bad.Term()))
		return
	}
	p := &watcher{}
	if !m.admit(p, to, &o.Process, 0) {
		return
	}
	var err error
	if p.files, err = p.client.files.Watch(o.Path, kindsOf(o.Events), o.Recursive, p); err != nil {
		m.forget(p)
		to.reply(outcome(err))
	}
}

// kindsOf returns the events of a request; nil means all.
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

// stop is the method of proc. There is nothing to wait for.
func (p *watcher) stop(m *manager, _ bool) {
	p.client.files.Close(p.files)
	if !p.files.Live() {
		m.replyAsked(p, gen.Error(etf.Atom("stopping")))
	}
	m.bury(p)
}

// lost is the method of proc.
func (p *watcher) lost(m *manager, ends bool) {
	if ends {
		m.end(p, gen.Noconnection, history.Node)
	}
}

// release is the method of proc.
func (*watcher) release(*manager) {}

// unanswered is the method of proc.
func (*watcher) unanswered(*manager, etf.Raw) []answer { return nil }

// outcome is the method of proc.
func (*watcher) outcome() etf.Term { return etf.Atom("ok") }

// ownable is the method of proc. A watcher waits for room with one client, so its owner must be there.
func (p *watcher) ownable(m *manager, pid etf.Pid) error {
	if !p.client.Has(pid) {
		return fmt.Errorf("must be a process of %s, the node that gets this watcher's events", p.client.Node())
	}
	return m.reachable(pid)
}

// disowned is the method of proc.
func (*watcher) disowned(*manager) {}

// kind is the method of proc.
func (*watcher) kind() taken { return byWatcher }

// setopt is the method of proc.
func (*watcher) setopt(*manager, etf.Atom, etf.Term) (func(), error) {
	return nil, errors.New("there is no such option for a watcher of files")
}

// brief is the method of proc.
func (p *watcher) brief(_ *manager, longest int) etf.Map {
	w := p.stat(longest)
	return stat.Terms(w.Items())
}

// info is the method of proc.
func (p *watcher) info(*manager) etf.Map {
	w := p.stat(math.MaxInt)
	w.All, w.Name, w.Owner, w.Detached = true, string(p.registered()), process(p.owner), p.detached != nil
	w.Watched, w.Unwatched = p.files.Watched(), p.files.Unwatched()
	return stat.Terms(w.Items())
}

// stat returns the figures of the watcher that cost nothing.
func (p *watcher) stat(longest int) stat.Watcher {
	w := stat.Watcher{Worker: process(p.pid), State: "starting", Path: cutShort(p.files.Path(), longest), Recursive: p.files.Recursive()}
	if p.files.Live() {
		w.State, w.Started = "watching", p.startedAt()
	}
	return w
}

// fileHost is a client as the host of its watchers.
type fileHost struct{ c *client }

// Room holds back the watchers like the output of programs, see manager.Room.
func (h fileHost) Room() bool {
	if !h.c.Roomy() {
		h.c.Streams.Pause()
		return false
	}
	return true
}

// Watching answers the request.
func (h fileHost) Watching(w *watch.Watcher) {
	p := w.Tag.(*watcher)
	p.started = time.Now().UnixMilli()
	h.c.m.introduce(p)
	h.c.m.granted(p)
}

// Failed answers the request with an error.
func (h fileHost) Failed(w *watch.Watcher, err unix.Errno) {
	p := w.Tag.(*watcher)
	h.c.m.decline(p, outcome(err))
}

// Changed sends {W, {fs, What, Path}}.
func (h fileHost) Changed(w *watch.Watcher, what []watch.Kind, path []byte) {
	p := w.Tag.(*watcher)
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
	p := w.Tag.(*watcher)
	h.c.m.tell(p.owner, p, etf.Tuple{etf.Atom("unwatched"), etf.Binary(path), gen.Errno(err)})
}

// Ended buries a watcher whose file is gone.
func (h fileHost) Ended(w *watch.Watcher) { h.c.m.bury(w.Tag.(*watcher)) }
