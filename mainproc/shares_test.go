package mainproc

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"erluv/mainproc/link"

	"golang.org/x/sys/unix"
)

// TestShares: outside connections leave main a quarter of its descriptors.
func TestShares(t *testing.T) {
	want := shares{limit: 1024, links: 128, descriptors: 384, operators: 32, guests: 128, relays: 16}
	if got := sharesOf(1024); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	want = shares{limit: 1 << 20, links: 1000, descriptors: 3 << 17, operators: mostOperators, guests: mostGuests, relays: mostRelays}
	if got := sharesOf(1 << 20); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for limit := uint64(64); limit < 1<<16; limit++ {
		s := sharesOf(limit)
		if sum := s.descriptors + 3*s.operators + s.guests + 9*s.relays; sum > int(limit)*3/4 {
			t.Fatalf("of %d descriptors %d are given away: %+v", limit, sum, s)
		}
	}
	if s := sharesOf(unix.RLIM_INFINITY); s.limit <= 0 || s.descriptors < 7*s.links {
		t.Errorf("without a limit: %+v", s)
	}
}

// TestAffords: links with and without TLS have one share, whichever side has made them.
func TestAffords(t *testing.T) {
	s := ownShares()
	none := func(*line) bool { return false }
	for _, test := range []struct {
		over bool
		most int
	}{{false, s.links}, {true, min(s.links, s.descriptors/link.Cost(true))}} {
		g := &guard{}
		add := func(state link.State) *line {
			l := &line{overTLS: test.over, Life: link.Life{State: state}}
			g.lines = append(g.lines, l)
			return l
		}
		for range 3 { // these have no connection, or are not nodes
			add(link.Waiting)
			add(link.Met)
			add(link.Ended)
			add(link.Served).operator = true
		}
		for i := range test.most {
			if err := g.affords(test.over, none); err != nil {
				t.Fatalf("TLS %v, after %d: %v", test.over, i, err)
			}
			add([]link.State{link.Connecting, link.Served, link.Closing}[i%3])
		}
		err := g.affords(test.over, none)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("connections to %d nodes", test.most)) {
			t.Errorf("TLS %v, one more: %v", test.over, err)
		}
		last := g.lines[len(g.lines)-1]
		if err := g.affords(test.over, func(l *line) bool { return l == last }); err != nil {
			t.Errorf("TLS %v, in place of one: %v", test.over, err)
		}
		last.State = link.Waiting
		g.events = make(chan event)
		dialled := 0
		last.connect = func(context.Context) (*link.Link, error) { dialled++; return nil, errTest }
		for _, full := range []bool{false, true} {
			if full {
				add(link.Served)
			}
			last.running = 0
			g.onLine(last, last.Begin())
			if e := <-g.events; full != strings.Contains(e.err.Error(), "has room for") {
				t.Errorf("TLS %v, full %v: %v", test.over, full, e.err)
			}
			last.cancel()
		}
		if dialled != 1 {
			t.Errorf("TLS %v: dialled %d times", test.over, dialled)
		}
	}
}
