package main

import "erluv/overview"

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

func (t *top) report(w *watched) topReport {
	s := &w.known.Sums
	r := topReport{
		Node: w.name, Status: s.Status, Uptime: s.Uptime, Nodes: s.Nodes, Total: s.Programs, MaxWorkers: s.MaxWorkers,
		States: countsOf(s.States), Started: s.Started, Ended: countsOf(s.Ended), Crashes: s.Crashes, Output: s.Output,
		OutputRate: w.known.Rate, PausedTime: s.Paused, PausedStream: w.known.Paused, Roles: []topRole{}, Programs: []topRow{},
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
	rows := w.known.Sorted(t.by, t.reverse)
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
