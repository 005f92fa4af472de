package web

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"erluv/overview"
	"erluv/wire/client"
	"erluv/wire/etf"
)

const (
	// lookEvery is the interval of looks while a page is open, and restEvery while none is.
	lookEvery = time.Second
	restEvery = 5 * time.Second

	// hurryEvery is the interval of looks while a page waits for new data.
	hurryEvery = 200 * time.Millisecond

	// wanted is how long a page without live updates counts as open.
	wanted = 3 * time.Second

	// lookBound bounds the wait for erluv's answer.
	lookBound = 10 * time.Second
)

// board has the data about an erluv for all pages. One goroutine looks, and others read.
type board struct {
	connect Connect
	due     chan struct{} // a look may be due earlier

	mu      sync.Mutex // guards all below
	client  caller
	light   bool // requests programs only while a page shows them
	whole   bool // the last look had the programs too
	node    string
	known   *overview.Overview
	past    map[etf.Pid]*past
	all     past // of erluv itself
	trouble string
	looked  time.Time
	next    chan struct{}         // closed after the next look
	wants   map[etf.Pid]time.Time // programs that pages show, and until when
	tails   map[etf.Pid]*tail     // the output that pages show
	hurry   bool                  // a page waits for new data
	until   time.Time             // when the last requested page counts as closed
}

// past is the usage of a program in the last minutes.
type past struct{ cpu, memory, output *series }

func newPast(at int64) *past { return &past{newSeries(at), newSeries(at), newSeries(at)} }

func newBoard(connect Connect) *board {
	return &board{
		connect: connect, due: make(chan struct{}, 1), known: overview.New(), past: make(map[etf.Pid]*past), all: *newPast(0),
		next: make(chan struct{}), wants: make(map[etf.Pid]time.Time), tails: make(map[etf.Pid]*tail), trouble: "the first look is under way",
	}
}

// run looks until ctx ends.
func (b *board) run(ctx context.Context) {
	defer func() {
		if b.client != nil {
			b.client.Close()
		}
	}()
	for ctx.Err() == nil {
		began := time.Now()
		b.look(ctx)
		b.pause(ctx, began)
	}
}

// pause waits until the next look is due.
func (b *board) pause(ctx context.Context, began time.Time) {
	timer := time.NewTimer(restEvery)
	defer timer.Stop()
	for {
		b.mu.Lock()
		every := restEvery
		if time.Now().Before(b.until) {
			every = lookEvery
		}
		if b.hurry {
			every = hurryEvery
		}
		b.mu.Unlock()
		left := every - time.Since(began)
		if left <= 0 {
			return
		}
		timer.Reset(left)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-b.due: // a page was opened: a look may be due already
		}
	}
}

// look asks erluv. The goroutine that looks owns the connection. act borrows it for a call.
func (b *board) look(ctx context.Context) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookBound, fmt.Errorf("erluv has not answered within %v", lookBound))
	defer cancel()
	c, err := b.linked(ctx)
	if err == nil {
		err = b.ask(ctx, c)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.trouble = ""; err != nil {
		b.trouble = err.Error()
	} else {
		b.looked = time.Now()
	}
	close(b.next)
	b.next = make(chan struct{})
}

// linked returns the connection, or a new one if the last has ended.
func (b *board) linked(ctx context.Context) (caller, error) {
	b.mu.Lock()
	c := b.client
	b.mu.Unlock()
	if c != nil && c.Err() == nil {
		return c, nil
	}
	again, node, err := b.connect(ctx)
	if err != nil {
		return nil, err
	}
	if c != nil {
		c.Close()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.client, b.node, b.whole = again, node, false
	b.known, b.past, b.all = overview.New(), make(map[etf.Pid]*past), *newPast(0)
	clear(b.tails)
	return again, nil
}

// ask looks. It unlocks the board while it waits for an answer.
func (b *board) ask(ctx context.Context, c caller) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hurry = false
	unlocked := func(ctx context.Context, to, request etf.Term) (etf.Term, error) {
		b.mu.Unlock()
		defer b.mu.Lock()
		return call(ctx, c, to, request)
	}
	if b.light && time.Now().After(b.until) {
		b.whole = false
		if err := b.known.Glance(ctx, unlocked); err != nil {
			return err
		}
		b.remember()
		return nil
	}
	b.whole = true
	if err := b.known.Look(ctx, unlocked, b.shown(time.Now())); err != nil {
		return err
	}
	b.remember()
	return b.follow(ctx, unlocked)
}

// call makes a call. An answer {error, Reason} becomes an error.
func call(ctx context.Context, c caller, to, request etf.Term) (etf.Term, error) {
	answer, err := c.Call(ctx, to, request)
	if err != nil {
		if c.Err() != nil {
			return nil, errors.New("erluv has ended the connection: it ends, or its child has crashed")
		}
		return nil, err
	}
	if t, ok := answer.(etf.Tuple); ok && len(t) == 2 && t[0] == etf.Atom("error") {
		if t[1] == etf.Atom("child_down") {
			return nil, errors.New("erluv has no child at the moment: it has crashed, and programs are started again after respawn")
		}
		return nil, refused{t[1]}
	}
	return answer, nil
}

// refused is an answer {error, Reason}.
type refused struct{ reason etf.Term }

func (r refused) Error() string { return fmt.Sprintf("erluv answers {error, %v}", r.reason) }

// shown returns the programs that pages show.
func (b *board) shown(now time.Time) (list []*overview.Program) {
	for w, until := range b.wants {
		if now.After(until) {
			delete(b.wants, w)
		}
	}
	for _, p := range b.known.Programs {
		if _, ok := b.wants[p.Worker]; ok {
			list = append(list, p)
		}
	}
	return list
}

// want makes each look measure these programs, for a while.
func (b *board) want(list []*overview.Program) {
	until := time.Now().Add(wanted)
	for _, p := range list {
		b.wants[p.Worker] = until
	}
}

// open notes that a page is open, for a while.
func (b *board) open() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if until := time.Now().Add(wanted); until.After(b.until) {
		b.until = until
	}
	select {
	case b.due <- struct{}{}:
	default:
	}
}

// remember stores the present usage of programs.
func (b *board) remember() {
	now := b.known.Sums.Uptime
	living := make(map[etf.Pid]bool, len(b.known.Programs))
	for _, p := range b.known.Programs {
		living[p.Worker] = true
		if p.Measured == 0 {
			continue
		}
		of := b.past[p.Worker]
		if of == nil {
			of = newPast(now)
			b.past[p.Worker] = of
		}
		of.memory.put(p.Measured, float64(p.Memory))
		if p.HasShare {
			of.cpu.put(p.Measured, p.Share)
		}
		if p.HasRate {
			of.output.put(p.Measured, p.Rate)
		}
	}
	for w := range b.past {
		if !living[w] {
			delete(b.past, w)
		}
	}
	share, memory, known := 0.0, 0.0, false
	for _, r := range b.known.Sums.Roles {
		share, memory, known = share+r.Share, memory+float64(r.Memory), known || r.HasShare
	}
	if known {
		b.all.cpu.put(now, share)
		b.all.output.put(now, b.known.Rate)
	}
	b.all.memory.put(now, memory)
}

// pastOf returns a program's past. It is never nil.
func (b *board) pastOf(p *overview.Program) *past {
	if of := b.past[p.Worker]; of != nil {
		return of
	}
	return newPast(b.known.Sums.Uptime)
}

// fresh waits for a look that is at most a second old, if erluv answers.
func (b *board) fresh(ctx context.Context) {
	b.mu.Lock()
	next, old := b.next, time.Since(b.looked) > lookEvery
	if !b.whole && b.trouble == "" {
		old, b.hurry = true, true
	}
	b.mu.Unlock()
	if !old {
		return
	}
	b.open()
	select {
	case <-next:
	case <-ctx.Done():
	case <-time.After(lookBound):
	}
}

// meet waits for another look if a program is unknown, because it may be new. With output it also
// waits until the program's output has been read once.
func (b *board) meet(ctx context.Context, number string, output bool) {
	for range 2 {
		b.mu.Lock()
		p := b.known.Find(number)
		known := p != nil && !output
		if p != nil && output {
			t := b.watch(p.Worker)
			known = t == nil || t.read || t.why != ""
		}
		next, trouble := b.next, b.trouble
		b.mu.Unlock()
		if known || trouble != "" {
			return
		}
		b.now(ctx, next)
	}
}

// now requests a look at once, and waits for it.
func (b *board) now(ctx context.Context, next <-chan struct{}) {
	b.mu.Lock()
	b.hurry = true
	b.mu.Unlock()
	b.open()
	select {
	case <-next:
	case <-ctx.Done():
	case <-time.After(lookBound):
	}
}

// act makes a call to a program.
func (b *board) act(ctx context.Context, number string, request etf.Atom) error {
	b.mu.Lock()
	c, p := b.client, b.known.Find(number)
	b.mu.Unlock()
	switch {
	case p == nil:
		return errGone
	case c == nil:
		return errors.New("there is no connection to erluv")
	}
	_, err := call(ctx, c, p.Worker, request)
	var exit *client.Exit
	if errors.As(err, &exit) {
		return errGone
	}
	return err
}

var errGone = errors.New("the program has ended")
