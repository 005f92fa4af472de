package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"erluv/cluster"
	"erluv/overview"
	"erluv/stat"
)

// picture returns the lines of top. They have at most width columns, and there are at most height
// of them. With 0 there is no bound.
func (t *top) picture(width, height int, live bool, now time.Time) []string {
	head := append(t.head(), t.troubles()...)
	for i, line := range head {
		if width > 0 {
			head[i] = cut(line, width)
		}
	}
	if live {
		head[0] = bold + head[0] + plain
	}
	rows, of := t.sorted()
	keys := "keys: c cpu  m memory  o output  t time  n name  s state  x restarts  r reverse  q quit"
	room := len(rows)
	if height > 0 {
		room = max(0, height-len(head)-2)
		if live {
			room = max(0, room-1)
		}
	}
	if t.lines > 0 {
		room = min(room, int(t.lines))
	}
	hidden := max(0, len(rows)-room)
	rows = rows[:len(rows)-hidden]
	for _, w := range t.erluvs {
		w.shown = nil
	}
	table := [][]string{t.withHost(columns)}
	for _, p := range rows {
		w := of[p]
		w.shown = append(w.shown, p)
		table = append(table, t.ofHost(w.name, topCells(p, now)))
	}
	body := strings.Split(strings.TrimSuffix(grid(table, width), "\n"), "\n")
	if live {
		body[0] = inverse + pad(body[0], width) + plain
	}
	lines := append(append(head, ""), body...)
	if !live {
		return lines
	}
	if hidden > 0 {
		keys = fmt.Sprintf("%d more  ", hidden) + keys
	}
	for len(lines) < height-1 {
		lines = append(lines, "")
	}
	return append(lines[:max(0, min(len(lines), height-1))], dim+cut("by "+string(t.by)+"  "+keys, width)+plain)
}

// sorted returns the programs of all erluvs in the order, and the erluv of each.
func (t *top) sorted() (list []*overview.Program, of map[*overview.Program]*watched) {
	of = make(map[*overview.Program]*watched)
	for _, w := range t.erluvs {
		list = append(list, w.known.Programs...)
		for _, p := range w.known.Programs {
			of[p] = w
		}
	}
	overview.Sort(list, t.by, t.reverse)
	return list, of
}

// mostTroubles is how many erluvs without a new picture have a line of their own.
const mostTroubles = 3

// troubles returns the lines that say why there is no new picture.
func (t *top) troubles() (lines []string) {
	if t.trouble != nil {
		return []string{"! " + stat.Printable(t.trouble.Error())}
	}
	more := 0
	for _, w := range t.erluvs {
		switch {
		case w.trouble == nil:
		case t.node == "":
			lines = append(lines, "! "+stat.Printable(w.trouble.Error()))
		case len(lines) == mostTroubles:
			more++
		default:
			lines = append(lines, "! "+cluster.Show(w.name)+": "+stat.Printable(w.trouble.Error()))
		}
	}
	if more > 0 {
		lines = append(lines, fmt.Sprintf("! %d more erluvs have not answered", more))
	}
	return lines
}

// head returns the lines about the erluvs themselves.
func (t *top) head() []string {
	s, rate, paused := t.sums()
	first := t.all()
	if t.node == "" {
		first = t.erluvs[0].machine()
	}
	second := fmt.Sprintf("programs %d of %d", s.Programs, s.MaxWorkers) + list(s.States)
	second += fmt.Sprintf("  started %d", s.Started)
	for _, c := range s.Ended {
		if c.N > 0 {
			second += fmt.Sprintf("  %s %d", c.Name, c.N)
		}
	}
	if s.Crashes > 0 {
		second += fmt.Sprintf("  crashes of the child %d", s.Crashes)
	}
	third := ""
	for _, r := range s.Roles {
		third += fmt.Sprintf("%s %s %s  ", r.Name, memoryOf(r.Usage), percent(r.Usage))
	}
	third += fmt.Sprintf("output %s/s  paused %.1f", size(int64(rate)), paused)
	return []string{first, second, third}
}

// list returns counts as text, after a colon.
func list(counts []overview.Count) (text string) {
	for i, c := range counts {
		text += fmt.Sprintf("%s %d %s", [2]string{":", ","}[min(i, 1)], c.N, c.Name)
	}
	return text
}

// machine returns the line about an erluv and its machine.
func (w *watched) machine() string {
	s := &w.known.Sums
	line := fmt.Sprintf("%s  %s  up %s  nodes %d", stat.Printable(w.name), s.Status, age(time.Duration(s.Uptime)*time.Millisecond), s.Nodes)
	if s.HasLoad {
		line += fmt.Sprintf("  load %.2f %.2f %.2f of %d", s.Load1, s.Load5, s.Load15, s.CPUs)
	}
	if s.HasMemory {
		line += fmt.Sprintf("  memory %s free of %s", size(s.Memory), size(s.MemoryTotal))
	}
	return line
}

// all returns the line about all erluvs that serve a node: how many are in which state.
func (t *top) all() string {
	var states []overview.Count
	for _, w := range t.erluvs {
		state := w.known.Sums.Status
		if w.trouble != nil || !w.known.Looked {
			state = "unknown"
		}
		states = plus(states, overview.Count{Name: state, N: 1})
	}
	slices.SortFunc(states, func(a, b overview.Count) int { return strings.Compare(a.Name, b.Name) })
	return fmt.Sprintf("%s  erluvs %d", stat.Printable(t.node), len(t.erluvs)) + list(states)
}

// sums returns the sums of one erluv, or those of all added up, with the rate of output and the paused streams.
func (t *top) sums() (sums overview.Sums, rate, paused float64) {
	if t.node == "" {
		w := t.erluvs[0].known
		return w.Sums, w.Rate, w.Paused
	}
	for _, w := range t.erluvs {
		s := &w.known.Sums
		rate, paused = rate+w.known.Rate, paused+w.known.Paused
		sums.Programs, sums.MaxWorkers = sums.Programs+s.Programs, sums.MaxWorkers+s.MaxWorkers
		sums.Started, sums.Crashes = sums.Started+s.Started, sums.Crashes+s.Crashes
		for _, c := range s.States {
			sums.States = plus(sums.States, c)
		}
		for _, c := range s.Ended {
			sums.Ended = plus(sums.Ended, c)
		}
		for _, r := range s.Roles {
			i := slices.IndexFunc(sums.Roles, func(o overview.Role) bool { return o.Name == r.Name })
			if i < 0 {
				sums.Roles = append(sums.Roles, overview.Role{Name: r.Name})
				i = len(sums.Roles) - 1
			}
			u := &sums.Roles[i].Usage
			u.Known, u.HasShare = u.Known || r.Known, u.HasShare || r.HasShare
			u.Memory, u.Share = u.Memory+r.Memory, u.Share+r.Share
		}
	}
	slices.SortFunc(sums.States, func(a, b overview.Count) int { return strings.Compare(a.Name, b.Name) })
	return sums, rate, paused
}

// plus adds a count to the one with its name.
func plus(list []overview.Count, c overview.Count) []overview.Count {
	if i := slices.IndexFunc(list, func(o overview.Count) bool { return o.Name == c.Name }); i >= 0 {
		list[i].N += c.N
		return list
	}
	return append(list, c)
}

var columns = []string{"PROGRAM", "STATE", "USER", "PID", "SINCE", "RESTARTS", "CPU%", "CPU", "MEMORY", "OUTPUT/s", "COMMAND"}

func topCells(p *overview.Program, now time.Time) []string {
	since, pid, cpu, rate := "-", "-", "-", "-"
	if p.Started != 0 {
		since = age(now.Sub(time.UnixMilli(p.Started)))
	}
	if p.PID != 0 {
		pid = fmt.Sprint(p.PID)
	}
	if p.Known {
		cpu = age(time.Duration(p.CPU) * time.Millisecond)
	}
	if p.HasRate {
		rate = size(int64(p.Rate))
	}
	state := p.State
	if p.Held {
		state += " paused"
	}
	row := programRow{Command: p.Command}
	return []string{
		stat.Printable(p.Called()), state, stat.Printable(p.User), pid, since, fmt.Sprint(p.Restarts), percent(p.Usage), cpu, memoryOf(p.Usage),
		rate, row.commandLine(),
	}
}

func percent(u overview.Usage) string {
	if !u.HasShare {
		return "-"
	}
	return fmt.Sprintf("%.1f", u.Share*100)
}

func memoryOf(u overview.Usage) string {
	if !u.Known {
		return "-"
	}
	return size(u.Memory)
}
