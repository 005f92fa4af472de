package main

import (
	"fmt"
	"strings"
	"time"

	"erluv/overview"
	"erluv/stat"
)

// picture returns the lines of top. They have at most width columns, and there are at most height
// of them. With 0 there is no bound.
func (t *top) picture(width, height int, live bool, now time.Time) []string {
	head := t.head()
	if t.trouble != "" {
		head = append(head, "! "+stat.Printable(t.trouble))
	}
	for i, line := range head {
		if width > 0 {
			head[i] = cut(line, width)
		}
	}
	if live {
		head[0] = bold + head[0] + plain
	}
	rows := t.known.Sorted(t.by, t.reverse)
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
	t.shown = rows
	table := [][]string{columns}
	for _, p := range rows {
		table = append(table, topCells(p, now))
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

// head returns the lines about the node and erluv itself.
func (t *top) head() []string {
	s := &t.known.Sums
	first := fmt.Sprintf("%s  %s  up %s  nodes %d", stat.Printable(t.node), s.Status, age(time.Duration(s.Uptime)*time.Millisecond), s.Nodes)
	if s.HasLoad {
		first += fmt.Sprintf("  load %.2f %.2f %.2f of %d", s.Load1, s.Load5, s.Load15, s.CPUs)
	}
	if s.HasMemory {
		first += fmt.Sprintf("  memory %s free of %s", size(s.Memory), size(s.MemoryTotal))
	}
	second := fmt.Sprintf("programs %d of %d", s.Programs, s.MaxWorkers)
	for i, c := range s.States {
		second += fmt.Sprintf("%s %d %s", [2]string{":", ","}[min(i, 1)], c.N, c.Name)
	}
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
	third += fmt.Sprintf("output %s/s  paused %.1f", size(int64(t.known.Rate)), t.known.Paused)
	return []string{first, second, third}
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

// topReport is the output of top as JSON. Unknown values are null.
type topReport struct {
	Node         string           `json:"node"`
	Status       string           `json:"status"`
	Uptime       int64            `json:"uptime"` // milliseconds
	Nodes        int64            `json:"nodes"`
	Load         *[3]float64      `json:"load"`
	Memory       *topMemory       `json:"memory"` // of the machine
	Total        int64            `json:"total"`  // programs
	MaxWorkers   int64            `json:"max_workers"`
	States       map[string]int64 `json:"states"`
	Started      int64            `json:"started"`
	Ended        map[string]int64 `json:"ended"`
	Crashes      int64            `json:"crashes"`
	Output       int64            `json:"output"`         // bytes
	OutputRate   float64          `json:"output_rate"`    // bytes a second
	PausedTime   int64            `json:"paused"`         // milliseconds
	PausedStream float64          `json:"paused_streams"` // paused streams, on average
	Roles        []topRole        `json:"roles"`
	Programs     []topRow         `json:"programs"`
}

type topMemory struct {
	Total     int64 `json:"total"`
	Available int64 `json:"available"`
}

type topRole struct {
	Role   string   `json:"role"`
	OsPid  int64    `json:"os_pid"`
	CPU    *int64   `json:"cpu"` // milliseconds
	Share  *float64 `json:"cpu_percent"`
	Memory *int64   `json:"memory"` // bytes
}

// topRow is a program of ps, with its rates.
type topRow struct {
	programRow
	Share      *float64 `json:"cpu_percent"`
	Output     int64    `json:"output"` // bytes
	OutputRate *float64 `json:"output_rate"`
	Held       bool     `json:"paused"`
}

func (t *top) report() topReport {
	s := &t.known.Sums
	r := topReport{
		Node: t.node, Status: s.Status, Uptime: s.Uptime, Nodes: s.Nodes, Total: s.Programs, MaxWorkers: s.MaxWorkers,
		States: countsOf(s.States), Started: s.Started, Ended: countsOf(s.Ended), Crashes: s.Crashes, Output: s.Output,
		OutputRate: t.known.Rate, PausedTime: s.Paused, PausedStream: t.known.Paused, Roles: []topRole{}, Programs: []topRow{},
	}
	if s.HasLoad {
		r.Load = &[3]float64{s.Load1, s.Load5, s.Load15}
	}
	if s.HasMemory {
		r.Memory = &topMemory{s.MemoryTotal, s.Memory}
	}
	for _, role := range s.Roles {
		cpu, share, memory := usageOf(role.Usage)
		r.Roles = append(r.Roles, topRole{role.Name, role.PID, cpu, share, memory})
	}
	rows := t.known.Sorted(t.by, t.reverse)
	if t.lines > 0 {
		rows = rows[:min(len(rows), int(t.lines))]
	}
	for _, p := range rows {
		row := topRow{programRow: programRow{Worker: p.Number(), Command: p.Command, State: p.State, User: p.User, Restarts: p.Restarts}, Output: p.Output, Held: p.Held}
		row.CPU, row.Share, row.Memory = usageOf(p.Usage)
		if p.Name != "" {
			row.Name = &p.Name
		}
		if p.PID != 0 {
			row.OsPid = &p.PID
		}
		if p.Started != 0 {
			row.Started = &p.Started
		}
		if p.HasRate {
			row.OutputRate = &p.Rate
		}
		r.Programs = append(r.Programs, row)
	}
	return r
}

func usageOf(u overview.Usage) (cpu *int64, share *float64, memory *int64) {
	if u.Known {
		cpu, memory = &u.CPU, &u.Memory
	}
	if u.HasShare {
		percent := u.Share * 100
		share = &percent
	}
	return cpu, share, memory
}

func countsOf(list []overview.Count) map[string]int64 {
	m := make(map[string]int64, len(list))
	for _, c := range list {
		m[c.Name] = c.N
	}
	return m
}
