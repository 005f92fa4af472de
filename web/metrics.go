package web

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"erluv/overview"
)

// maxNamed is how many programs have metrics of their own: the oldest ones with a name. Each has
// namedMetrics series. Nodes choose the names, so without a bound they could fill a time series
// database.
const maxNamed = 100

// The media types of the two formats.
const (
	openMetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8"
	textMetrics = "text/plain; version=0.0.4; charset=utf-8"
)

// metrics answers Prometheus. It needs no token, so it has the names of programs but no commands.
func (h *handler) metrics(w http.ResponseWriter, r *http.Request) {
	b := h.board
	b.mu.Lock()
	b.want(named(b.known))
	b.mu.Unlock()
	b.fresh(r.Context())
	open := strings.Contains(r.Header.Get("Accept"), "application/openmetrics-text")
	kind := textMetrics
	if open {
		kind = openMetrics
	}
	w.Header().Set("Content-Type", kind)
	b.mu.Lock()
	text := metricsOf(b.known, b.node, b.trouble == "", open)
	b.mu.Unlock()
	_, _ = io.WriteString(w, text)
}

// named returns the programs that have metrics of their own.
func named(o *overview.Overview) (list []*overview.Program) {
	for _, p := range o.Sorted(overview.BySince, false) {
		if p.Name != "" && len(list) < maxNamed {
			list = append(list, p)
		}
	}
	return list
}

// exposition writes families of metrics, in the text format of Prometheus or in that of
// OpenMetrics. OpenMetrics names the families of counters without _total.
type exposition struct {
	strings.Builder
	open bool
	name string
}

func (e *exposition) family(kind, name, unit, help string) {
	e.name = name
	if e.open {
		name = strings.TrimSuffix(name, "_total")
	}
	fmt.Fprintf(e, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
	if e.open && unit != "" {
		fmt.Fprintf(e, "# UNIT %s %s\n", name, unit)
	}
}

func (e *exposition) gauge(name, unit, help string)   { e.family("gauge", name, unit, help) }
func (e *exposition) counter(name, unit, help string) { e.family("counter", name+"_total", unit, help) }

// sample writes a sample, with label names and values in turn.
func (e *exposition) sample(v float64, labels ...string) {
	e.WriteString(e.name)
	for i := 0; i < len(labels); i += 2 {
		fmt.Fprintf(e, "%c%s=\"%s\"", "{,"[min(i, 1)], labels[i], escaper.Replace(labels[i+1]))
	}
	if len(labels) > 0 {
		e.WriteByte('}')
	}
	fmt.Fprintf(e, " %g\n", v)
}

var escaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// states are the possible states of a program, so that a series is 0 and not missing.
var states = []string{"starting", "running", "stopping", "killing", "waiting", "sweeping", "purging", "draining", "stopped", "resting", "gone"}

func metricsOf(o *overview.Overview, node string, up, open bool) string {
	e := &exposition{open: open}
	e.gauge("erluv_up", "", "1 when erluv has answered.")
	e.sample(one(up))
	if up && o.Looked {
		e.sums(o, node)
		e.roles(o.Sums.Roles)
		e.programs(o)
	}
	if open {
		e.WriteString("# EOF\n")
	}
	return e.String()
}

func one(b bool) float64 { return float64(bit(b)) }

func seconds(ms int64) float64 { return float64(ms) / 1000 }

func (e *exposition) sums(o *overview.Overview, node string) {
	s := &o.Sums
	e.gauge("erluv_node_info", "", "The name of erluv's node.")
	e.sample(1, "node", node)
	e.gauge("erluv_ready", "", "1 when new workers are started: the state of the host is ready.")
	e.sample(one(s.Status == "ready"))
	e.gauge("erluv_uptime_seconds", "seconds", "Since erluv_child has started.")
	e.sample(seconds(s.Uptime))
	e.gauge("erluv_nodes", "", "Connections to Erlang nodes.")
	e.sample(float64(s.Nodes))
	e.gauge("erluv_workers", "", "Programs, by their state.")
	of := map[string]int64{}
	for _, c := range s.States {
		of[c.Name] = c.N
	}
	for _, state := range states {
		e.sample(float64(of[state]), "state", state)
	}
	e.gauge("erluv_workers_limit", "", "The most workers that there can be: the key max_workers.")
	e.sample(float64(s.MaxWorkers))
	e.counter("erluv_worker_starts", "", "Programs that were started, restarts too.")
	e.sample(float64(s.Started))
	e.counter("erluv_worker_exits", "", "Programs that have ended, by the reason.")
	for _, c := range s.Ended {
		e.sample(float64(c.N), "reason", c.Name)
	}
	e.counter("erluv_output_bytes", "bytes", "Output that was read from programs.")
	e.sample(float64(s.Output))
	e.counter("erluv_output_paused_seconds", "seconds", "How long streams have waited for receivers, added up.")
	e.sample(seconds(s.Paused))
	e.counter("erluv_child_crashes", "", "Crashes of erluv_child since erluv has started.")
	e.sample(float64(s.Crashes))
	if s.HasLoad {
		e.gauge("erluv_host_load1", "", "The load average of one minute.")
		e.sample(s.Load1)
	}
	if s.HasMemory {
		e.gauge("erluv_host_memory_bytes", "bytes", "The memory of the machine, or of the control group that bounds it.")
		e.sample(float64(s.MemoryTotal))
		e.gauge("erluv_host_memory_available_bytes", "bytes", "What programs can have of it without swap.")
		e.sample(float64(s.Memory))
	}
}

// roles writes the metrics of erluv's own processes. All spawners count as one.
func (e *exposition) roles(roles []overview.Role) {
	for _, m := range []struct {
		begin func()
		of    func(overview.Usage) float64
	}{
		{func() { e.counter("erluv_process_cpu_seconds", "seconds", "Processor time of erluv's own processes.") }, func(u overview.Usage) float64 { return seconds(u.CPU) }},
		{func() {
			e.gauge("erluv_process_resident_memory_bytes", "bytes", "Resident memory of erluv's own processes.")
		}, func(u overview.Usage) float64 { return float64(u.Memory) }},
	} {
		m.begin()
		for _, role := range []string{"main", "child", "spawner"} {
			sum, known := 0.0, false
			for _, r := range roles {
				if r.Name == role && r.Known {
					sum, known = sum+m.of(r.Usage), true
				}
			}
			if known {
				e.sample(sum, "role", role)
			}
		}
	}
}

// programs writes the metrics of the programs in named.
func (e *exposition) programs(o *overview.Overview) {
	list := named(o)
	each := func(of func(p *overview.Program) (float64, bool)) {
		for _, p := range list {
			if v, ok := of(p); ok {
				e.sample(v, "name", p.Name)
			}
		}
	}
	e.counter("erluv_worker_cpu_seconds", "seconds", "Processor time of a program with a name, of its process.")
	each(func(p *overview.Program) (float64, bool) { return seconds(p.CPU), p.Known })
	e.gauge("erluv_worker_memory_bytes", "bytes", "Memory of a program with a name.")
	each(func(p *overview.Program) (float64, bool) { return float64(p.Memory), p.Known })
	e.counter("erluv_worker_output_bytes", "bytes", "Output of a program with a name, of this run.")
	each(func(p *overview.Program) (float64, bool) { return float64(p.Output), p.Measured != 0 })
	e.counter("erluv_worker_restarts", "", "How often a program with a name was started again.")
	each(func(p *overview.Program) (float64, bool) { return float64(p.Restarts), true })
	e.gauge("erluv_workers_with_metrics", "", "Programs with a name that have metrics of their own: 100 at most.")
	e.sample(float64(len(list)))
}
