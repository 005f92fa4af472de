package overview

import (
	"errors"
	"fmt"

	"erluv/stat"
	"erluv/wire/etf"
)

// figures is an answer.
type figures struct {
	sums     Sums
	newest   int64
	added    []*Program
	measured []Program
	gone     []etf.Pid
}

var errAnswer = errors.New("erluv answers with something else than figures: it may be of another version")

// read reads an answer. Fields that a later version may leave out become zero.
func read(answer etf.Term) (f figures, err error) {
	m, ok := answer.(etf.Map)
	if !ok {
		return f, errAnswer
	}
	items := stat.Read(m)
	f.newest, ok = stat.Find(items, "newest").(int64)
	if !ok {
		return f, errAnswer
	}
	s := &f.sums
	*s = Sums{
		Uptime: integer(items, "uptime"), Status: word(items, "status"), Nodes: integer(items, "nodes"), Programs: integer(items, "programs"),
		MaxWorkers: integer(items, "max_workers"), Started: integer(items, "started"), Output: integer(items, "output"),
		Paused: integer(items, "paused"), Crashes: integer(items, "crashes"), States: counts(items, "states"), Ended: counts(items, "ended"),
	}
	if load, ok := stat.Find(items, "load").([]stat.Item); ok {
		s.HasLoad, s.CPUs = true, integer(load, "cpus")
		s.Load1, s.Load5, s.Load15 = real(load, "avg1"), real(load, "avg5"), real(load, "avg15")
	}
	if memory, ok := stat.Find(items, "memory").([]stat.Item); ok {
		s.HasMemory, s.MemoryTotal, s.Memory = true, integer(memory, "total"), integer(memory, "available")
		if limit := integer(memory, "limit"); limit > 0 {
			s.MemoryTotal = limit
		}
	}
	for _, r := range list(items, "roles") {
		s.Roles = append(s.Roles, Role{word(r, "role"), integer(r, "os_pid"), usage(r)})
	}
	for _, n := range list(items, "new") {
		p := &Program{User: text(n, "user"), Restart: word(n, "restart"), Name: word(n, "name")}
		p.Command, _ = stat.Find(n, "cmd").([]string)
		if p.changes(n) {
			f.added = append(f.added, p)
		}
	}
	for _, n := range list(items, "measured") {
		p := Program{Output: integer(n, "output"), Usage: usage(n)}
		p.Held, _ = stat.Find(n, "held").(bool)
		if p.changes(n) {
			f.measured = append(f.measured, p)
		}
	}
	ended, _ := stat.Find(items, "gone").([]any)
	for _, e := range ended {
		if w, ok := e.(stat.Process); ok {
			f.gone = append(f.gone, w.Pid())
		}
	}
	return f, nil
}

// changes reads the common part of both kinds. It returns false if there is no worker.
func (p *Program) changes(items []stat.Item) bool {
	w, ok := stat.Find(items, "worker").(stat.Process)
	p.Worker, p.State = w.Pid(), word(items, "state")
	p.PID, p.Started, p.Restarts = integer(items, "os_pid"), integer(items, "started"), integer(items, "restarts")
	return ok
}

func usage(items []stat.Item) (u Usage) {
	cpu, ok := stat.Find(items, "cpu").(int64)
	return Usage{Known: ok, CPU: cpu, Memory: integer(items, "rss")}
}

func integer(items []stat.Item, key string) int64 {
	n, _ := stat.Find(items, key).(int64)
	return n
}

func real(items []stat.Item, key string) float64 {
	f, _ := stat.Find(items, key).(float64)
	return f
}

func word(items []stat.Item, key string) string {
	w, _ := stat.Find(items, key).(stat.Word)
	return string(w)
}

func text(items []stat.Item, key string) string {
	s, _ := stat.Find(items, key).(string)
	return s
}

func list(items []stat.Item, key string) (maps [][]stat.Item) {
	l, _ := stat.Find(items, key).([]any)
	for _, e := range l {
		if m, ok := e.([]stat.Item); ok {
			maps = append(maps, m)
		}
	}
	return maps
}

func counts(items []stat.Item, key string) (list []Count) {
	m, _ := stat.Find(items, key).([]stat.Item)
	for _, i := range m {
		if n, ok := i.Value.(int64); ok {
			list = append(list, Count{i.Key, n})
		}
	}
	return list
}

// number returns a worker's number.
func number(w etf.Pid) string { return fmt.Sprintf("%d.%d", w.ID, w.Serial) }
