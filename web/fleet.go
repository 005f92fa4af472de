package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"erluv/stat"
)

const (
	// maxHosts is how many erluvs of a fleet have a page.
	maxHosts = 200

	// seekEvery is how often the starter is asked which erluvs there are.
	seekEvery = 5 * time.Second

	// seekAtRest is the same while no page is open.
	seekAtRest = 30 * time.Second

	// firstBound is how long a page waits for the first answer of the starter.
	firstBound = 5 * time.Second
)

// fleet has several erluvs, each with a board and pages of its own. One goroutine looks for them.
type fleet struct {
	given   Given
	starter *starter
	viewers chan struct{}
	sought  chan struct{} // closed after the first answer of the starter
	wanted  chan struct{} // a page was opened

	mu       sync.Mutex // guards all below
	hosts    []*host    // by their names
	until    time.Time  // when the last requested page counts as closed
	troubles []string
}

// host is an erluv of a fleet.
type host struct {
	name  string
	board *board
	pages http.Handler
	end   context.CancelFunc
	ended chan struct{} // closed when its board has stopped
}

// run asks the starter for the erluvs, again and again, until ctx ends.
func (f *fleet) run(ctx context.Context) {
	defer f.keep(ctx, nil)
	for first := true; ; first = false {
		found, err := f.starter.hosts()
		if err != nil {
			found.Troubles = []string{err.Error()}
		}
		if more := len(found.Names) - maxHosts; more > 0 {
			found.Names = found.Names[:maxHosts]
			found.Troubles = append(found.Troubles, fmt.Sprintf("%d more erluvs have no page", more))
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			f.keep(ctx, found.Names)
		}
		f.mu.Lock()
		f.troubles = found.Troubles
		f.mu.Unlock()
		if first {
			close(f.sought)
		}
		if !f.pause(ctx, time.Now()) {
			return
		}
	}
}

// pause waits until the next request to the starter is due. It returns false if ctx has ended.
func (f *fleet) pause(ctx context.Context, began time.Time) bool {
	for {
		f.mu.Lock()
		every := seekAtRest
		if time.Now().Before(f.until) {
			every = seekEvery
		}
		f.mu.Unlock()
		left := every - time.Since(began)
		if left <= 0 {
			return true
		}
		select {
		case <-time.After(left):
		case <-f.wanted:
		case <-ctx.Done():
			return false
		}
	}
}

// open notes that a page is open, for a while.
func (f *fleet) open() {
	f.mu.Lock()
	f.until = time.Now().Add(seekAtRest)
	f.mu.Unlock()
	select {
	case f.wanted <- struct{}{}:
	default:
	}
}

// keep makes a board and pages for each new erluv of names, and ends those of all others.
func (f *fleet) keep(ctx context.Context, names []string) {
	f.mu.Lock()
	var gone []*host
	f.hosts = slices.DeleteFunc(f.hosts, func(h *host) bool {
		if slices.Contains(names, h.name) {
			return false
		}
		gone = append(gone, h)
		return true
	})
	for _, name := range names {
		if !slices.ContainsFunc(f.hosts, func(h *host) bool { return h.name == name }) {
			f.hosts = append(f.hosts, f.newHost(ctx, name))
		}
	}
	slices.SortFunc(f.hosts, func(a, b *host) int { return strings.Compare(a.name, b.name) })
	f.mu.Unlock()
	for _, h := range gone {
		h.end()
		<-h.ended
	}
}

func (f *fleet) newHost(ctx context.Context, name string) *host {
	ctx, cancel := context.WithCancel(ctx)
	b := newBoard(f.starter.connect(name))
	b.node, b.light = name, true
	pages := &handler{ctx: ctx, board: b, given: f.given, viewers: f.viewers, base: "/host/" + url.PathEscape(name)}
	h := &host{name: name, board: b, pages: pages.mux(), end: cancel, ended: make(chan struct{})}
	go func() { // ends with keep
		b.run(ctx)
		close(h.ended)
	}()
	return h
}

// find returns the erluv with a name, or nil.
func (f *fleet) find(name string) *host {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.IndexFunc(f.hosts, func(h *host) bool { return h.name == name }); i >= 0 {
		return f.hosts[i]
	}
	return nil
}

// FleetView is the page with all erluvs.
type FleetView struct {
	Top
	Rows []HostRow
}

// HostRow is an erluv in the table.
type HostRow struct {
	ID, Name, Address, Status, Trouble         string
	Programs, Up, Load, Memory, Output, Failed string
	Crashes                                    string
	CPU                                        string
	CPULine                                    Spark
}

func (f *fleet) view(trusted bool) FleetView {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := FleetView{Top: Top{Node: "Fleet", Trusted: trusted, Events: "/events"}}
	switch {
	case !f.over():
		v.Trouble = "The first look is under way"
	case len(f.troubles) > 0:
		v.Trouble = strings.Join(f.troubles, "; ")
	case len(f.hosts) == 0:
		v.Trouble = "No erluv serves " + strings.Join(f.given.Nodes, ", ")
	}
	for _, h := range f.hosts {
		v.Rows = append(v.Rows, h.row())
	}
	return v
}

// over reports whether the starter has answered once.
func (f *fleet) over() bool {
	select {
	case <-f.sought:
		return true
	default:
		return false
	}
}

func (h *host) row() HostRow {
	b := h.board
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.known.Sums
	r := HostRow{
		ID: "h-" + url.PathEscape(h.name), Name: stat.Printable(h.name), Address: "/host/" + url.PathEscape(h.name) + "/", Trouble: b.trouble, Status: s.Status,
		Programs: "–", Up: "–", Load: "–", Memory: "–", Output: "–", Failed: "–", Crashes: "–", CPU: "–", CPULine: spark(b.all.cpu, max(0.2, b.all.cpu.most()*1.1)),
	}
	if !b.known.Looked {
		return r
	}
	r.Programs, r.Up, r.Crashes, r.Failed = count(s.Programs), age(time.Duration(s.Uptime)*time.Millisecond), count(s.Crashes), count(failures(s))
	r.Output, r.CPU = rateOf(b.known.Rate), percentOf(sharesOf(s))
	if s.HasLoad {
		r.Load = fmt.Sprintf("%.2f", s.Load1)
	}
	if s.HasMemory {
		r.Memory = bytesOf(float64(s.Memory))
	}
	return r
}

func (f *fleet) list(w http.ResponseWriter, r *http.Request) {
	h := &handler{given: f.given}
	if h.admit(w, r) {
		f.open()
		select {
		case <-f.sought:
		case <-r.Context().Done():
		case <-time.After(firstBound):
		}
		h.render(w, http.StatusOK, "fleet.html", f.view(h.trusted(r)))
	}
}

// of serves the pages of one erluv.
func (f *fleet) of(w http.ResponseWriter, r *http.Request) {
	h := f.find(r.PathValue("host"))
	if h == nil {
		(&handler{}).problem(w, http.StatusNotFound, "There is no such erluv: it does not serve the node any more.")
		return
	}
	http.StripPrefix("/host/"+url.PathEscape(h.name), h.pages).ServeHTTP(w, r)
}

// changing returns the changing part of the page with all erluvs.
func (f *fleet) changing(trusted bool) changing {
	v := f.view(trusted)
	c := changing{parts: []part{{"trouble", "trouble", v.Top}, {"count", "hosts-count", v}}}
	for _, r := range v.Rows {
		c.rows = append(c.rows, part{r.ID, "host-row", r})
	}
	return c
}

// events sends a page the changed parts once a second.
func (f *fleet) events(ctx context.Context) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := &handler{ctx: ctx, given: f.given, viewers: f.viewers}
		trusted := h.trusted(r)
		h.stream(w, r, func() (changing, <-chan struct{}, bool) {
			next := make(chan struct{})
			time.AfterFunc(lookEvery, func() { close(next) })
			f.open()
			return f.changing(trusted), next, true
		})
	}
}

func newFleet(s *starter, given Given) *fleet {
	return &fleet{given: given, starter: s, viewers: make(chan struct{}, maxViewers), sought: make(chan struct{}), wanted: make(chan struct{}, 1)}
}

func (f *fleet) handler(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", f.list)
	mux.HandleFunc("GET /events", f.events(ctx))
	mux.HandleFunc("/host/{host}/", f.of)
	assetsOf(mux)
	return (&handler{given: f.given}).guarded(http.NewCrossOriginProtection().Handler(mux))
}
