package workers

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// program is a simulated program with its group. It carries out the actions of a life on itself,
// like a Worker.
type program struct {
	life
	rng *rand.Rand

	started bool
	alive   bool // the leader
	reaped  bool // its end was reported
	members int  // the rest of the group
	deaf    bool // the group ignores the stop signal
	doomed  bool // the leader was signalled and will end
	dying   int  // how many of the members were signalled and will end
	outside bool // a process outside the group holds the output

	armed, polling bool
	drain          bool
	ended          bool // a stop or kill was requested: the group must end
	reports        int
	trace          []string
}

// happens takes an event through the life, as Worker.event does.
func (p *program) happens(e event) error {
	for more := true; more; {
		if p.state == Gone {
			if a := p.step(e); a != 0 || p.state != Gone {
				return fmt.Errorf("actions %b after the end", a)
			}
			return nil
		}
		p.trace = append(p.trace, p.state.String()+" "+e.String())
		a := p.step(e)
		var err error
		if e, more, err = p.do(a); err != nil {
			return err
		}
	}
	return nil
}

func (p *program) empty() bool { return p.reaped && p.members == 0 }

func (p *program) do(a actions) (next event, more bool, err error) {
	if a&^actFail != 0 && !p.started {
		return 0, false, fmt.Errorf("actions %b for a program that was not started", a)
	}
	if a&actSignal != 0 && !p.deaf {
		p.doomed, p.dying = true, p.members
	}
	if a&actKill != 0 {
		p.doomed, p.dying = true, p.members
		if p.members > 0 && p.rng.IntN(4) == 0 {
			p.members++ // forked just before
		}
	}
	if a&actSignal != 0 && !p.empty() {
		if p.armed {
			return 0, false, fmt.Errorf("armed twice")
		}
		p.armed = true
	}
	if a&actDisarm != 0 {
		p.armed = false
	}
	if a&actWatch != 0 {
		return p.look()
	}
	if a&actDrain != 0 {
		p.drain, p.polling = true, false
		if p.rng.IntN(2) == 0 {
			p.drain = false
			return evDrained, true, nil
		}
	}
	if a&actFail != 0 && p.started {
		return 0, false, fmt.Errorf("failed after it was started")
	}
	if a&(actFail|actReport) != 0 {
		p.reports++
		return 0, false, p.atTheEnd(a)
	}
	return 0, false, nil
}

func (p *program) look() (event, bool, error) {
	p.polling = true
	if !p.reaped {
		return 0, false, fmt.Errorf("the group is watched while the program runs")
	}
	if !p.empty() {
		return 0, false, nil
	}
	if p.state != Waiting {
		return evGroupEmpty, true, nil
	}
	if !p.outside {
		return evTreeDone, true, nil
	}
	return 0, false, nil
}

// atTheEnd checks the conditions for a report of the end.
func (p *program) atTheEnd(a actions) error {
	switch {
	case a&actFail != 0:
		return nil
	case !p.reaped:
		return fmt.Errorf("reported while the program runs")
	case p.drain:
		return fmt.Errorf("reported before all output was delivered")
	case p.armed:
		return fmt.Errorf("reported with the kill timeout armed")
	case p.members > 0 && (p.tree != TreeLeave || p.ended):
		return fmt.Errorf("reported with %d processes left", p.members)
	case p.outside && p.tree == TreeWait && !p.ended:
		return fmt.Errorf("reported while somebody holds the output")
	}
	return nil
}

func (p *program) inhabited() bool { return p.alive || p.members > 0 }

// choices are the possible next events.
func (p *program) choices(requests bool) []func() error {
	var c []func() error
	can := func(ok bool, f func() error) {
		if ok {
			c = append(c, f)
		}
	}
	event := func(e event) func() error { return func() error { return p.happens(e) } }
	can(!p.started && p.reports == 0, func() error {
		p.started, p.alive = true, true
		return p.happens(evStarted)
	})
	can(!p.started && p.reports == 0, event(evNotStarted))
	can(p.alive && p.doomed, func() error { p.alive = false; return nil })
	can(p.dying > 0, func() error { p.dying--; p.members--; return nil })
	can(p.started && !p.alive && !p.reaped, func() error {
		p.reaped = true
		return p.happens(evExited)
	})
	can(p.armed, func() error { p.armed = false; return p.happens(evDeadline) })
	can(p.polling, event(evPoll))
	can(p.drain, func() error { p.drain = false; return p.happens(evDrained) })
	if !requests {
		return c
	}
	can(p.alive, func() error { p.alive = false; return nil })
	can(p.members > p.dying, func() error { p.members--; return nil })
	can(p.inhabited() && p.members < 5, func() error { p.members++; return nil })
	can(p.inhabited(), func() error { p.outside = true; return nil })
	can(p.outside, func() error { p.outside = false; return nil })
	can(true, func() error { p.ended = p.ended || p.state < Draining; return p.happens(evStop) })
	can(p.rng.IntN(3) == 0, func() error { p.ended = p.ended || p.state < Draining; return p.happens(evKill) })
	return c
}

// TestRandomSchedules takes simulated programs through every possible event, then stops or kills
// them. Each must end with exactly one report, at the right time.
func TestRandomSchedules(t *testing.T) {
	const schedules = 100_000
	ends := map[string]int{}
	for seed := range uint64(schedules) {
		rng := rand.New(rand.NewPCG(seed, 1))
		p := &program{rng: rng, life: life{tree: Tree(rng.IntN(3))}, deaf: rng.IntN(2) == 0}
		err := p.play()
		if err == nil && p.reports != 1 {
			err = fmt.Errorf("%d reports", p.reports)
		}
		for e := evStarted; e < numEvents && err == nil; e++ {
			err = p.happens(e)
		}
		if err != nil {
			t.Fatalf("schedule %d, tree %d: %v\n%s", seed, p.tree, err, strings.Join(p.trace, "\n"))
		}
		ends[p.trace[len(p.trace)-1]]++
	}
	// The schedules have taken every possible way.
	for _, way := range []string{"starting not started", "draining drained"} {
		if ends[way] < schedules/100 {
			t.Errorf("%d schedules ended by %q", ends[way], way)
		}
	}
}

// play runs a random number of events. Then it requests the end, and runs only the events that
// follow from that.
func (p *program) play() error {
	for range p.rng.IntN(40) {
		c := p.choices(true)
		if err := c[p.rng.IntN(len(c))](); err != nil {
			return err
		}
	}
	last := evStop
	if p.rng.IntN(2) == 0 {
		last = evKill
	}
	p.ended = p.ended || p.state < Draining
	if err := p.happens(last); err != nil {
		return err
	}
	for range 1000 {
		if p.state == Gone {
			return nil
		}
		c := p.choices(false)
		if len(c) == 0 {
			return fmt.Errorf("stuck in %s after %s", p.state, last)
		}
		if err := c[p.rng.IntN(len(c))](); err != nil {
			return err
		}
	}
	return fmt.Errorf("no end after %s", last)
}
