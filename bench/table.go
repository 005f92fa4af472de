package main

import (
	"fmt"
	"io"
	"slices"
	"sort"
)

// workloads are the rows of the table, in their order, with what doc/performance.md
// aims at.
var workloads = []struct{ name, what, target string }{
	{"a", "start `/bin/true`, wait for its end, one by one", "1.2"},
	{"b", "the same from 8 processes at once", "1.15"},
	{"a1", "a with a static program that ends at once", "1.5"},
	{"a8", "b with a static program that ends at once", "1.5"},
	{"c", "1,000 `sleep`, until all run", "0.8"},
	{"d", "kill these one by one, until all are told", "1,000 in 100 ms; 4,500: 1"},
	{"e", "`head -c 1G /dev/zero`, all of it received", "1.1"},
	{"f4", "four of these at once (512 MiB each), total", "0.5"},
	{"f8", "eight of these at once, total", "0.5"},
	{"g", "256 MiB through `cat`, in and out", "1.2"},
	{"n", "lines of `seq 1 5000000`", "1.5"},
	{"h", "64 bytes to `cat` and back", "1.1 of tcp + open_port"},
	{"i", "h while another worker floods", "2 of h"},
	{"j", "h with 1,000 idle workers", "as h, ± 10 %"},
	{"ja", "a1 with 4,500 idle workers", "3 of open_port's; 0.9 of a1"},
	{"je", "e with 1,000 idle workers", "0.9 of e"},
	{"k", "an idle worker with three pipes, of 4,500", "1,000 bytes, 12 threads, 20 ms"},
	{"l", "a consumer of one message a ms, 6 s of a flood", "32 MB"},
	{"m", "1 GiB written to a worker that does not read", "8 MB"},
	{"o", "from the start of erluv to the node being up", "50 ms"},
	{"p", "memory of main, child and spawner, idle", "12 MB"},
}

type key struct{ workload, unit string }

// table holds the measurements by peer.
type table map[key]map[string][]float64

func (t table) add(workload, peer, unit string, v float64) {
	k := key{workload, unit}
	if t[k] == nil {
		t[k] = map[string][]float64{}
	}
	t[k][peer] = append(t[k][peer], v)
}

// print writes the medians. The ratio is erluv's to open_port's: what is better when
// it is more is so from 1 upwards, a time or a size from 1 downwards.
func (t table) print(w io.Writer) {
	fmt.Fprintln(w, "| | workload | unit | open_port | tcp | erluv | ratio | target |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|")
	for _, l := range workloads {
		var units []string
		for k := range t {
			if k.workload == l.name {
				units = append(units, k.unit)
			}
		}
		sort.Strings(units)
		for _, unit := range units {
			m := t[key{l.name, unit}]
			ratio := ""
			if len(m["port"]) > 0 && len(m["erluv"]) > 0 {
				ratio = fmt.Sprintf("%.2f", median(m["erluv"])/median(m["port"]))
			}
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", l.name, l.what, unit,
				figure(m["port"]), figure(m["tcp"]), figure(m["erluv"]), ratio, l.target)
		}
	}
}

func figure(list []float64) string {
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf("%.4g", median(list))
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}
