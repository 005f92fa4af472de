package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"erluv/wire/etf"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLook(t *testing.T) {
	for name, c := range map[string]struct {
		edges  string
		how    map[string]string
		broken string
		want   string
		took   time.Duration // the time of waiting; 0: only the way
	}{
		"alone":         {edges: "", want: ""},
		"sample":        {edges: "a-b b-c c-a b-d d-e e-f f-d", want: "a-b a-c b-c b-d d-e d-f e-f"},
		"ring":          {edges: "a-b b-c c-d d-e e-a", want: "a-b a-e b-c c-d d-e"},
		"hidden bridge": {edges: "a-b b~c c-d", want: "a-b b~c c-d"},
		"C node": {
			edges: "a-b b~c", how: map[string]string{"c": "foreign"},
			want: "a-b b~c c: foreign",
		},
		"stopped, with something behind it": {
			edges: "a-b b-c c-d", how: map[string]string{"c": "stopped"},
			want: "a-b b-c c: silent", took: 2 * time.Second,
		},
		"stopped, seen from two sides": {
			edges: "a-b b-c c-d d-a", how: map[string]string{"c": "stopped"},
			want: "a-b a-d b-c c-d c: silent", took: 4 * time.Second,
		},
		"a cable is cut, and another way": {
			edges: "a-b b-c a-d d-e e-c", broken: "b>c",
			want: "a-b a-d b-c? c-e d-e", took: 2 * time.Second,
		},
		"only one side has it": {edges: "a-b b-c a>c", want: "a-b a-c! b-c"},
		"gone when it is called": {
			edges: "a-b b>c", how: map[string]string{"b": "forgets"},
			want: "a-b b-c c: gone",
		},
		"odd answer": {
			edges: "a-b b-c", how: map[string]string{"b": "odd"},
			want: "a-b b: failed its answer is not understood",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(c.edges)
				if c.how != nil {
					w.how = c.how
				}
				w.broken[c.broken] = true
				if c.how["b"] == "forgets" {
					w.visible["c"] = nil
					delete(w.how, "b")
					w.broken["b>c"] = true
					lost := w.visible["b"]
					m, err := Look(t.Context(), forgetful{w, "b", lost}, entry, string(client), usual)
					if err != nil || words(m) != c.want {
						t.Errorf("got %q, %v, want %q", words(m), err, c.want)
					}
					return
				}
				m, err := Look(t.Context(), w, entry, string(client), usual)
				if err != nil {
					t.Fatal(err)
				}
				if got := words(m); got != c.want {
					t.Errorf("\ngot  %s\nwant %s", got, c.want)
				}
				if m.Took < c.took || m.Took > c.took+100*time.Millisecond {
					t.Errorf("it took %v, want %v and little more", m.Took, c.took)
				}
				if m.Entry != entry || m.Incomplete != "" || m.Node("nobody") != nil {
					t.Errorf("%+v", m)
				}
				if n := m.Node(entry); n == nil || n.Facts != (Facts{"27", 91 * time.Second, 50}) || n.Hidden {
					t.Errorf("the entry: %+v", n)
				}
			})
		})
	}
}

// forgetful is a world in which a node has lost its connections when a request must pass it.
type forgetful struct {
	*world
	node string
	had  []string
}

func (f forgetful) Call(ctx context.Context, to, request etf.Term) (etf.Term, error) {
	answer, err := f.world.Call(ctx, to, request)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked[f.node] > 0 {
		f.visible[f.node] = []string{entry}
	}
	return answer, err
}

// TestLookIsBounded: the bounds are nodes, time, questions at once, and distance.
func TestLookIsBounded(t *testing.T) {
	star := func(n int) string {
		var edges []string
		for i := range n {
			edges = append(edges, fmt.Sprintf("a-n%03d", i))
		}
		return strings.Join(edges, " ")
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(star(200))
		m, err := Look(t.Context(), w, entry, string(client), Limits{Wait: 2 * time.Second, Nodes: 50})
		if err != nil || len(m.Nodes) != 50 || len(m.Edges) != 49 || m.Incomplete != "there are more than 50 nodes" {
			t.Errorf("%d nodes, %d edges, %q, %v", len(m.Nodes), len(m.Edges), m.Incomplete, err)
		}
		if w.most != width {
			t.Errorf("%d were asked at once, want %d", w.most, width)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(star(100))
		for i := range 100 {
			w.how[fmt.Sprintf("n%03d", i)] = "stopped"
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		m, err := Look(ctx, w, entry, string(client), usual)
		if err != nil || m.Incomplete != "there was no time for all nodes" || m.Took > 5*time.Second {
			t.Errorf("%q after %v, %v", m.Incomplete, m.Took, err)
		}
		count := map[State]int{}
		for _, n := range m.Nodes {
			count[n.State]++
		}
		if want := map[State]int{Up: 1, Silent: 2 * width, NotAsked: 100 - 2*width}; !maps.Equal(count, want) {
			t.Errorf("%v, want %v", count, want)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var edges []string
		before := entry
		for i := range 120 {
			name := fmt.Sprintf("n%03d", i)
			edges = append(edges, before+"-"+name)
			before = name
		}
		m, err := Look(t.Context(), newWorld(strings.Join(edges, " ")), entry, string(client), usual)
		if err != nil || len(m.Nodes) != 102 || words(m)[len(words(m))-len("n100: not asked it is too far away"):] != "n100: not asked it is too far away" {
			t.Errorf("%d nodes, %v: %s", len(m.Nodes), err, words(m))
		}
	})
}

// TestLookFails: the entry does not answer correctly, or the connection ends.
func TestLookFails(t *testing.T) {
	for want, prepare := range map[string]func(w *world){
		"cannot ask a: it does not answer in time":                         func(w *world) { w.how["a"] = "stopped" },
		"cannot ask a: its answer is not understood":                       func(w *world) { w.how["a"] = "odd" },
		"cannot ask a: the request or its answer is too large, or nested ": func(w *world) { w.err = etf.ErrTooMany },
		"the wire is cut": func(w *world) { w.err = errors.New("the wire is cut") },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld("a-b")
			prepare(w)
			_, err := Look(t.Context(), w, entry, string(client), usual)
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		})
	}
}

// TestPassed: only the connection to the node itself is blamed, and not one of a late neighbour.
func TestPassed(t *testing.T) {
	for hop, want := range map[int]string{-1: "", 0: "", 1: "b-c"} {
		s := search{entry: "a", edges: map[[2]string]*sides{{"a", "b"}: {}, {"b", "c"}: {}}}
		s.passed(&Node{Name: "c", path: []string{"b", "c"}}, &Trouble{State: Silent, hop: hop})
		got := ""
		for key, e := range s.edges {
			if e.mute {
				got += key[0] + "-" + key[1]
			}
		}
		if got != want {
			t.Errorf("hop %d: %q, want %q", hop, got, want)
		}
	}
}

func TestEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("a-b b-c c-d c~f")
		w.how = map[string]string{"d": "stopped", "f": "foreign"}
		m, err := Look(t.Context(), w, entry, string(client), usual)
		if err != nil {
			t.Fatal(err)
		}
		nodes, others := m.Callable()
		results, err := Each(t.Context(), w, nodes, "m", "name", nil, time.Second)
		want := []Result{{Node: "a", Value: etf.Atom("a")}, {Node: "b", Value: etf.Atom("b")}, {Node: "c", Value: etf.Atom("c")}}
		if err != nil || !reflect.DeepEqual(results, want) {
			t.Errorf("%+v, %v", results, err)
		}
		// A list of one small integer comes as a string.
		if results, err := Each(t.Context(), w, nodes[1:2], "m", "seven", nil, time.Second); err != nil || results[0].Value != int64(7) {
			t.Errorf("seven: %+v, %v", results, err)
		}
		if len(others) != 1 || others[0].Node != "d" || others[0].Err.Error() != "it does not answer in time" {
			t.Errorf("others: %+v", others)
		}
		for function, want := range map[string]string{"nothing": "undef", "slow": "does not answer in time"} {
			results, err := Each(t.Context(), w, nodes, "m", function, nil, time.Second)
			if err != nil || len(results) != 3 {
				t.Fatalf("%s: %v, %v", function, results, err)
			}
			for _, r := range results {
				if r.Err == nil || !strings.Contains(r.Err.Error(), want) {
					t.Errorf("%s on %s: %v, want %q", function, r.Node, r.Err, want)
				}
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if results, err := Each(ctx, w, nodes, "m", "slow", nil, time.Second); err != nil || results[0].Err == nil {
			t.Errorf("cancelled: %v, %v", results, err)
		}
		w.err = errors.New("the wire is cut")
		if _, err := Each(t.Context(), w, nodes, "m", "name", nil, time.Second); err != w.err {
			t.Errorf("without a connection: %v", err)
		}
	})
}

// TestTroubleOf has answers of OTP as seen on OTP 25, 27 and 29.
func TestTroubleOf(t *testing.T) {
	atom := func(s string) etf.Term { return etf.Atom(s) }
	stack := etf.List{etf.Tuple{atom("erpc"), atom("call"), int64(5), etf.List(nil)}}
	erpc := func(why string) etf.Term { return etf.Tuple{atom("erpc"), atom(why)} }
	exception := func(what etf.Term) etf.Term { return etf.Tuple{atom("exception"), what, stack} }
	exit := func(what etf.Term) etf.Term { return etf.Tuple{atom("EXIT"), etf.Tuple{what, stack}} }
	for _, c := range []struct {
		reason etf.Term
		hops   int
		want   Trouble
	}{
		{exit(erpc("timeout")), 1, Trouble{State: Silent, Why: "erpc says timeout"}},
		{exit(exception(erpc("notsup"))), 2, Trouble{State: Foreign, Why: "erpc says notsup", hop: 1}},
		{exit(exception(exception(erpc("noconnection")))), 3, Trouble{State: Gone, Why: "erpc says noconnection", hop: 2}},
		{exit(erpc("system_limit")), 1, Trouble{State: Failed, Why: "erpc says system_limit"}},
		{exit(exception(atom("undef"))), 1, Trouble{State: Failed, Why: "undef", hop: -1}},
		{etf.Tuple{atom("EXIT"), etf.Tuple{atom("exception"), atom("shutdown")}}, 1, Trouble{State: Failed, Why: "shutdown", hop: -1}},
		{atom("nodedown"), 0, Trouble{State: Failed, Why: "nodedown", hop: -1}},
		// An exception of the function is not mistaken for one of erpc.
		{exit(exception(erpc("timeout"))), 1, Trouble{State: Failed, Why: "{erpc,timeout}", hop: -1}},
	} {
		if got := troubleOf(c.reason, c.hops); *got != c.want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", etf.Format(c.reason), *got, c.want)
		}
	}
}

// TestReadAnswer: no answer is trusted.
func TestReadAnswer(t *testing.T) {
	good := func() etf.List {
		return etf.List{etf.List{etf.Atom("b")}, etf.List(nil), etf.String("27"), int64(1), int64(2), int64(3), int64(4)}
	}
	if _, err := readAnswer(good()); err != nil {
		t.Fatal(err)
	}
	for i, wrong := range []etf.Term{etf.List{int64(1)}, etf.Atom("x"), etf.Atom("x"), 1.5, nil, etf.Atom("x"), int64(0)} {
		bad := good()
		bad[i] = wrong
		if _, err := readAnswer(bad); !errors.Is(err, errAnswer) {
			t.Errorf("element %d as %v: %v", i, wrong, err)
		}
	}
	if _, err := readAnswer(etf.List{}); err == nil {
		t.Error("an empty list")
	}
}

// fixed answers everything with one term.
type fixed struct {
	t   etf.Term
	err error
}

func (f fixed) Call(context.Context, etf.Term, etf.Term) (etf.Term, error) { return f.t, f.err }

func TestTicktime(t *testing.T) {
	for _, c := range []struct {
		answer fixed
		want   time.Duration
	}{
		{fixed{t: int64(60)}, time.Minute},
		{fixed{t: etf.Tuple{etf.Atom("ongoing_change_to"), int64(90)}}, 90 * time.Second},
		{fixed{t: etf.Atom("ignored")}, 0},
		{fixed{err: errors.New("broken")}, 0},
	} {
		got, err := Ticktime(t.Context(), c.answer)
		if got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%v: %v, %v", c.answer, got, err)
		}
	}
}
