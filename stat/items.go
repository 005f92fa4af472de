package stat

import (
	"fmt"
	"time"
)

// Item is a key and its value. The value is a Word, string, []string, int64, bool, Process, Tuple,
// Signalled, float64, label.Labels, []Item (a map), []any (a list) or Numbered. An unknown value is
// nil.
type Item struct {
	Key   string
	Value any
}

// Word is one of a few words, and an atom in Erlang.
type Word string

// Tuple is a word and a number, such as {line, 100}.
type Tuple struct {
	Word Word
	N    int64
}

// Numbered is a map whose keys are numbers and whose values are maps.
type Numbered []struct {
	No    int64
	Items []Item
}

// Items returns the answer of the request info.
func (n *Node) Items() []Item {
	users := []any{}
	for _, u := range n.AllowUsers {
		users = append(users, u.items())
	}
	connections := []any{}
	for _, c := range n.Connections {
		connections = append(connections, c.items())
	}
	limits := []Item{}
	for _, l := range n.Limits {
		limits = append(limits, Item{l.Name, l.Has})
	}
	return append([]Item{
		{"node", Word(n.Name)},
		{"target", unless(n.Target == "", Word(n.Target))},
		{"version", n.Version},
		{"status", Word(n.Status)},
		{"user", n.User},
		{"uid", int64(n.UID)},
		{"gid", int64(n.GID)},
		{"main_os_pid", int64(n.MainPID)},
		{"child_os_pid", int64(n.ChildPID)},
		{"spawner_os_pid", int64(n.SpawnerPID)},
		{"allow_users", users},
		{"connections", connections},
		{"cookie", n.Cookie},
		{"controller", Word(n.Controller)},
		{"contained", Word(n.Contained)},
		{"reach", Word(n.Reach)},
		{"groups", Word(n.Groups)},
		{"uptime", n.Uptime.Milliseconds()},
		{"workers", int64(n.Workers)},
		{"max_workers", int64(n.MaxWorkers)},
		{"refused_frames", int64(n.RefusedFrames)},
		{"sandbox", n.Sandbox.items()},
		{"limits", limits},
	}, n.Host.items()...)
}

func (c *Connection) items() []Item {
	if !c.Connected {
		return []Item{
			{"node", Word(c.Node)},
			{"state", Word("waiting")},
			{"workers", int64(c.Workers)},
			{"error", unless(c.Why == "", c.Why)},
		}
	}
	direction := Word("dialled")
	if c.Accepted {
		direction = "accepted"
	}
	return []Item{
		{"node", Word(c.Node)},
		{"state", Word("connected")},
		{"direction", direction},
		{"transport", Word(c.Transport)},
		{"since", c.Since.UnixMilli()},
		{"links", int64(c.Links)},
		{"monitors", int64(c.Monitors)},
		{"workers", int64(c.Workers)},
		{"sent", c.Sent},
		{"received", c.Received},
	}
}

func (u *User) items() []Item {
	groups := u.Groups
	if groups == nil {
		groups = []string{}
	}
	return []Item{
		{"user", u.Name},
		{"uid", int64(u.UID)},
		{"group", u.Group},
		{"gid", int64(u.GID)},
		{"groups", groups},
		{"spawner_os_pid", unless(u.SpawnerPID == 0, int64(u.SpawnerPID))},
	}
}

func (s *Sandbox) items() []Item {
	return []Item{
		{"mode", Word(s.Mode)},
		{"seccomp", s.Seccomp},
		{"files", s.Files},
		{"ports", s.Ports},
		{"scope", s.Scope},
		{"no_new_privs", s.NoNewPrivs},
		{"capabilities", s.Capabilities},
		{"dumpable", s.Dumpable},
	}
}

// unless returns v, or nil.
func unless(not bool, v any) any {
	if not {
		return nil
	}
	return v
}

// Items returns the answer of the request workers for a program, and its full info if there is a
// Detail.
func (p *Program) Items() []Item {
	items := []Item{
		{"os_pid", int64(p.PID)},
		{"cmd", p.Command},
		{"user", p.User},
		{"state", Word(p.State)},
		{"started", millis(p.Started)},
		{"restarts", int64(p.Restarts)},
	}
	if p.ID != "" {
		items = append(items, Item{"id", p.ID})
	}
	if p.Class != "" {
		items = append(items, Item{"class", p.Class})
	}
	if p.Caller != (Process{}) {
		items = append(items, Item{"caller", p.Caller})
	}
	if p.Detail == nil {
		return items
	}
	return append(items, p.Detail.items()...)
}

func millis(t time.Time) any { return unless(t.IsZero(), t.UnixMilli()) }

func (d *Detail) items() []Item {
	var items []Item
	if d.Ready != nil {
		items = append(items, Item{"ready", d.Ready.Is}, Item{"status", d.Ready.Status})
	}
	further := Numbered{}
	for _, s := range d.Further {
		further = append(further, struct {
			No    int64
			Items []Item
		}{int64(s.No), s.items()})
	}
	items = append(append(items, whose(d.Name, d.Owner, d.Detached)...), []Item{
		{"lost", d.Lost.value()},
		{"restart", Word(d.Restart)},
		{"packet", d.Packet.value()},
		{"active", d.Active.value()},
	}...)
	return append(append(items, used(d.CPU, d.RSS)...), []Item{
		{"cgroup", d.Counted.items()},
		{"stdin", d.Stdin.items()},
		{"stdout", d.Stdout.items()},
		{"stderr", d.Stderr.items()},
		{"fds", further},
	}...)
}

// whose returns the common items of every process of erluv. Without a name the item name is [], as
// in erlang:process_info(Pid, registered_name).
func whose(name string, owner Process, detached bool) []Item {
	var owned any = owner
	if owner == (Process{}) {
		owned = Word("none")
	}
	return []Item{{"name", called(name)}, {"owner", owned}, {"detached", detached}}
}

func called(name string) any {
	if name == "" {
		return []any{}
	}
	return Word(name)
}

func (l *Lost) value() any {
	if l == nil {
		return false
	}
	owner := any(l.Owner)
	if l.Owner == (Process{}) {
		owner = Word("none")
	}
	return []Item{{"owner", owner}, {"since", l.Since.UnixMilli()}, {"until", l.Until.UnixMilli()}}
}

func (p Packet) value() any {
	switch {
	case p.Header > 0:
		return int64(p.Header)
	case p.List:
		return Tuple{"lines", int64(p.Max)}
	case p.Max > 0:
		return Tuple{"line", int64(p.Max)}
	}
	return Word("raw")
}

func (a Active) value() any {
	if a.Word != "" {
		return Word(a.Word)
	}
	return int64(a.Count)
}

func (c *Counted) items() []Item {
	items := []Item{}
	for _, i := range []struct {
		key string
		n   int64
	}{
		{"memory", c.Memory},
		{"memory_peak", c.MemoryPeak},
		{"oom_kills", c.OOMKills},
		{"pids", c.Processes},
		{"cpu", c.CPU},
	} {
		if i.n >= 0 {
			items = append(items, Item{i.key, i.n})
		}
	}
	return items
}

func (s *Stream) items() []Item {
	items := []Item{{"open", s.Open}, {"bytes", s.Bytes}}
	if s.Waiting != nil {
		return append(items, Item{"waiting", *s.Waiting})
	}
	if h := s.Held; h != nil {
		return append(items, Item{"held", []Item{
			{"by", h.By},
			{"bytes", h.Bytes},
			{"queue", int64(h.Queue)},
			{"ms", h.Since.Milliseconds()},
			{"lost", h.Lost},
		}})
	}
	if s.Output {
		items = append(items, Item{"held", false})
	}
	return items
}

// Items returns the items of a watcher, with the keys of a program where they apply.
func (w *Watcher) Items() []Item {
	items := []Item{
		{"os_pid", int64(0)},
		{"cmd", []string{}},
		{"state", Word(w.State)},
		{"started", millis(w.Started)},
		{"restarts", int64(0)},
		{"path", w.Path},
		{"recursive", w.Recursive},
	}
	if !w.All {
		return items
	}
	items = append(items, whose(w.Name, w.Owner, w.Detached)...)
	return append(items, Item{"watched", int64(w.Watched)}, Item{"unwatched", int64(w.Unwatched)})
}

// String returns the process as people read it, with its node's name in place of a number.
func (p Process) String() string { return fmt.Sprintf("<%s.%d.%d>", p.Node, p.ID, p.Serial) }
