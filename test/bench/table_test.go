package main

import (
	"os"
	"slices"
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

func printed(t table) string { return printedWith(t, false) }

func printedWith(t table, before bool) string {
	var b strings.Builder
	t.print(&b, before)
	return b.String()
}

// The ratio is the median of the rounds' ratios, 2, 1.5 and 0.5. The ratio of the medians would be
// 200 to 100.
func TestRatioIsOfTheRounds(t *testing.T) {
	got := printed(of(t, `
		e, port, GB/s, 100
		e, erluv, GB/s, 200
		e, port, GB/s, 200
		e, erluv, GB/s, 300
		e, port, GB/s, 60
		e, erluv, GB/s, 30
	`))
	want := "| GB/s | 100 (60 to 200) |  | 200 (30 to 300) | 1.5 (0.5 to 2) | ≥ 0.8 × open_port | 1.5 | yes |\n"
	if !strings.Contains(got, want) {
		t.Errorf("%s\nwant a row with %s", got, want)
	}
}

func TestTargets(t *testing.T) {
	for _, c := range []struct{ name, lines, ends string }{
		{
			"a rate that is reached", "a, port, starts/s, 1000\na, erluv, starts/s, 1100",
			"| 1.1 | ≥ 1.1 × open_port | 1.1 | yes |",
		},
		{
			"a rate that is not", "a, port, starts/s, 1000\na, erluv, starts/s, 1090",
			"| 1.09 | ≥ 1.1 × open_port | 1.09 | no |",
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
			"the sum of two", "h, port, us median, 30\nh, tcp, us median, 10\nh, erluv, us median, 44",
			"| us median | 30 | 10 | 44 | 1.47 | ≤ 1.1 × (tcp + open_port); ≤ 1.5 × open_port | 1.1; 1.47 | yes |",
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
			"| 8 | ≥ 2 × open_port; ≥ 0.95 × a1 | 8; 0.8 | no |",
		},
		{
			"two of which the first is missed",
			"a1, erluv, starts/s, 1000\nja, port, starts/s, 1000\nja, erluv, starts/s, 1000",
			"| ≥ 2 × open_port; ≥ 0.95 × a1 | 1; 1 | no |",
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

// A round without one of the peers gives no ratio.
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

// The columns of a Markdown table must not depend on its contents.
func TestColumns(t *testing.T) {
	m := of(t, "h, port, us median, 10\nh, tcp, us median, 30\nh, erluv, us median, 44\np, erluv, MB PSS, 9")
	for line := range strings.Lines(printed(m)) {
		if strings.HasPrefix(line, "|") && strings.Count(line, "|") != 11 {
			t.Errorf("%s has not 10 columns", line)
		}
	}
}

// TestBefore: another executable of erluv has two columns, and the ratio is that of the rounds. Where
// it has no figures, its cells are empty.
func TestBefore(t *testing.T) {
	m := of(t, `
		e, port, GB/s, 100
		e, erluv, GB/s, 200
		e, before, GB/s, 100
		e, port, GB/s, 100
		e, before, GB/s, 200
		e, erluv, GB/s, 300
		e, port, GB/s, 100
		e, erluv, GB/s, 30
		e, before, GB/s, 60
		nl, port, M lines/s, 4
		nl, erluv, M lines/s, 8
		o, erluv, ms, 10
		o, before, ms, 20
	`)
	got := printedWith(m, true)
	for _, want := range []string{
		"| tcp | erluv | erluv / open_port | before | erluv / before | target | reached | met |\n",
		"| GB/s | 100 (100 to 100) |  | 200 (30 to 300) | 2 (0.3 to 3) | 100 (60 to 200) | 1.5 (0.5 to 2) | ≥ 0.8 × open_port | 2 | yes |\n",
		"| M lines/s | 4 |  | 8 | 2 |  |  | ≥ 1.5 × open_port | 2 | yes |\n",
		"| ms |  |  | 10 |  | 20 | 0.5 | ≤ 50 | 10 | yes |\n",
		computed + computedBefore,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	for line := range strings.Lines(got) {
		if strings.HasPrefix(line, "|") && strings.Count(line, "|") != 13 {
			t.Errorf("%s has not 12 columns", line)
		}
	}
	if got := printed(m); strings.Contains(got, "before") {
		t.Errorf("without another executable: %s", got)
	}
}

// TestLibraries: their table is there when one was measured, with a column for each.
func TestLibraries(t *testing.T) {
	var b strings.Builder
	of(t, "a, port, starts/s, 1").printBesides(&b)
	if b.String() != "" {
		t.Errorf("without libraries: %s", &b)
	}
	of(t, "xa, port, starts/s, 1\nxa, exile, starts/s, 2\nxa, elixir, starts/s, 3").printBesides(&b)
	if want := "| starts/s | 1 |  |  | 2 | 3 |\n"; !strings.Contains(b.String(), want) {
		t.Errorf("%s\nwant a row with %s", &b, want)
	}
}

// TestBenchstat: each figure is a line of its own, with its unit, and which way it is better.
func TestBenchstat(t *testing.T) {
	var b strings.Builder
	of(t, "a, port, starts/s, 1\na, port, starts/s, 2\nh, erluv, us 99 %, 44").printFormat(&b)
	want := "Unit starts/s better=higher\nBenchmark/a/port 1 1 starts/s\nBenchmark/a/port 1 2 starts/s\n" +
		"Unit us-99-% better=lower\nBenchmark/h/erluv 1 44 us-99-%\n"
	if b.String() != want {
		t.Errorf("%s\nwant\n%s", &b, want)
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		o    options
		want string // "": it is refused
	}{
		{options{only: []string{"a", "nl"}}, "a nl"},
		{options{short: true}, strings.Join(short, " ")},
		{options{short: true, only: []string{"k"}}, "k"},
		{options{}, strings.Join(names(workloads), " ")},
		{options{short: true, peers: "erluv"}, strings.Join(append(slices.Clone(short), names(besides)...), " ")},
		{options{only: []string{"xa"}, peers: "erluv"}, "xa"},
		{options{only: []string{"xa"}}, ""},
		{options{only: []string{"zz"}}, ""},
	} {
		o := c.o
		o.rounds = 5
		if err := o.choose(); (err == nil) != (c.want != "") || err == nil && strings.Join(o.only, " ") != c.want {
			t.Errorf("%+v gives %v, %v", c.o, o.only, err)
		}
	}
	if err := (&options{rounds: 0, only: []string{"a"}}).choose(); err == nil {
		t.Error("no round is a number of rounds")
	}
}

// TestLibrariesThatAreNone: a directory that is no known library, compiled, is refused.
func TestLibrariesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/exile", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dirs := range []string{dir, dir + "/exile", "/nowhere/muontrap", "porcelain"} {
		if _, _, err := compiled(dirs); err == nil {
			t.Errorf("%s is taken", dirs)
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
