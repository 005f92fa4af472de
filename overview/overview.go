// Package overview is what a client knows of an erluv when it looks every second or two: all
// programs, and their usage. erluv top and erluv web have one each.
//
// A look is one request, {figures, Since, Workers, Then} of erluv-protocol(7). The answer has new
// programs. It also has measurements of the programs on display and of a few others in turn. So the
// cost of a look does not depend on the number of programs. Between two looks nothing is requested.
//
//	overview.go   a look, and its results
//	read.go       the encoded answer
//	order.go      programs in an order
package overview

import (
	"cmp"
	"context"
	"slices"

	"erluv/stat"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

const (
	// others is how many programs that are not on display are measured with each look.
	others = 200

	// most is how many programs one request measures.
	most = 1000

	// mostRequests bounds a look. With 2,000 new programs in each answer that is half a million.
	mostRequests = 256
)

// Call makes a call to erluv.
type Call func(ctx context.Context, to, request etf.Term) (etf.Term, error)

// Overview is the knowledge about an erluv. It belongs to one goroutine. A new one is empty.
type Overview struct {
	Sums     Sums
	Looked   bool    // there was a look
	Rate     float64 // of the output of all, in bytes a second
	Paused   float64 // how many streams waited for a receiver, on average since the look before
	Programs []*Program

	known   map[etf.Pid]*Program
	partial bool // the last look was a Glance
	since   int64
	turn    int // of the next program that is measured though it is not on display
}

// Sums are erluv's data about itself.
type Sums struct {
	Uptime     int64 // milliseconds
	Status     string
	Nodes      int64
	Programs   int64
	MaxWorkers int64
	States     []Count
	Started    int64
	Ended      []Count
	Output     int64
	Paused     int64 // milliseconds
	Crashes    int64
	Roles      []Role

	HasLoad, HasMemory  bool
	Load1, Load5        float64
	Load15              float64
	CPUs                int64
	MemoryTotal, Memory int64 // of the machine; Memory is the available part
}

// areOfAnother reports whether later sums are those of another child. A connection of a node outlives a child.
func (s *Sums) areOfAnother(later *Sums) bool {
	return later.Uptime < s.Uptime || later.Crashes != s.Crashes || later.child() != s.child()
}

func (s *Sums) child() int64 {
	for _, r := range s.Roles {
		if r.Name == "child" {
			return r.PID
		}
	}
	return 0
}

// Count is the number of things of one name.
type Count struct {
	Name string
	N    int64
}

// Role is a process of erluv's own.
type Role struct {
	Name string
	PID  int64
	Usage
}

// Usage is the usage of a process. Known is true if it could be read. Share is the number of
// processors that it used since the previous measurement. HasShare is true if there was one.
type Usage struct {
	Known, HasShare bool
	CPU             int64 // milliseconds
	Memory          int64
	Share           float64
}

// Program is a program and its last measurement. Measured is the time of that, as erluv's uptime in
// milliseconds, or 0 before the first.
type Program struct {
	Worker   etf.Pid
	Name     string // "": none
	Command  []string
	User     string
	Restart  string
	State    string
	PID      int64 // 0: not started
	Started  int64 // milliseconds since 1970; 0: not started
	Restarts int64
	Measured int64
	Usage
	Output  int64   // of this run
	Rate    float64 // of output, in bytes a second; with HasRate
	HasRate bool
	Held    bool
}

// Number returns the worker's number, as Erlang prints it at the end of its pid.
func (p *Program) Number() string { return number(p.Worker) }

// Called returns the name, or else the number. A name that looks like a number could mean another
// program.
func (p *Program) Called() string {
	if p.Name != "" && !stat.IsNumber(p.Name) {
		return p.Name
	}
	return p.Number()
}

// Restartable reports whether erluv accepts a request to restart the program.
func (p *Program) Restartable() bool { return p.Restart != "" && p.Restart != "temporary" }

// New returns an empty overview.
func New() *Overview { return &Overview{known: make(map[etf.Pid]*Program)} }

// Find returns the program with a number, or nil.
func (o *Overview) Find(number string) *Program {
	i := slices.IndexFunc(o.Programs, func(p *Program) bool { return p.Number() == number })
	if i < 0 {
		return nil
	}
	return o.Programs[i]
}

// Look makes one request, or as many as it takes to learn of all new programs. It measures the
// programs in shown.
func (o *Overview) Look(ctx context.Context, call Call, shown []*Program) error {
	if o.partial {
		o.since, o.partial = 0, false
	}
	ask := o.measured(shown)
	for range mostRequests {
		now := ask[:min(len(ask), most)]
		ask = ask[len(now):]
		answer, err := call(ctx, gen.Manager, etf.Tuple{etf.Atom("figures"), o.since, pids(now), then(now)})
		if err != nil {
			return err
		}
		f, err := read(answer)
		if err != nil {
			return err
		}
		if o.Looked && o.Sums.areOfAnother(&f.sums) {
			*o = *New()
			return o.Look(ctx, call, nil)
		}
		added := o.take(f, now)
		if len(ask) == 0 && added == 0 {
			return nil
		}
		if len(ask) == 0 {
			ask = o.unmeasured()
		}
	}
	return nil // programs come faster than answers: the next look goes on
}

// Glance requests only the sums, and forgets the programs. The next Look gets all programs again.
func (o *Overview) Glance(ctx context.Context, call Call) error {
	answer, err := call(ctx, gen.Manager, etf.Tuple{etf.Atom("figures"), o.since, etf.List{}, then(nil)})
	if err != nil {
		return err
	}
	f, err := read(answer)
	if err != nil {
		return err
	}
	if o.Looked && o.Sums.areOfAnother(&f.sums) {
		*o = *New()
	}
	o.sum(f.sums)
	o.since, o.partial = f.newest, true
	o.Programs = nil
	clear(o.known)
	return nil
}

// measured returns the programs to measure: those on display, and some of the others.
func (o *Overview) measured(shown []*Program) []*Program {
	ask := make([]*Program, 0, len(shown)+others)
	has := make(map[*Program]bool, len(shown))
	for _, p := range shown {
		if o.known[p.Worker] == p && !has[p] {
			has[p] = true
			ask = append(ask, p)
		}
	}
	for range min(others, len(o.Programs)) {
		o.turn = (o.turn + 1) % len(o.Programs)
		if p := o.Programs[o.turn]; !has[p] {
			ask = append(ask, p)
		}
	}
	return ask
}

// unmeasured returns programs without a measurement, as many as one request measures.
func (o *Overview) unmeasured() (list []*Program) {
	for _, p := range o.Programs {
		if p.Measured == 0 && len(list) < most {
			list = append(list, p)
		}
	}
	return list
}

func pids(list []*Program) etf.List {
	terms := make(etf.List, len(list))
	for i, p := range list {
		terms[i] = p.Worker
	}
	return terms
}

// then returns the time from which on changes of the programs are unknown. For a program without a
// measurement everything is new.
func then(list []*Program) int64 {
	if len(list) == 0 {
		return 0
	}
	return slices.MinFunc(list, func(a, b *Program) int { return cmp.Compare(a.Measured, b.Measured) }).Measured
}

// take stores an answer, and returns how many programs are new. Requested programs that are not in
// it, not even as gone, have not changed.
func (o *Overview) take(f figures, asked []*Program) (added int) {
	o.sum(f.sums)
	o.since = f.newest
	slices.SortFunc(f.added, func(a, b *Program) int {
		return cmp.Or(cmp.Compare(a.Worker.Serial, b.Worker.Serial), cmp.Compare(a.Worker.ID, b.Worker.ID))
	})
	for _, n := range f.added {
		if o.known[n.Worker] == nil {
			o.known[n.Worker] = n
			o.Programs = append(o.Programs, n)
			added++
		}
	}
	changed := make(map[etf.Pid]bool, len(f.measured))
	for _, m := range f.measured {
		changed[m.Worker] = true
		if p := o.known[m.Worker]; p != nil {
			p.measure(m, f.sums.Uptime)
		}
	}
	for _, w := range f.gone {
		delete(o.known, w)
	}
	for _, p := range asked {
		if !changed[p.Worker] && o.known[p.Worker] == p {
			p.measure(*p, f.sums.Uptime)
		}
	}
	if len(f.gone) > 0 {
		o.Programs = slices.DeleteFunc(o.Programs, func(p *Program) bool { return o.known[p.Worker] != p })
	}
	return added
}

// sum stores the sums. Sums of the same moment give no rate.
func (o *Overview) sum(s Sums) {
	before := o.Sums
	elapsed := s.Uptime - before.Uptime
	o.Sums = s
	if !o.Looked {
		o.Looked = true
		return
	}
	if elapsed < leastInterval { // a second request of the same look
		o.Sums.Uptime, o.Sums.Output, o.Sums.Paused, o.Sums.Roles = before.Uptime, before.Output, before.Paused, before.Roles
		return
	}
	o.Rate = max(0, float64(s.Output-before.Output)*1000/float64(elapsed))
	o.Paused = max(0, float64(s.Paused-before.Paused)/float64(elapsed))
	for i := range o.Sums.Roles {
		r := &o.Sums.Roles[i]
		for _, b := range before.Roles {
			if b.PID == r.PID {
				r.share(b.Usage, elapsed)
			}
		}
	}
}

// leastInterval is the shortest time, in milliseconds, over which a rate means something: the
// kernel counts processor time in hundredths of a second.
const leastInterval = 200

func (u *Usage) share(before Usage, elapsed int64) {
	if u.Known && before.Known && u.CPU >= before.CPU {
		u.HasShare, u.Share = true, float64(u.CPU-before.CPU)/float64(elapsed)
	}
}

// measure stores a measurement made at a time.
func (p *Program) measure(m Program, at int64) {
	elapsed, again := at-p.Measured, p.PID == m.PID && p.Restarts == m.Restarts
	before, output, measured := p.Usage, p.Output, p.Measured
	if again && measured != 0 && elapsed < leastInterval {
		p.State, p.Held = m.State, m.Held
		return
	}
	p.State, p.PID, p.Started, p.Restarts, p.Held = m.State, m.PID, m.Started, m.Restarts, m.Held
	p.Usage, p.Output, p.Measured, p.Rate, p.HasRate = m.Usage, m.Output, at, 0, false
	if measured == 0 || !again || elapsed <= 0 {
		return
	}
	p.share(before, elapsed)
	if m.Output >= output {
		p.HasRate, p.Rate = true, float64(m.Output-output)*1000/float64(elapsed)
	}
}
