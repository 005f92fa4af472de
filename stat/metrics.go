package stat

import (
	"fmt"
	"io"
	"strings"
)

// metric is a family of OpenMetrics, with a sample for the node or for each program.
type metric struct {
	name, kind, unit, help string
	node                   func(n *Node) (float64, bool)
	program                func(p *Program) (float64, bool)
	disk                   func(d *Disk) float64 // of those that are known
}

// metrics are named by the rules of Prometheus: base units, a counter ends with _total.
var metrics = []metric{
	{
		name: "erluv_uptime_seconds", kind: "gauge", unit: "seconds", help: "Since erluv_child has started.",
		node: func(n *Node) (float64, bool) { return n.Uptime.Seconds(), true },
	},
	{
		name: "erluv_workers", kind: "gauge", help: "Programs and watchers.",
		node: func(n *Node) (float64, bool) { return float64(n.Workers), true },
	},
	{
		name: "erluv_workers_max", kind: "gauge", help: "The key max_workers.",
		node: func(n *Node) (float64, bool) { return float64(n.MaxWorkers), true },
	},
	{
		name: "erluv_refused_frames", kind: "counter", help: "Frames of the node that were not understood.",
		node: func(n *Node) (float64, bool) { return float64(n.RefusedFrames), true },
	},
	{
		name: "erluv_ready", kind: "gauge", help: "1 when new workers are started: the state is ready.",
		node: func(n *Node) (float64, bool) {
			if n.Status == "ready" {
				return 1, true
			}
			return 0, true
		},
	},
	{
		name: "erluv_host_load1", kind: "gauge", help: "The load average of one minute.",
		node: func(n *Node) (float64, bool) {
			if n.Host.Load == nil {
				return 0, false
			}
			return n.Host.Load.Avg1, true
		},
	},
	{
		name: "erluv_host_memory_total_bytes", kind: "gauge", unit: "bytes", help: "The memory of the machine.",
		node: func(n *Node) (float64, bool) {
			if n.Host.Memory == nil {
				return 0, false
			}
			return float64(n.Host.Memory.Total), true
		},
	},
	{
		name: "erluv_host_memory_available_bytes", kind: "gauge", unit: "bytes", help: "What programs can have of it without swap, within the limits of control groups.",
		node: func(n *Node) (float64, bool) {
			if n.Host.Memory == nil {
				return 0, false
			}
			return float64(n.Host.Memory.Available), true
		},
	},
	{
		name: "erluv_host_disk_total_bytes", kind: "gauge", unit: "bytes", help: "The size of a file system.",
		disk: func(d *Disk) float64 { return float64(d.Total) },
	},
	{
		name: "erluv_host_disk_available_bytes", kind: "gauge", unit: "bytes", help: "What users who are not root can have of it.",
		disk: func(d *Disk) float64 { return float64(d.Available) },
	},
	{
		name: "erluv_program_restarts", kind: "counter", help: "How often the program was started again.",
		program: func(p *Program) (float64, bool) { return float64(p.Restarts), true },
	},
	{
		name: "erluv_program_cpu_seconds", kind: "counter", unit: "seconds", help: "Processor time of the program.",
		program: func(p *Program) (float64, bool) {
			if p.Detail == nil || p.CPU == nil {
				return 0, false
			}
			return p.CPU.Seconds(), true
		},
	},
	{
		name: "erluv_program_resident_memory_bytes", kind: "gauge", unit: "bytes", help: "Resident memory of the program.",
		program: func(p *Program) (float64, bool) {
			if p.Detail == nil || p.RSS == nil {
				return 0, false
			}
			return float64(*p.RSS), true
		},
	},
	{
		name: "erluv_program_output_bytes", kind: "counter", unit: "bytes", help: "What the program has written to stdout and stderr.",
		program: func(p *Program) (float64, bool) {
			if p.Detail == nil {
				return 0, false
			}
			return float64(p.Stdout.Bytes + p.Stderr.Bytes), true
		},
	},
}

// OpenMetrics writes the snapshot in that text format, version 1.0.0. A program has the
// labels worker, name and command: the program's file name without directories, whose
// number is bounded, not its arguments.
func (s *Snapshot) OpenMetrics(w io.Writer) error {
	var b strings.Builder
	for _, m := range metrics {
		fmt.Fprintf(&b, "# TYPE %s %s\n", m.name, m.kind)
		if m.unit != "" {
			fmt.Fprintf(&b, "# UNIT %s %s\n", m.name, m.unit)
		}
		fmt.Fprintf(&b, "# HELP %s %s\n", m.name, m.help)
		name := m.name
		if m.kind == "counter" {
			name += "_total"
		}
		if m.node != nil {
			if v, ok := m.node(&s.Node); ok {
				fmt.Fprintf(&b, "%s{node=%s} %g\n", name, labelValue(s.Node.Name), v)
			}
			continue
		}
		for i := range s.Node.Host.Disks {
			if d := &s.Node.Host.Disks[i]; m.disk != nil && !d.Unknown {
				fmt.Fprintf(&b, "%s{node=%s,path=%s} %g\n", name, labelValue(s.Node.Name), labelValue(d.Path), m.disk(d))
			}
		}
		if m.program == nil {
			continue
		}
		for i := range s.Programs {
			p := &s.Programs[i]
			if v, ok := m.program(p); ok {
				fmt.Fprintf(&b, "%s{%s} %g\n", name, s.labels(p), v)
			}
		}
	}
	b.WriteString("# EOF\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Snapshot) labels(p *Program) string {
	command, name := "", ""
	if len(p.Command) > 0 {
		command = p.Command[0][strings.LastIndexByte(p.Command[0], '/')+1:]
	}
	if p.Detail != nil {
		name = p.Name
	}
	return fmt.Sprintf("node=%s,worker=%s,name=%s,command=%s",
		labelValue(s.Node.Name), labelValue(fmt.Sprintf("%d.%d", p.Worker.ID, p.Worker.Serial)), labelValue(name), labelValue(command))
}

// labelValue is the value of a label. What is not UTF-8 is replaced.
func labelValue(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(strings.ToValidUTF8(s, "\uFFFD")) + `"`
}
