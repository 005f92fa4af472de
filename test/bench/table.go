package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// A workload is measured in one or several units. Each unit is a row of the table.
type workload struct {
	name, what string
	targets    []target
}

// workloads are in the order of the table.
var workloads = []workload{
	{"a", "start `/bin/true`, wait for its end, one by one", aims(atLeast(1.1, by("port")))},
	{"b", "the same from 8 processes at once", aims(atLeast(1.1, by("port")))},
	{"a1", "a with a static program that ends at once", aims(atLeast(1.2, by("port")))},
	{"a8", "b with a static program that ends at once", aims(atLeast(1.3, by("port")))},
	{"c", "1,000 `sleep`, until all run", aims(atMost(0.8, by("port")))},
	{"d", "kill these one by one, until all ends are reported", aims(
		atMost(100).in("ms for 1000"),
		atMost(1, by("port")).in("ms for 4500"))},
	{"e", "`head -c 1G /dev/zero`, all of it received", aims(atLeast(0.8, by("port")))},
	{"f4", "four of these at once (512 MiB each), total", aims(atLeast(0.5, by("port")), atLeast(1, own("e")))},
	{"f8", "eight of these at once, total", aims(atLeast(0.5, by("port")), atLeast(1, own("e")))},
	{"g", "256 MiB through `cat`, in and out", aims(atLeast(1, by("port")))},
	{"n", "lines of `seq 1 5000000`, a message each", nil},
	{"nl", "the same, from erluv in lists of lines", aims(atLeast(1.5, by("port")))},
	{"h", "64 bytes to `cat` and back", aims(
		atMost(1.1, by("tcp"), by("port")),
		atMost(1.5, by("port")).in("us median"))},
	{"i", "h while another worker floods", aims(atMost(2, own("h")))},
	{"j", "h with 1,000 idle workers", aims(atMost(1.1, own("h")))},
	{"ja", "a1 with 4,500 idle workers", aims(atLeast(2, by("port")), atLeast(0.95, own("a1")))},
	{"je", "e with 1,000 idle workers", aims(atLeast(0.9, own("e")))},
	{"k", "an idle worker with three pipes, of 4,500", aims(
		atMost(1000).in("bytes each"),
		atMost(12).in("threads"),
		atMost(20).in("ms of processor a minute"))},
	{"l", "a consumer of one message a ms, 6 s of a flood", aims(
		atMost(32).in("MB of the node"),
		atMost(8).in("MB of erluv"),
		atMost(5000).in("us 99 % of another's echo"))},
	{"m", "1 GiB written to a worker that does not read", aims(atMost(8))},
	{"o", "from the start of erluv to the node being up", aims(atMost(50))},
	{"p", "memory of main, child and spawner, idle", aims(atMost(12))},
}

// besides are the workloads that libraries run too (peers.erl), in the order of their table.
var besides = []workload{
	{name: "xa", what: "start `/bin/true`, wait for its end, one by one"},
	{name: "xb", what: "the same from 8 processes at once"},
	{name: "xe", what: "`head -c 256000000 /dev/zero`, all of it received"},
	{name: "xl", what: "lines of `seq 1 2000000`, one by one, from `Erluv.stream!`"},
	{name: "xg", what: "128 MiB through `cat`, in and out"},
	{name: "xh", what: "1 byte to `cat` and back"},
}

// short has the workloads of a run of two minutes: the most telling one of each kind.
var short = []string{"o", "p", "a", "a1", "a8", "c", "e", "g", "nl", "h", "i", "m"}

// libraries are the peers of the workloads in besides, with their names in the table.
var libraries = []struct{ name, title string }{
	{"port", "open_port"}, {"erlexec", "erlexec"}, {"muontrap", "MuonTrap"}, {"exile", "Exile"}, {"elixir", "Erluv"},
}

func aims(list ...target) []target { return list }

// A target bounds erluv's figure, or its ratio to the sum of others. The value must be at least or
// at most the bound.
type target struct {
	least bool
	bound float64
	of    []peer
	unit  string // "": all units of the workload
}

// A peer is a figure that erluv is compared with: another program's figure of the same workload, or
// erluv's own of another workload.
type peer struct{ who, workload string }

func by(who string) peer       { return peer{who: who} }
func own(workload string) peer { return peer{who: "erluv", workload: workload} }

func (p peer) String() string {
	switch {
	case p.workload != "":
		return p.workload
	case p.who == "port":
		return "open_port"
	}
	return p.who
}

func atLeast(bound float64, of ...peer) target { return target{least: true, bound: bound, of: of} }
func atMost(bound float64, of ...peer) target  { return target{bound: bound, of: of} }

// in makes it the target of one unit.
func (g target) in(unit string) target {
	g.unit = unit
	return g
}

func (g target) String() string {
	s := fmt.Sprintf("≤ %g", g.bound)
	if g.least {
		s = fmt.Sprintf("≥ %g", g.bound)
	}
	switch len(g.of) {
	case 0:
		return s
	case 1:
		return s + " × " + g.of[0].String()
	}
	var names []string
	for _, p := range g.of {
		names = append(names, p.String())
	}
	return s + " × (" + strings.Join(names, " + ") + ")"
}

func (g target) met(v float64) bool {
	if g.least {
		return v >= g.bound
	}
	return v <= g.bound
}

type key struct{ workload, unit string }

// table holds the measurements by peer, a figure for each round.
type table map[key]map[string][]float64

func (t table) add(workload, peer, unit string, v float64) {
	k := key{workload, unit}
	if t[k] == nil {
		t[k] = map[string][]float64{}
	}
	t[k][peer] = append(t[k][peer], v)
}

// ratios returns erluv's figure of each round, divided by the sum of the others' figures in the
// same round. Without others it returns the figures themselves. It ends before the first round that
// a peer lacks.
func (t table) ratios(k key, of []peer) []float64 {
	list := slices.Clone(t[k]["erluv"])
	for round := range list {
		sum := 0.0
		for _, p := range of {
			other := k
			if p.workload != "" {
				other.workload = p.workload
			}
			figures := t[other][p.who]
			if round >= len(figures) {
				return list[:round]
			}
			sum += figures[round]
		}
		if len(of) > 0 {
			list[round] /= sum
		}
	}
	return list
}

// computed is printed below the table.
const computed = `
A cell is the median of the rounds, and behind it their spread, lowest to highest.
A ratio is taken in each round, of what was measured one right after the other, and the median of these
is shown: erluv's figure divided by that of open_port, or by what the target names.
`

// computedBefore comes after it, if there is another executable of erluv.
const computedBefore = `
The column before has the figures of another executable of erluv, which had its turn right before or
after erluv's. A ratio erluv / before is taken in each round too.
`

// print writes the table and the explanation of its figures. A higher rate is better, and a lower
// time or size. If another executable of erluv was run, two columns compare with it.
func (t table) print(w io.Writer, before bool) {
	title, rule := "", ""
	if before {
		title, rule = " before | erluv / before |", "---|---|"
	}
	fmt.Fprintf(w, "| | workload | unit | open_port | tcp | erluv | erluv / open_port |%s target | reached | met |\n", title)
	fmt.Fprintf(w, "|---|---|---|---|---|---|---|%s---|---|---|\n", rule)
	for _, l := range workloads {
		for _, unit := range t.units(l.name) {
			k := key{l.name, unit}
			m := t[k]
			cells := ""
			if before {
				cells = fmt.Sprintf(" %s | %s |", figure(m["before"]), figure(t.ratios(k, []peer{by("before")})))
			}
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s |%s %s |\n", l.name, l.what, unit, figure(m["port"]),
				figure(m["tcp"]), figure(m["erluv"]), figure(t.ratios(k, []peer{by("port")})), cells, t.judge(k, l.targets))
		}
	}
	fmt.Fprint(w, computed)
	if before {
		fmt.Fprint(w, computedBefore)
	}
}

// printBesides writes the table of the workloads that libraries run too, if there are any.
func (t table) printBesides(w io.Writer) {
	begun := false
	for _, l := range besides {
		for _, unit := range t.units(l.name) {
			m := t[key{l.name, unit}]
			if !begun {
				fmt.Fprint(w, "\n| | workload | unit |")
				for _, lib := range libraries {
					fmt.Fprintf(w, " %s |", lib.title)
				}
				fmt.Fprintln(w, "\n|---|---|---|"+strings.Repeat("---|", len(libraries)))
				begun = true
			}
			fmt.Fprintf(w, "| %s | %s | %s |", l.name, l.what, unit)
			for _, lib := range libraries {
				fmt.Fprintf(w, " %s |", figure(m[lib.name]))
			}
			fmt.Fprintln(w)
		}
	}
}

// printFormat writes each figure as benchstat reads it (golang.org/x/perf, benchfmt), with a line for
// each round.
func (t table) printFormat(w io.Writer) {
	units := map[string]bool{}
	for _, l := range slices.Concat(workloads, besides) {
		for _, unit := range t.units(l.name) {
			word := strings.ReplaceAll(unit, " ", "-")
			if !units[word] {
				units[word] = true
				better := "lower"
				if strings.HasSuffix(word, "/s") {
					better = "higher"
				}
				fmt.Fprintf(w, "Unit %s better=%s\n", word, better)
			}
			m := t[key{l.name, unit}]
			for _, peer := range slices.Sorted(maps.Keys(m)) {
				for _, v := range m[peer] {
					fmt.Fprintf(w, "Benchmark/%s/%s 1 %g %s\n", l.name, peer, v, word)
				}
			}
		}
	}
}

// units returns the units that a workload was measured in.
func (t table) units(workload string) (units []string) {
	for k := range t {
		if k.workload == workload {
			units = append(units, k.unit)
		}
	}
	slices.Sort(units)
	return units
}

// judge returns the last three columns: the targets of a row, the values reached, and whether all
// targets are met. The last is empty if that is not known.
func (t table) judge(k key, targets []target) string {
	var aims, reached []string
	missed, unknown := false, false
	for _, g := range targets {
		if g.unit != "" && g.unit != k.unit {
			continue
		}
		aims = append(aims, g.String())
		list := t.ratios(k, g.of)
		if len(list) == 0 {
			reached = append(reached, "not measured")
			unknown = true
			continue
		}
		reached = append(reached, number(median(list)))
		missed = missed || !g.met(median(list))
	}
	met := "yes"
	switch {
	case missed:
		met = "no"
	case unknown, len(aims) == 0:
		met = ""
	}
	return strings.Join(aims, "; ") + " | " + strings.Join(reached, "; ") + " | " + met
}

// figure is a cell: the median, and the spread if there are several.
func figure(list []float64) string {
	switch len(list) {
	case 0:
		return ""
	case 1:
		return number(list[0])
	}
	return fmt.Sprintf("%s (%s to %s)", number(median(list)), number(slices.Min(list)), number(slices.Max(list)))
}

func number(v float64) string {
	if v >= 1000 || v <= -1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}
