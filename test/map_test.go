package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A grid is a number of nodes with exactly the connections of a test. Each has a letter and a
// recorder, which notes every connection, visible or hidden, that the node gets or loses.
type grid struct {
	nodes map[string]*node
	names *strings.Replacer // a node's name becomes its letter
}

const recorder = `spawn(fun() ->
		register(recorder, self()), ok = net_kernel:monitor_nodes(true, [{node_type, all}]),
		(fun Record(Events) -> receive
			{take, From} -> From ! {recorded, lists:reverse(Events)}, Record([]);
			{What, Node, _} -> Record([{What, Node} | Events])
		end end)([]) end),
	e2e:until(fun() -> whereis(recorder) =/= undefined end)`

// gridStarts is how many nodes start in parallel.
const gridStarts = 4

// newGrid starts nodes.
func newGrid(t *testing.T, letters []string, args ...string) grid {
	t.Helper()
	g := grid{nodes: map[string]*node{}}
	var mu sync.Mutex
	var group sync.WaitGroup
	turns := make(chan struct{}, gridStarts)
	var failed error
	var names []string
	for _, letter := range letters {
		group.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			n, err := startNode(nodeOptions{
				name: fmt.Sprintf("%s_%d", letter, serial.Add(1)),
				args: append([]string{"-connect_all", "false"}, args...),
			})
			mu.Lock()
			defer mu.Unlock()
			if failed = errors.Join(failed, err); err == nil {
				g.nodes[letter] = n
				names = append(names, n.name, letter)
			}
		})
	}
	group.Wait()
	t.Cleanup(func() {
		for letter, n := range g.nodes {
			if err := n.stop(); err != nil {
				t.Error(err)
			}
			if t.Failed() && n.output.String() != "" {
				t.Logf("%s wrote:\n%s", letter, n.output.String())
			}
		}
	})
	if failed != nil {
		t.Fatal(failed)
	}
	g.names = strings.NewReplacer(names...)
	for _, n := range g.nodes {
		n.expect(t, "ok", recorder)
	}
	return g
}

// connect makes these connections and leaves no others: a-b, or a~b for a hidden one.
func (g grid) connect(t *testing.T, edges string) {
	t.Helper()
	for _, n := range g.nodes {
		n.eval(t, "[erlang:disconnect_node(N) || N <- nodes(connected)]")
	}
	for _, n := range g.nodes {
		n.expect(t, "ok", "e2e:until(fun() -> nodes(connected) =:= [] end)")
	}
	degree := map[string]int{}
	for e := range strings.FieldsSeq(edges) {
		a, b, hidden := strings.Cut(e, "~")
		function := "hidden_connect_node"
		if !hidden {
			a, b, _ = strings.Cut(e, "-")
			function = "connect_node"
		}
		g.nodes[a].expect(t, "true", "net_kernel:"+function+"(N)", bind{"N": atom(g.nodes[b].name)})
		degree[a]++
		degree[b]++
	}
	for letter, n := range g.nodes {
		n.expect(t, "ok", fmt.Sprintf("e2e:until(fun() -> length(nodes(connected)) =:= %d end)", degree[letter]))
	}
	g.recorded(t)
}

// recorded returns all events of the recorders, by the letters of their nodes.
func (g grid) recorded(t *testing.T) map[string]string {
	t.Helper()
	events := map[string]string{}
	for letter, n := range g.nodes {
		if n.killed {
			continue
		}
		if got := n.eval(t, "recorder ! {take, self()}, receive {recorded, Events} -> Events end"); got != "[]" {
			events[letter] = got
		}
	}
	return events
}

// unchanged checks that since the last look at the recorders the entry had erluv as its guest, and
// no node had any other event.
func (g grid) unchanged(t *testing.T, entry string) {
	t.Helper()
	g.nodes[entry].expect(t, "ok", `e2e:until(fun() -> [] =:= [N || N <- nodes(hidden), lists:prefix("erluv_", atom_to_list(N))] end)`)
	var visits string
	eventually(t, "the entry to notice that erluv has left", func() bool {
		seen := g.recorded(t)
		visits += seen[entry]
		delete(seen, entry)
		if len(seen) > 0 {
			t.Fatalf("connections were made or lost: %v", seen)
		}
		return strings.Count(visits, "nodeup") == strings.Count(visits, "nodedown") && visits != ""
	})
	for _, e := range strings.Split(strings.Trim(visits, "[]"), "},{") {
		if !strings.Contains(e, "erluv_") {
			t.Errorf("the entry got or lost another connection than erluv's: %s", visits)
		}
	}
}

// looks runs erluv beside a node, with its cookie, until it ends.
func looks(t *testing.T, n *node, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	return invoked(t, n, append(args, n.cookieFile())...)
}

func invoked(t *testing.T, n *node, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.CommandContext(limited(t, evalTime), executable, args...)
	cmd.Env, cmd.Dir = n.env, n.home
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), problems.String(), cmd.ProcessState.ExitCode()
}

// seen is the output of erluv map --json. erluv(8) promises its keys.
type seen struct {
	Entry      string `json:"entry"`
	Complete   bool   `json:"complete"`
	Incomplete string `json:"incomplete"`
	LeftOut    int    `json:"left_out"`
	TookMS     int    `json:"took_ms"`
	Nodes      []struct {
		Name      string `json:"name"`
		State     string `json:"state"`
		Why       string `json:"why"`
		Hidden    bool   `json:"hidden"`
		OTP       string `json:"otp"`
		UptimeS   int    `json:"uptime_s"`
		Processes int    `json:"processes"`
	} `json:"nodes"`
	Connections []struct {
		A        string `json:"a"`
		B        string `json:"b"`
		Hidden   bool   `json:"hidden"`
		OneSided bool   `json:"one_sided"`
		Mute     bool   `json:"mute"`
	} `json:"connections"`
}

// edges returns the connections as connect takes them. Words follow for nodes that are down or
// hidden.
func (s seen) edges() string {
	var words []string
	for _, c := range s.Connections {
		sign := "-"
		if c.Hidden {
			sign = "~"
		}
		words = append(words, c.A+sign+c.B)
		if c.OneSided || c.Mute {
			words = append(words, "odd")
		}
	}
	for _, n := range s.Nodes {
		if n.State != "up" {
			words = append(words, n.Name+":"+n.State)
		}
		if n.Hidden {
			words = append(words, n.Name+":hidden")
		}
	}
	return strings.Join(words, " ")
}

// look returns what erluv sees from an entry, with letters for names.
func (g grid) look(t *testing.T, entry string, args ...string) seen {
	t.Helper()
	out, problems, status := looks(t, g.nodes[entry], append([]string{"map", "--json", patient, g.nodes[entry].name}, args...)...)
	s := whole[seen](t, g.names.Replace(out))
	if problems != "" || status != 0 || !s.Complete {
		t.Fatalf("status %d\n%s\n%s", status, problems, out)
	}
	return s
}

// patient is a timeout with which a busy machine draws no node as silent.
const patient = "--timeout=100s"

var letters = []string{"a", "b", "c", "d", "e", "f", "g"}

// TestMap checks section 7 of the contract. The map has every connection once, from every entry, and
// no node gets a new connection.
//
//erluv:releases
func TestMap(t *testing.T) {
	g := newGrid(t, letters)
	for name, shape := range map[string]struct{ edges, entries, want string }{
		"sample":        {"a-b b-c a-c b-d d-e e-f f-d", "a f", "a-b a-c b-c b-d d-e d-f e-f"},
		"bowtie":        {"a-b a-c b-c d-e d-f e-f c-g d-g", "a g", "a-b a-c b-c c-g d-e d-f d-g e-f"},
		"ring":          {"a-b b-c c-d d-e e-f f-g g-a", "a d", "a-b a-g b-c c-d d-e e-f f-g"},
		"star":          {"a-b a-c a-d a-e a-f a-g", "a g", "a-b a-c a-d a-e a-f a-g"},
		"tail":          {"a-b b-c a-c c-d d-e e-f f-g", "a g", "a-b a-c b-c c-d d-e e-f f-g"},
		"hidden bridge": {"a-b b-c a-c d-e e-f d-f c~d", "a e", "a-b a-c b-c c~d d-e d-f e-f"},
		"alone":         {"", "a", ""},
	} {
		t.Run(name, func(t *testing.T) {
			g.connect(t, shape.edges)
			for entry := range strings.FieldsSeq(shape.entries) {
				s := g.look(t, entry)
				if got := s.edges(); got != shape.want {
					t.Errorf("from %s:\ngot  %s\nwant %s", entry, got, shape.want)
				}
				g.unchanged(t, entry)
			}
		})
	}
	t.Run("as text", func(t *testing.T) {
		g.connect(t, "a-b b-c a-c b-d d-e e-f f-d g~a")
		out, problems, status := looks(t, g.nodes["a"], "map", "--hidden", patient, g.nodes["a"].name)
		t.Log(out)
		for _, want := range []string{
			"7 nodes and 8 connections, seen from a in ", "\n  mesh of 3: a b c\n  mesh of 3: d e f\n  b -- d\n  a .. g  (hidden)\n",
		} {
			if !strings.Contains(g.names.Replace(out), want) || problems != "" || status != 0 {
				t.Errorf("status %d: %s", status, problems)
			}
		}
	})
	t.Run("for Graphviz", func(t *testing.T) {
		g.connect(t, "a-b b-c a-c b-d d-e e-f f-d c~g f~g")
		out, problems, status := looks(t, g.nodes["a"], "map", "--dot", patient, g.nodes["a"].name)
		nodes, edges, err := readDOT(g.names.Replace(out))
		if err != nil || problems != "" || status != 0 {
			t.Fatalf("status %d, %v: %s\n%s", status, err, problems, out)
		}
		want := "a-b a-c b-c b-d c-g[style=dashed] d-e d-f e-f f-g[style=dashed]"
		if got := strings.Join(edges, " "); got != want || len(nodes) != 7 {
			t.Errorf("%d nodes\ngot  %s\nwant %s", len(nodes), got, want)
		}
	})
}

// TestMapOfSilent: a node that is stopped is drawn with its connections, and marked.
func TestMapOfSilent(t *testing.T) {
	g := newGrid(t, letters[:5])
	g.connect(t, "a-b b-c c-d d-e a-e")
	stopped := g.nodes["c"]
	kill(t, stopped.cmd.Process.Pid, syscall.SIGSTOP)
	defer kill(t, stopped.cmd.Process.Pid, syscall.SIGCONT)
	stopped.killed = true // for recorded
	text := make(chan string)
	go func() { // in parallel with the other look, as each waits for the stopped node
		defer close(text)
		out, _, _ := looks(t, g.nodes["a"], "map", "--text", "--timeout=20s", g.nodes["a"].name)
		text <- out
	}()
	s, out := g.look(t, "a", "--timeout=20s"), <-text
	if got, want := s.edges(), "a-b a-e b-c c-d d-e c:silent"; got != want {
		t.Errorf("\ngot  %s\nwant %s", got, want)
	}
	g.unchanged(t, "a")
	if !strings.Contains(g.names.Replace(out), "\n! c: it does not answer in time\n") {
		t.Errorf("as text:\n%s", out)
	}
	// From the stopped node, nothing can be seen.
	_, problems, status := looks(t, stopped, "map", "--timeout=500ms", stopped.name)
	if status != 1 || !strings.Contains(problems, "did not end in time") {
		t.Errorf("of the stopped one: status %d: %s", status, problems)
	}
	kill(t, stopped.cmd.Process.Pid, syscall.SIGCONT)
	stopped.killed = false
	stopped.eval(t, "ok")
	if got, want := g.look(t, "a").edges(), "a-b a-e b-c c-d d-e"; got != want {
		t.Errorf("when it goes on:\ngot  %s\nwant %s", got, want)
	}
	g.recorded(t)
}

// TestMapFar: twenty hops, forty nodes.
func TestMapFar(t *testing.T) {
	var names []string
	var edges []string
	for i := range 40 {
		names = append(names, fmt.Sprintf("n%02d", i))
	}
	// Two rows, connected in each column but the last ones: depth 20, 58 connections.
	for i := range 20 {
		if i > 0 {
			edges = append(edges, names[2*i-2]+"-"+names[2*i], names[2*i-1]+"-"+names[2*i+1])
		}
		edges = append(edges, names[2*i]+"-"+names[2*i+1])
	}
	begin := time.Now()
	g := newGrid(t, names, "+S", "1", "+SDio", "1", "+SDcpu", "1", "+A", "1")
	g.connect(t, strings.Join(edges, " "))
	t.Logf("40 nodes were up and connected after %v", time.Since(begin))
	var took []int
	slices.Sort(edges)
	for range 3 {
		s := g.look(t, "n00")
		if got := s.edges(); got != strings.Join(edges, " ") {
			t.Fatalf("got  %s\nwant %s", got, strings.Join(edges, " "))
		}
		g.unchanged(t, "n00")
		took = append(took, s.TookMS)
	}
	t.Logf("%d nodes, %d connections, depth 20: %v ms", len(names), len(edges), took)
}
