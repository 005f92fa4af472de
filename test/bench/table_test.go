package main

import (
	"strings"
	"testing"
)

// of makes a table of lines as the node writes them, one for each row.
func of(t *testing.T, lines string) table {
	t.Helper()
	r := results{table: table{}}
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		if err := r.take(strings.ReplaceAll(strings.TrimSpace(line), ", ", "\t")); err != nil {
			t.Fatal(err)
		}
	}
	return r.table
}

func printed(t table) string {
	var b strings.Builder
	t.print(&b)
	return b.String()
}

// The ratio is the median of the rounds' ratios, 2, 1.5 and 0.5; that of the medians
// would be 200 to 100.
func TestRatioIsOfTheRounds(t *testing.T) {
	got := printed(of(t, `
		e, port, GB/s, 100
		e, erluv, GB/s, 200
		e, port, GB/s, 200
		e, erluv, GB/s, 300
		e, port, GB/s, 60
		e, erluv, GB/s, 30
	`))
	want := "| GB/s | 100 (60 to 200) |  | 200 (30 to 300) | 1.5 (0.5 to 2) | ≥ 1.1 × open_port | 1.5 | yes |\n"
	if !strings.Contains(got, want) {
		t.Errorf("%s\nwant a row with %s", got, want)
	}
}

func TestTargets(t *testing.T) {
	for _, c := range []struct{ name, lines, ends string }{
		{
			"a rate that is reached", "a, port, starts/s, 1000\na, erluv, starts/s, 1200",
			"| 1.2 | ≥ 1.2 × open_port | 1.2 | yes |",
		},
		{
			"a rate that is not", "a, port, starts/s, 1000\na, erluv, starts/s, 1190",
			"| 1.19 | ≥ 1.2 × open_port | 1.19 | no |",
		},
		{
			"a time that is kept", "c, port, ms, 100\nc, erluv, ms, 80",
			"| 0.8 | ≤ 0.8 × open_port | 0.8 | yes |",
		},
		{
			"a time that is not", "c, port, ms, 100\nc, erluv, ms, 81",
			"| 0.81 | ≤ 0.8 × open_port | 0.81 | no |",
		},
		{
			"the sum of two", "h, port, us median, 10\nh, tcp, us median, 30\nh, erluv, us median, 44",
			"| us median | 10 | 30 | 44 | 4.4 | ≤ 1.1 × (tcp + open_port) | 1.1 | yes |",
		},
		{
			"more than the sum of two", "h, port, us 99 %, 10\nh, tcp, us 99 %, 30\nh, erluv, us 99 %, 45",
			"| ≤ 1.1 × (tcp + open_port) | 1.12 | no |",
		},
		{
			"another workload, in the same unit",
			"h, erluv, us 99 %, 100\nh, erluv, us median, 10\ni, erluv, us median, 21\n",
			"| i | h while another worker floods | us median |  |  | 21 |  | ≤ 2 × h | 2.1 | no |",
		},
		{
			"two of which one is missed",
			"a1, erluv, starts/s, 1000\nja, port, starts/s, 100\nja, erluv, starts/s, 800",
			"| 8 | ≥ 3 × open_port; ≥ 0.9 × a1 | 8; 0.8 | no |",
		},
		{
			"two of which the first is missed",
			"a1, erluv, starts/s, 1000\nja, port, starts/s, 1000\nja, erluv, starts/s, 1000",
			"| ≥ 3 × open_port; ≥ 0.9 × a1 | 1; 1 | no |",
		},
		{
			"the other workload was not run", "j, erluv, us median, 10",
			"| ≤ 1.1 × h | not measured |  |",
		},
		{
			"one of two was not run", "f8, port, GB/s, 1\nf8, erluv, GB/s, 1",
			"| 1 | ≥ 0.5 × open_port; ≥ 1 × e | 1; not measured |  |",
		},
		{
			"one of two was not run, the other is missed", "f8, port, GB/s, 10\nf8, erluv, GB/s, 1",
			"| ≥ 0.5 × open_port; ≥ 1 × e | 0.1; not measured | no |",
		},
		{
			"a figure by itself", "k, erluv, threads, 12\nk, erluv, bytes each, 1001",
			"| threads |  |  | 12 |  | ≤ 12 | 12 | yes |",
		},
		{
			"one that is more", "k, erluv, threads, 12\nk, port, bytes each, 2002\nk, erluv, bytes each, 1001",
			"| bytes each | 2002 |  | 1001 | 0.5 | ≤ 1000 | 1001 | no |",
		},
		{
			"each unit has its own", "d, port, ms for 1000, 10\nd, erluv, ms for 1000, 99\nd, port, ms for 4500, 10\nd, erluv, ms for 4500, 11",
			"| ms for 4500 | 10 |  | 11 | 1.1 | ≤ 1 × open_port | 1.1 | no |",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := printed(of(t, c.lines)); !strings.Contains(got, c.ends+"\n") {
				t.Errorf("%s\nwant a row that ends in %s", got, c.ends)
			}
		})
	}
}

// A round in which one of the peers is missing gives no ratio.
func TestRatiosOfWholeRounds(t *testing.T) {
	m := of(t, "h, erluv, us, 10\nh, erluv, us, 20\ni, erluv, us, 30\ni, erluv, us, 40\ni, erluv, us, 50")
	got := m.ratios(key{"i", "us"}, []peer{own("h")})
	if len(got) != 2 || got[0] != 3 || got[1] != 2 {
		t.Errorf("%v, want 3 and 2", got)
	}
	if m[key{"i", "us"}]["erluv"][0] != 30 {
		t.Error("the figures have changed")
	}
}

func TestMedian(t *testing.T) {
	for want, list := range map[float64][]float64{3: {3}, 2: {1, 3}, 4: {9, 4, 1}, 5: {9, 6, 4, 1}} {
		if got := median(list); got != want {
			t.Errorf("of %v: %v, want %v", list, got, want)
		}
	}
}

// What two columns of a Markdown table are must not depend on what is in them.
func TestColumns(t *testing.T) {
	m := of(t, "h, port, us median, 10\nh, tcp, us median, 30\nh, erluv, us median, 44\np, erluv, MB PSS, 9")
	for line := range strings.Lines(printed(m)) {
		if strings.HasPrefix(line, "|") && strings.Count(line, "|") != 11 {
			t.Errorf("%s has not 10 columns", line)
		}
	}
}

func TestRefusesWhatIsNoResult(t *testing.T) {
	for _, line := range []string{"", "e\tport\tGB/s", "e\tport\tGB/s\tmuch", "{init terminating in do_boot}", "e\tport\tGB/s\t1\t2"} {
		r := results{table: table{}, told: map[string]string{}}
		if err := r.take(line); err == nil {
			t.Errorf("%q is taken", line)
		}
	}
}

func TestProcessors(t *testing.T) {
	const cpuinfo = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu\n\nprocessor\t: 1\nmodel name\t: AMD EPYC\n"
	if got := processors(cpuinfo); got != "2 × AMD EPYC" {
		t.Error(got)
	}
}
