package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"erluv/wire/etf"
)

// world is a cluster that evaluates the calls of Look and Each like OTP. Each connection has a
// direction, because it is lost from one side first.
type world struct {
	visible, hidden map[string][]string
	how             map[string]string // of nodes: "stopped", "foreign", "odd", "huge"
	broken          map[string]bool   // "a>b": nothing passes

	mu      sync.Mutex
	asked   map[string]int
	running int
	most    int
	err     error // of the connection
}

// newWorld reads edges: a-b, a~b for a hidden one, a>b for one that b does not have.
func newWorld(edges string) *world {
	w := &world{visible: map[string][]string{}, hidden: map[string][]string{}, how: map[string]string{}, broken: map[string]bool{}, asked: map[string]int{}}
	for e := range strings.FieldsSeq(edges) {
		i := strings.IndexAny(e, "-~>")
		a, b, kind := e[:i], e[i+1:], w.visible
		if e[i] == '~' {
			kind = w.hidden
		}
		kind[a] = append(kind[a], b)
		if e[i] != '>' {
			kind[b] = append(kind[b], a)
		}
	}
	return w
}

var client = etf.Atom("client")

const entry = "a"

var usual = Limits{Wait: 2 * time.Second, Nodes: 1000}

// Call plays the entry's rex.
func (w *world) Call(ctx context.Context, to, request etf.Term) (etf.Term, error) {
	w.mu.Lock()
	w.running++
	w.most = max(w.most, w.running)
	err := w.err
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.running--
	}()
	r, ok := request.(etf.Tuple)
	if to != etf.Atom("rex") || !ok || len(r) != 5 || r[0] != etf.Atom("call") || r[4] != etf.Atom("user") {
		return nil, fmt.Errorf("to %v: %v", to, request)
	}
	if err != nil {
		return nil, err
	}
	if _, err := etf.AppendTerm(nil, request); err != nil {
		return nil, err
	}
	type end struct{ value, raised etf.Term }
	done := make(chan end, 1)
	time.Sleep(time.Millisecond) // the way there and back
	go func() {                  // ends when the node answers, or the caller has gone
		value, raised := w.eval(ctx, entry, r[1], r[2], r[3])
		done <- end{value, raised}
	}()
	select {
	case e := <-done:
		if e.raised != nil {
			return etf.Tuple{etf.Atom("badrpc"), etf.Tuple{etf.Atom("EXIT"), etf.Tuple{e.raised, etf.List{}}}}, nil
		}
		return e.value, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// eval evaluates a call on a node. If it raises an error, raised is the reason.
func (w *world) eval(ctx context.Context, node string, module, function, args etf.Term) (value, raised etf.Term) {
	w.mu.Lock()
	w.asked[node]++
	w.mu.Unlock()
	a, _ := args.(etf.List)
	switch {
	case module == etf.Atom("erpc") && function == etf.Atom("call"):
		return w.erpc(ctx, node, a)
	case module == etf.Atom("gen_server") && a[0] == etf.Atom("rex"):
		request := a[1].(etf.Tuple)
		value, raised := w.eval(ctx, node, request[1], request[2], request[3])
		if raised != nil {
			return etf.Tuple{etf.Atom("badrpc"), etf.Tuple{etf.Atom("EXIT"), raised}}, nil
		}
		return value, nil
	case module == etf.Atom("lists") && len(a[1].(etf.List)) == 1:
		value, raised := w.eval(ctx, node, a[1].(etf.List)[0], a[2].(etf.List)[0], a[3].(etf.List)[0])
		if n, ok := value.(int64); ok {
			return etf.String{byte(n)}, raised
		}
		return etf.List{value}, raised
	case module == etf.Atom("lists"):
		switch w.how[node] {
		case "odd":
			return etf.Atom("what"), nil
		case "stopped":
			<-ctx.Done()
		}
		return w.survey(node), nil
	case module == etf.Atom("erlang") && function == etf.Atom("nodes"):
		return w.survey(node).(etf.List)[1], nil
	case module == etf.Atom("erlang") && function == etf.Atom("node"):
		return etf.Atom(node), nil
	case module == etf.Atom("m") && function == etf.Atom("name"):
		return etf.Atom(node), nil
	case module == etf.Atom("m") && function == etf.Atom("seven"):
		return int64(7), nil
	case module == etf.Atom("m") && function == etf.Atom("slow"):
		<-ctx.Done()
	}
	return nil, etf.Atom("undef")
}

// erpc plays erpc:call/5.
func (w *world) erpc(ctx context.Context, node string, a etf.List) (value, raised etf.Term) {
	to, wait := string(a[0].(etf.Atom)), time.Duration(a[4].(int64))*time.Millisecond
	erpc := func(why etf.Atom) etf.Term { return etf.Tuple{etf.Atom("erpc"), why} }
	all := slices.Concat(w.visible[node], w.hidden[node])
	switch {
	case !slices.Contains(all, to):
		return nil, erpc("noconnection")
	case w.how[to] == "foreign":
		return nil, erpc("notsup")
	}
	type end struct{ value, raised etf.Term }
	done := make(chan end, 1)
	within, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if w.how[to] != "stopped" && !w.broken[node+">"+to] && !w.broken[to+">"+node] {
		go func() { // ends when the node answers, or the time has run out
			value, raised := w.eval(within, to, a[1], a[2], a[3])
			done <- end{value, raised}
		}()
	}
	select {
	case e := <-done:
		if e.raised != nil {
			return nil, etf.Tuple{etf.Atom("exception"), e.raised, etf.List{}}
		}
		return e.value, nil
	case <-within.Done():
		return nil, erpc("timeout")
	}
}

func (w *world) survey(node string) etf.Term {
	list := func(names []string) etf.Term {
		var l etf.List
		for _, n := range names {
			l = append(l, etf.Atom(n))
		}
		return l
	}
	hidden := w.hidden[node]
	if node == entry {
		hidden = append(slices.Clone(hidden), string(client))
	}
	return etf.List{list(w.visible[node]), list(hidden), etf.String("27"), int64(50), int64(-1000), int64(90_000), int64(1000)}
}

// words returns a map on one line.
func words(m *Map) string {
	var all []string
	for _, e := range m.Edges {
		sign := "-"
		if e.Hidden {
			sign = "~"
		}
		word := e.A + sign + e.B
		if e.OneSided {
			word += "!"
		}
		if e.Mute {
			word += "?"
		}
		all = append(all, word)
	}
	for _, n := range m.Nodes {
		if n.State != Up || n.Why != "" {
			all = append(all, strings.TrimSpace(fmt.Sprintf("%s: %s %s", n.Name, n.State, n.Why)))
		}
	}
	return strings.Join(all, " ")
}
