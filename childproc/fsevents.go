package childproc

import (
	"errors"
	"fmt"
	"path"
	"time"

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
func (m *manager) watch(to from, what, opts etf.Term) {
	if m.phase != serving {
		m.out.reply(to, gen.Error(etf.Atom("stopping")))
		return
	}
	o, bad := m.watchOf(to.pid, what, opts)
	if bad != nil {
		m.out.reply(to, bad.term())
		return
	}
	p := m.admit(to, &o.order)
	if p == nil {
		return
	}
	p.active = activeTrue // there is no output to wait for
	var err error
	if p.fs, err = m.files.Watch(o.path, o.wanted, o.recursive, p); err != nil {
		m.forget(p)
		m.out.reply(to, outcome(err))
	}
}

// watchOrder is what a watch request asks for.
type watchOrder struct {
	order
	path      string
	recursive bool
	wanted    watch.Kinds
}

func (m *manager) watchOf(caller etf.Pid, what, opts etf.Term) (*watchOrder, *badOption) {
	o := &watchOrder{order: order{owner: caller, link: true}, wanted: watch.All}
	var err error
	if o.path, err = optPath(what); err == nil && !path.IsAbs(o.path) {
		err = errors.New("must be an absolute path")
	}
	if err != nil {
		return nil, &badOption{etf.Atom("path"), err.Error()}
	}
	list, bad := options(opts)
	if bad != nil {
		return nil, bad
	}
	for _, opt := range list {
		switch key := opt.Key.(etf.Atom); key {
		case "owner", "link", "detached", "name":
			err = m.option(&o.order, key, opt.Value)
		case "recursive":
			err = optBool(&o.recursive, opt.Value)
		case "events":
			o.wanted, err = optEvents(opt.Value)
		default:
			err = errors.New("there is no such option")
		}
		if err != nil {
			return nil, &badOption{opt.Key, err.Error()}
		}
	}
	return o, nil
}

// optEvents takes a list of what is to be told.
func optEvents(v etf.Term) (wanted watch.Kinds, err error) {
	list, _ := v.(etf.List)
	for _, t := range list {
		k := watch.Created
		for k <= watch.Deleted && t != kindAtom[k] {
			k++
		}
		if k > watch.Deleted {
			list = nil
			break
		}
		wanted = wanted.With(k)
	}
	if len(list) == 0 {
		return 0, fmt.Errorf("must be a list of %s, %s, %s, %s, %s and %s", kindAtom[watch.Created],
			kindAtom[watch.Modified], kindAtom[watch.Closed], kindAtom[watch.Attrib], kindAtom[watch.Renamed], kindAtom[watch.Deleted])
	}
	return wanted, nil
}

// endWatch ends a watcher, at once: there is nothing to wait for.
func (m *manager) endWatch(p *proc) {
	m.files.Close(p.fs)
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
	w.All, w.Name, w.Owner, w.Detached = true, string(p.name), process(p.owner), p.detached
	w.Watched, w.Unwatched = p.fs.Watched(), p.fs.Unwatched()
}

// fileHost is the manager as the host of its watchers.
type fileHost struct{ m *manager }

// Room holds the watchers back as output of programs is, see manager.Room.
func (h fileHost) Room() bool {
	if h.m.phase != disconnected && !h.m.roomy() {
		h.m.streams.Pause()
		return false
	}
	return true
}

// Watching is the answer to the request.
func (h fileHost) Watching(w *watch.Watcher) {
	p := w.Tag.(*proc)
	p.started = time.Now().UnixMilli()
	h.m.introduce(p)
}

// Failed is the other answer.
func (h fileHost) Failed(w *watch.Watcher, err unix.Errno) {
	p := w.Tag.(*proc)
	h.m.forget(p)
	h.m.neverWas(p, outcome(err))
	h.m.finishIfEmpty()
}

// Changed sends {W, {fs, What, Path}}.
func (h fileHost) Changed(w *watch.Watcher, what []watch.Kind, path []byte) {
	p := w.Tag.(*proc)
	if p.owner == (etf.Pid{}) {
		return
	}
	o := h.m.out
	start := len(o.buf)
	b := dist.BeginSend(o.buf, p.owner)
	b = etf.AppendTupleHeader(b, 2)
	b = etf.AppendPid(b, p.pid)
	b = etf.AppendTupleHeader(b, 3)
	b = etf.AppendAtom(b, "fs")
	b = etf.AppendListHeader(b, len(what))
	for _, k := range what {
		b = etf.AppendAtom(b, kindAtom[k])
	}
	b = etf.AppendNil(b)
	o.buf = dist.End(etf.AppendBinary(b, path), start)
	o.end(start)
}

// Unwatched sends {W, {unwatched, Path, Errno}}.
func (h fileHost) Unwatched(w *watch.Watcher, err unix.Errno, path []byte) {
	p := w.Tag.(*proc)
	h.m.tell(p.owner, p, etf.Tuple{etf.Atom("unwatched"), etf.Binary(path), gen.Errno(err)})
}

// Ended: what was watched is gone.
func (h fileHost) Ended(w *watch.Watcher) { h.m.bury(w.Tag.(*proc)) }
