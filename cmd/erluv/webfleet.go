package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"erluv/cluster"
	"erluv/config"
	"erluv/web"
	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

// seekWait is how long the page waits for nodes that say which erluvs serve them. The page can ask
// for nothing else meanwhile. A slower node answers for the next time.
const seekWait = 2 * time.Second

// fleet has the erluvs that serve nodes, for a page. The page has neither a connection to a node
// nor the cookie. So erluv web makes the page's calls, and refuses those that a page may not make.
type fleet struct {
	*webCommand
	nodes []*fleetNode
	calls sync.WaitGroup // of goroutines that make calls, which end with the context

	mu    sync.Mutex // guards all below, and what a fleetNode has said
	hosts map[string]host
}

// fleetNode is a node that erluvs serve. At most one goroutine asks it at a time, and that one has
// its connection.
type fleetNode struct {
	target string
	ask    func(ctx context.Context) ([]told[host], error)
	conn   *connection

	asked chan struct{} // closed when the node has answered; nil: no question is open
	list  []told[host]
	err   error
}

var errNotYet = errors.New("it has not answered yet")

func newFleet(w *webCommand, cfgs []*config.Config) *fleet {
	f := &fleet{webCommand: w, hosts: make(map[string]host)}
	for i, cfg := range cfgs {
		n := &fleetNode{target: w.targets[i], err: errNotYet}
		n.ask = func(ctx context.Context) ([]told[host], error) { return n.serving(ctx, cfg) }
		f.nodes = append(f.nodes, n)
	}
	return f
}

// close ends the connections to the nodes. The caller has ended the context before.
func (f *fleet) close() {
	f.calls.Wait()
	for _, n := range f.nodes {
		if n.conn != nil {
			n.conn.Close()
		}
	}
}

// seek asks the nodes which erluvs serve them, all at once. After seekWait it uses the last answers
// of those that are still silent.
func (f *fleet) seek(ctx context.Context) (found web.Hosts) {
	bound, cancel := context.WithTimeout(ctx, seekWait)
	defer cancel()
	var asked []chan struct{}
	for _, n := range f.nodes {
		asked = append(asked, f.ask(ctx, n))
	}
	for _, answered := range asked {
		select {
		case <-answered:
		case <-bound.Done():
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hosts = make(map[string]host)
	for _, n := range f.nodes {
		if n.err != nil {
			found.Troubles = append(found.Troubles, fmt.Sprintf("%s: %v", n.target, n.err))
		}
		for _, t := range n.list {
			switch {
			case t.err != nil:
				found.Troubles = append(found.Troubles, fmt.Sprintf("%s: %v", cluster.Show(t.node), t.err))
			case f.hosts[t.value.name].caller == nil:
				f.hosts[t.value.name] = t.value
				found.Names = append(found.Names, t.value.name)
			}
		}
	}
	slices.Sort(found.Names)
	return found
}

// ask lets a goroutine ask a node, unless one does so already. The channel is closed with the answer.
func (f *fleet) ask(ctx context.Context, n *fleetNode) chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n.asked != nil {
		return n.asked
	}
	answered := make(chan struct{})
	n.asked = answered
	f.calls.Go(func() { // ends within connectBound, or with ctx
		list, err := n.ask(ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		n.list, n.err, n.asked = list, err, nil
		close(answered)
	})
	return answered
}

// serving asks the node, with a new connection if the last has ended.
func (n *fleetNode) serving(ctx context.Context, cfg *config.Config) ([]told[host], error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectBound, fmt.Errorf("no answer within %v", connectBound))
	defer cancel()
	if n.conn != nil && n.conn.Err() != nil {
		n.conn.Close()
		n.conn = nil
	}
	if n.conn == nil {
		c, leave, err := dial(ctx, cfg, nil)
		if err != nil {
			return nil, err
		}
		n.conn = &connection{c, leave}
		if ticktime, err := cluster.Ticktime(ctx, n.conn); err == nil {
			c.SetTicktime(ticktime)
		}
	}
	return serving(ctx, n.conn)
}

// link gives the page a way to call an erluv.
func (f *fleet) link(ctx context.Context, name string) (linked web.Linked, _ *os.File, err error) {
	f.mu.Lock()
	_, known := f.hosts[name]
	f.mu.Unlock()
	if !known {
		return linked, nil, fmt.Errorf("%s serves no node any more", cluster.Show(name))
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return linked, nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "calls"), os.NewFile(uintptr(fds[1]), "page")
	conn, err := net.FileConn(ours)
	_ = ours.Close()
	if err != nil {
		_ = theirs.Close()
		return linked, nil, err
	}
	f.calls.Go(func() { // ends with ctx, or when the page closes its end
		defer conn.Close()
		web.Answer(ctx, conn, !f.looks, func(ctx context.Context, to, request etf.Term) (etf.Term, error) {
			f.mu.Lock()
			h, known := f.hosts[name]
			f.mu.Unlock()
			if pid, ok := to.(etf.Pid); !known || ok && string(pid.Node) != name {
				return nil, fmt.Errorf("%s serves no node any more", cluster.Show(name))
			}
			return h.Call(ctx, to, request)
		})
	})
	linked.Proxied = true
	return linked, theirs, nil
}
