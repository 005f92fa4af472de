package discover

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A scene changes a name server's answer, or a file, at a time.
type scene struct {
	at   time.Duration
	zone records
}

// play runs a Finder for some time in virtual time, which begins with it. It returns what the
// Finder reported and when.
func play(t *testing.T, f Finder, during time.Duration, scenes ...scene) (told []string) {
	synctest.Test(t, func(t *testing.T) {
		start, server := time.Now(), &nameServer{}
		for _, s := range scenes {
			if s.at == 0 {
				server.set("n.example.", s.zone)
				continue
			}
			time.AfterFunc(s.at, func() { server.set("n.example.", s.zone) })
		}
		f.Resolver = server.pipes()
		f.Tell = func(targets []Target, err error) {
			told = append(told, fmt.Sprintf("%v %s %v", time.Since(start), sorted(targets), err))
		}
		ctx, cancel := context.WithTimeout(t.Context(), during)
		defer cancel()
		f.Run(ctx)
		if took := time.Since(start); took != during {
			t.Errorf("Run ends after %v, not %v", took, during)
		}
		synctest.Wait()
	})
	return told
}

func TestFinder(t *testing.T) {
	list, err := List([]string{"first@h", "shop@10.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	dns := source(t, "dns:n.example.")
	one := records{addresses: []string{"10.0.0.1"}}
	two := records{addresses: []string{"10.0.0.1", "10.0.0.2"}}
	swapped := records{addresses: []string{"10.0.0.2", "10.0.0.1"}}
	const (
		is1  = "{shop@10.0.0.1 10.0.0.1 0}"
		is12 = is1 + " {shop@10.0.0.2 10.0.0.2 0}"
	)
	for name, c := range map[string]struct {
		nodes  []Target
		scenes []scene
		told   []string
	}{
		"nothing changes": {nil, []scene{{0, one}}, []string{"0s " + is1 + " <nil>"}},
		"another order is no change": {
			nil,
			[]scene{{0, two}, {45 * time.Second, swapped}},
			[]string{"0s " + is12 + " <nil>"},
		},
		"one comes and goes": {
			nil,
			[]scene{{0, one}, {31 * time.Second, two}, {95 * time.Second, one}},
			[]string{"0s " + is1 + " <nil>", "1m0s " + is12 + " <nil>", "2m0s " + is1 + " <nil>"},
		},
		"the list comes first and once": {
			list,
			[]scene{{0, two}},
			[]string{"0s {first@h h 0} " + is1 + " <nil>", "0s {first@h h 0} " + is12 + " <nil>"},
		},
		"a name server that is down takes no nodes away": {
			nil,
			[]scene{{0, two}, {31 * time.Second, records{code: 3}}, {151 * time.Second, two}},
			[]string{
				"0s " + is12 + " <nil>",
				"1m0s " + is12 + " cannot find nodes by dns:n.example.: the name servers know no such name",
				"3m0s " + is12 + " <nil>",
			},
		},
		"each reason is told once": {
			nil,
			[]scene{{0, records{code: 3}}, {31 * time.Second, records{refused: true}}, {91 * time.Second, one}},
			[]string{
				"0s  cannot find nodes by dns:n.example.: the name servers know no such name",
				"1m0s  cannot find nodes by dns:n.example.: the name server " + server(t) + ": connection refused",
				"2m0s " + is1 + " <nil>",
			},
		},
		"one that does not answer is given up after 10 s": {
			nil,
			[]scene{{0, records{stalled: true}}, {20 * time.Second, one}},
			[]string{
				"10s  cannot find nodes by dns:n.example.: no name server answers in time",
				"40s " + is1 + " <nil>",
			},
		},
	} {
		f := Finder{Nodes: c.nodes, Source: dns, Interval: 30 * time.Second}
		if told := play(t, f, 200*time.Second, c.scenes...); !slices.Equal(told, c.told) {
			t.Errorf("%s:\n got %q\nwant %q", name, told, c.told)
		}
	}
}

// server returns the name server that package net would ask first on this machine.
func server(t *testing.T) string {
	t.Helper()
	s := &nameServer{}
	s.set("n.example.", records{refused: true})
	_, err := s.pipes().LookupHost(t.Context(), "n.example.")
	var text string
	if _, scanErr := fmt.Sscanf(err.Error(), "lookup n.example. on %s", &text); scanErr != nil {
		t.Fatalf("%v: %v", err, scanErr)
	}
	return text[:len(text)-1]
}

// TestFinderList: without a source there is nothing to wait for.
func TestFinderList(t *testing.T) {
	list, err := List([]string{"first@h", "remote_4000@h", "second@h"})
	if err != nil {
		t.Fatal(err)
	}
	ports, err := ParsePorts("remote_%d", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	var told [][]Target
	f := Finder{Nodes: list, Ports: ports, Tell: func(targets []Target, err error) {
		if err != nil {
			t.Error(err)
		}
		told = append(told, targets)
	}}
	f.Run(t.Context())
	want := []Target{{"first@h", "h", 0}, {"remote_4000@h", "127.0.0.1", 4000}, {"second@h", "h", 0}}
	if len(told) != 1 || !slices.Equal(told[0], want) {
		t.Errorf("told %v", told)
	}
	if list[1].Port != 0 {
		t.Error("the list itself is changed")
	}
}

// TestFinderFile: a file is read again even if its times have not changed.
func TestFinderFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nodes")
	write := func(content string) {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Error(err)
		}
		if err := os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
			t.Error(err)
		}
	}
	var told []string
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		write("a@h\nb@h\n")
		time.AfterFunc(15*time.Second, func() { write("b@h\na@h\n") })
		time.AfterFunc(25*time.Second, func() { write("a@h\nc@h\n") })
		time.AfterFunc(35*time.Second, func() { write("a@h\nc\n") })
		time.AfterFunc(55*time.Second, func() { _ = os.Remove(path) })
		time.AfterFunc(65*time.Second, func() { write("") })
		f := Finder{Source: source(t, "file:"+path), Interval: 10 * time.Second, Tell: func(targets []Target, err error) {
			told = append(told, fmt.Sprintf("%v %s %v", time.Since(start), sorted(targets), err))
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
		defer cancel()
		f.Run(ctx)
	})
	why := "cannot find nodes by file:" + path + ": "
	want := []string{
		"0s {a@h h 0} {b@h h 0} <nil>",
		"30s {a@h h 0} {c@h h 0} <nil>",
		"40s {a@h h 0} {c@h h 0} " + why + `line 2: "c" has no @host`,
		"1m0s {a@h h 0} {c@h h 0} " + why + "no such file or directory",
		"1m10s  <nil>",
	}
	if !slices.Equal(told, want) {
		t.Errorf("got %q\nwant %q", told, want)
	}
}

// TestFinderKeepsOrder: a reported order stays while nothing changes, and after trouble.
func TestFinderKeepsOrder(t *testing.T) {
	zone := records{addresses: []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"}}
	for range 10 { // the same five in the same order: once in 120^10
		var orders []string
		synctest.Test(t, func(t *testing.T) {
			server := &nameServer{}
			server.set("n.example.", zone)
			time.AfterFunc(15*time.Second, func() { server.set("n.example.", records{code: 2}) })
			time.AfterFunc(25*time.Second, func() { server.set("n.example.", zone) })
			f := Finder{Source: source(t, "dns:n.example."), Interval: 10 * time.Second, Resolver: server.pipes()}
			f.Tell = func(targets []Target, _ error) { orders = append(orders, fmt.Sprint(targets)) }
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			f.Run(ctx)
			synctest.Wait()
		})
		if len(orders) != 3 || orders[0] != orders[1] || orders[1] != orders[2] {
			t.Fatalf("%q", orders)
		}
	}
}
