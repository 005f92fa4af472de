package overview

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"erluv/stat"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// node answers like an erluv with programs.
type node struct {
	t        *testing.T
	up       time.Duration
	programs map[int64]*stat.Measured
	told     map[int64]*stat.Measured // as last sent
	last     int64
	output   uint64
	paused   time.Duration
	asked    []int // how many programs each request has measured
	part     int   // how many new programs are in one answer
}

func pidOf(n int64) stat.Process {
	p := gen.PidOf("e@h", 1, uint32(n))
	return stat.Process{Node: string(p.Node), ID: p.ID, Serial: p.Serial, Creation: p.Creation}
}

func (n *node) add(count int) {
	for range count {
		n.last++
		cpu, rss := time.Duration(0), 100*n.last
		n.programs[n.last] = &stat.Measured{Worker: pidOf(n.last), PID: int(1000 + n.last), State: "running", Started: time.UnixMilli(n.last), CPU: &cpu, RSS: &rss}
	}
}

func (n *node) call(_ context.Context, to, request etf.Term) (etf.Term, error) {
	req := request.(etf.Tuple)
	if to != gen.Manager || req[0] != etf.Atom("figures") {
		n.t.Fatalf("%v is asked for %v", to, request)
	}
	since, of, then := req[1].(int64), req[2].(etf.List), req[3].(int64)
	if len(of) > most {
		n.t.Fatalf("%d are to be measured", len(of))
	}
	n.asked = append(n.asked, len(of))
	cpu, rss := n.up/100, int64(4096)
	f := stat.Figures{
		Uptime: n.up, Status: "ready", Programs: len(n.programs), Newest: n.last, Output: n.output, Paused: n.paused,
		States: []stat.Count{{Name: "running", N: uint64(len(n.programs))}}, Roles: []stat.Role{{Name: "main", PID: 1, CPU: &cpu, RSS: &rss}},
		Load: &stat.Load{Avg1: 1.5, CPUs: 2}, Memory: &stat.Memory{Total: 100, Available: 50, Limit: 80},
	}
	for i := since + 1; i <= n.last && len(f.New) < n.part; i++ {
		if m := n.programs[i]; m != nil {
			f.New = append(f.New, stat.New{Program: stat.Program{Worker: m.Worker, Command: []string{"sleep"}, User: "u", State: "running"}, Name: fmt.Sprint("p", i), Restart: "temporary"})
			f.Newest = i
		}
	}
	if len(f.New) < n.part {
		f.Newest = n.last
	}
	for _, w := range of {
		pid := w.(etf.Pid)
		number := int64(pid.Serial)<<gen.IDBits | int64(pid.ID)
		m, was := n.programs[number], n.told[number]
		switch {
		case m == nil:
			f.Gone = append(f.Gone, pidOf(number))
		case then == 0 || was == nil || !was.Equal(m): // here no look is missed
			f.Measured = append(f.Measured, *m)
			is := *m
			n.told[number] = &is
		}
	}
	sent, err := etf.AppendTerm(nil, stat.Terms(f.Items()))
	if err != nil {
		n.t.Fatal(err)
	}
	return etf.Decode(sent)
}

func newNode(t *testing.T) *node {
	return &node{t: t, up: time.Second, programs: map[int64]*stat.Measured{}, told: map[int64]*stat.Measured{}, part: 20}
}

// TestLook: all programs become known, in parts. Changes of a program on display are seen at once,
// and of others in their turn. Programs that have ended vanish.
func TestLook(t *testing.T) {
	n, o := newNode(t), New()
	look := func(shown ...*Program) {
		t.Helper()
		n.asked = nil
		if err := o.Look(t.Context(), n.call, shown); err != nil {
			t.Fatal(err)
		}
	}
	n.add(250)
	look()
	if len(o.Programs) != 250 || o.Find("7.0").Name != "p7" || o.Find("7.0").Memory != 700 || o.Find("999.0") != nil {
		t.Fatalf("%d programs, %+v", len(o.Programs), o.Find("7.0"))
	}
	for i, p := range o.Programs {
		if p.Number() != fmt.Sprintf("%d.0", i+1) || p.Measured == 0 {
			t.Fatalf("number %d is %+v", i, p)
		}
	}
	if s := o.Sums; s.Load1 != 1.5 || s.MemoryTotal != 80 || s.Memory != 50 || s.Programs != 250 || s.States[0] != (Count{"running", 250}) {
		t.Errorf("%+v", s)
	}
	n.up += time.Second
	n.output, n.paused = 5000, time.Second/2
	cpu := 250 * time.Millisecond
	n.programs[7].CPU, n.programs[7].Output, n.programs[7].Held = &cpu, 3000, true
	look(o.Find("7.0"))
	if len(n.asked) != 1 || n.asked[0] > 1+others {
		t.Errorf("a look measures %v programs", n.asked)
	}
	if p := o.Find("7.0"); !p.HasShare || p.Share != 0.25 || p.Rate != 3000 || !p.Held {
		t.Errorf("%+v", p)
	}
	if o.Rate != 5000 || o.Paused != 0.5 || o.Sums.Roles[0].Share != 0.01 {
		t.Errorf("%v, %v, %+v", o.Rate, o.Paused, o.Sums.Roles)
	}
	n.up += time.Second
	look(o.Find("7.0"))
	if p := o.Find("7.0"); !p.HasShare || p.Share != 0 || p.Rate != 0 || !p.Held || p.Output != 3000 || p.Measured != n.up.Milliseconds() {
		t.Errorf("as it was: %+v", p)
	}
	delete(n.programs, 7)
	delete(n.programs, 200)
	n.add(1)
	gone := o.Find("7.0")
	for range 4 {
		n.up += time.Second
		look(gone)
	}
	if len(o.Programs) != 249 || o.Find("7.0") != nil || o.Find("200.0") != nil || o.Find("251.0") == nil {
		t.Errorf("%d programs", len(o.Programs))
	}
	// Another run of a program has no rate yet. A program that is measured twice at once keeps its
	// rate.
	p := o.Find("9.0")
	n.programs[9].PID, n.programs[9].Restarts, n.programs[9].Output = 5, 1, 10
	n.up += time.Second
	look(p)
	if p.HasShare || p.HasRate || p.Restarts != 1 {
		t.Errorf("%+v", p)
	}
	n.up += time.Second
	n.programs[9].Output = 110
	look(p)
	look(p)
	if p.Rate != 100 || o.Sums.Uptime != n.up.Milliseconds() {
		t.Errorf("%+v", p)
	}
}

// TestAnotherChild: programs and sums of a child that has crashed are forgotten at once.
func TestAnotherChild(t *testing.T) {
	n, o := newNode(t), New()
	n.up = time.Hour
	n.add(3000)
	n.part = 2000
	for range 2 {
		n.up += time.Second
		if err := o.Look(t.Context(), n.call, nil); err != nil {
			t.Fatal(err)
		}
	}
	next := newNode(t)
	next.last, next.part = n.last-10, 2000 // as many as there were, or fewer
	next.add(5)
	if err := o.Look(t.Context(), next.call, o.Programs[:100]); err != nil {
		t.Fatal(err)
	}
	if len(o.Programs) != 5 || o.Sums.Uptime != next.up.Milliseconds() || !o.Looked || o.Rate != 0 {
		t.Errorf("%d programs, %+v", len(o.Programs), o.Sums)
	}
}

func TestAnswers(t *testing.T) {
	for _, answer := range []etf.Term{etf.Atom("x"), etf.Map{}, etf.Map{{Key: etf.Atom("newest"), Value: etf.Atom("x")}}} {
		err := New().Look(t.Context(), func(context.Context, etf.Term, etf.Term) (etf.Term, error) { return answer, nil }, nil)
		if !errors.Is(err, errAnswer) {
			t.Errorf("%v: %v", answer, err)
		}
	}
	odd := etf.Map{
		{Key: etf.Atom("newest"), Value: int64(1)},
		{Key: etf.Atom("new"), Value: etf.List{etf.Atom("x"), etf.Map{}}},
		{Key: etf.Atom("measured"), Value: etf.List{etf.Map{}}},
		{Key: etf.Atom("states"), Value: etf.Map{{Key: etf.Atom("a"), Value: etf.Atom("b")}}},
	}
	o := New()
	if err := o.Look(t.Context(), func(context.Context, etf.Term, etf.Term) (etf.Term, error) { return odd, nil }, nil); err != nil || len(o.Programs) != 0 {
		t.Errorf("%v, %v", err, o.Programs)
	}
	failed := errors.New("x")
	if err := o.Look(t.Context(), func(context.Context, etf.Term, etf.Term) (etf.Term, error) { return nil, failed }, nil); err != failed {
		t.Error(err)
	}
}

func TestSorted(t *testing.T) {
	a := &Program{Name: "a", State: "running", Started: 3, Restarts: 1, Usage: Usage{Share: 0.1, Memory: 5, CPU: 9}, Rate: 1}
	b := &Program{Name: "b", State: "resting", Started: 0, Restarts: 3, Usage: Usage{Share: 0.5, Memory: 1}, Rate: 9}
	c := &Program{Name: "c", State: "starting", Started: 1, Restarts: 2, Usage: Usage{Share: 0.1, Memory: 9}, Rate: 5}
	o := &Overview{Programs: []*Program{a, b, c}}
	for by, want := range map[Order]string{ByCPU: "bac", ByMemory: "cab", ByOutput: "bca", BySince: "cab", ByRestarts: "bca", ByName: "abc", ByState: "bac"} {
		for _, reverse := range []bool{false, true} {
			got := ""
			for _, p := range o.Sorted(by, reverse) {
				if reverse {
					got = p.Called() + got
				} else {
					got += p.Called()
				}
			}
			if got != want {
				t.Errorf("%s, reverse %v: %s, want %s", by, reverse, got, want)
			}
		}
	}
	if (&Program{Restart: "temporary"}).Restartable() || !(&Program{Restart: "permanent"}).Restartable() || (&Program{Worker: etf.Pid{ID: 4}}).Called() != "4.0" || (&Program{Worker: etf.Pid{ID: 4}, Name: "17.0"}).Called() != "4.0" {
		t.Error("a program is called otherwise, or started again")
	}
}
