package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"

	"erluv/cluster"
	"erluv/config"
	"erluv/web"
	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

// fleet has the erluvs that serve nodes, for a page. The page has neither a connection to a node
// nor the cookie. So erluv web makes the page's calls, and refuses those that a page may not make.
type fleet struct {
	*webCommand
	cfgs  []*config.Config // how to connect to each of the nodes
	calls sync.WaitGroup   // of goroutines that make calls, which end with the context

	mu    sync.Mutex // guards all below
	nodes []*connection
	hosts map[string]host
}

func newFleet(w *webCommand, cfgs []*config.Config) *fleet {
	return &fleet{webCommand: w, cfgs: cfgs, nodes: make([]*connection, len(cfgs)), hosts: make(map[string]host)}
}

// close ends the connections to the nodes. The caller has ended the context before.
func (f *fleet) close() {
	f.calls.Wait()
	for _, c := range f.nodes {
		if c != nil {
			c.Close()
		}
	}
}

// seek asks the nodes which erluvs serve them.
func (f *fleet) seek(ctx context.Context) (found web.Hosts) {
	hosts := make(map[string]host)
	for i := range f.cfgs {
		list, err := f.ask(ctx, i)
		if err != nil {
			found.Troubles = append(found.Troubles, fmt.Sprintf("%s: %v", f.targets[i], err))
		}
		for _, t := range list {
			switch {
			case t.err != nil:
				found.Troubles = append(found.Troubles, fmt.Sprintf("%s: %v", cluster.Show(t.node), t.err))
			case hosts[t.value.name].caller == nil:
				hosts[t.value.name] = t.value
				found.Names = append(found.Names, t.value.name)
			}
		}
	}
	slices.Sort(found.Names)
	f.mu.Lock()
	f.hosts = hosts
	f.mu.Unlock()
	return found
}

// ask asks one node, with a new connection if the last has ended.
func (f *fleet) ask(ctx context.Context, i int) ([]told[host], error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectBound, fmt.Errorf("no answer within %v", connectBound))
	defer cancel()
	if c := f.nodes[i]; c != nil && c.Err() != nil {
		c.Close()
		f.nodes[i] = nil
	}
	if f.nodes[i] == nil {
		c, leave, err := dial(ctx, f.cfgs[i], nil)
		if err != nil {
			return nil, err
		}
		f.nodes[i] = &connection{c, leave}
		if ticktime, err := cluster.Ticktime(ctx, f.nodes[i]); err == nil {
			c.SetTicktime(ticktime)
		}
	}
	return serving(ctx, f.nodes[i])
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
