package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"erluv/cluster"
	"erluv/config"
	"erluv/stat"
	"erluv/wire/client"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// A caller calls processes of an erluv, through a connection to it or through a node that has one.
type caller interface {
	Call(ctx context.Context, to, request etf.Term) (etf.Term, error)
	Err() error // why the connection has ended, or nil before
}

// A connection is a connection to an erluv or to a node. Close ends it.
type connection struct {
	*client.Client
	leave func()
}

func (c *connection) Close() { c.leave() }

// A host is an erluv that a command talks to.
type host struct {
	caller
	name string // of its node
}

// through is a caller through a node that is connected to the erluv. The node's rex makes the call
// on its own connection.
type through struct {
	caller
	node string // of the erluv
}

// Call is gen_server:call/3 on that node.
func (t through) Call(ctx context.Context, to, request etf.Term) (etf.Term, error) {
	if name, ok := to.(etf.Atom); ok {
		to = etf.Tuple{name, etf.Atom(t.node)}
	}
	timeout := etf.Term(etf.Atom("infinity"))
	if end, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(end).Milliseconds(), 1)
	}
	answer, err := t.caller.Call(ctx, etf.Atom("rex"), etf.Tuple{
		etf.Atom("call"), etf.Atom("gen_server"), etf.Atom("call"), etf.List{to, request, timeout}, etf.Atom("user"),
	})
	if err != nil && t.caller.Err() != nil {
		return nil, errNodeGone{err}
	}
	bad, ok := answer.(etf.Tuple)
	if err != nil || !ok || len(bad) != 2 || bad[0] != etf.Atom("badrpc") {
		return answer, err
	}
	return nil, exitOf(bad[1])
}

// exitOf reads {'EXIT', {Reason, {gen_server, call, _}}}, which rex returns for a call without an
// answer.
func exitOf(bad etf.Term) error {
	reason := bad
	if t, ok := bad.(etf.Tuple); ok && len(t) == 2 && t[0] == etf.Atom("EXIT") {
		if why, ok := t[1].(etf.Tuple); ok && len(why) == 2 {
			reason = why[0]
		}
	}
	if t, ok := reason.(etf.Tuple); ok && len(t) == 2 && t[0] == etf.Atom("nodedown") || reason == etf.Atom("noconnection") {
		return errors.New("it is not connected any more")
	}
	if reason == etf.Atom("timeout") {
		return errSilent
	}
	return &client.Exit{Reason: reason}
}

// errNodeGone says that a call has no answer since the connection to the node has ended.
type errNodeGone struct{ why error }

func (e errNodeGone) Error() string {
	return fmt.Sprintf("the node has ended the connection, or cannot be reached any more (%v)", e.why)
}

var errSilent = errors.New("it does not answer in time")

// guestWait is how long an erluv may take to tell a node that it is an erluv.
const guestWait = 3 * time.Second

// serving returns the erluvs that serve a node, to be called through that node. For nodes that do
// not answer it returns errors, since they may be erluvs. No node gets a new connection.
func serving(ctx context.Context, node *connection) (list []told[host], err error) {
	guests, silent, err := cluster.Guests(ctx, node, string(node.Self().Node), guestWait)
	if err != nil {
		return nil, fmt.Errorf("%s does not say which erluvs serve it: %w", node.Peer().Name, err)
	}
	all := make([]host, len(guests))
	for i, name := range guests {
		all[i] = host{through{node, name}, name}
	}
	asked := each(all, func(h host) (host, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, guestWait, errSilent)
		defer cancel()
		_, err := h.Call(ctx, gen.Manager, etf.Tuple{etf.Atom("info"), etf.Atom("node")})
		return h, err
	})
	for _, t := range asked {
		if exit := (*client.Exit)(nil); !errors.As(t.err, &exit) { // a C node has no process erluv
			list = append(list, t)
		}
	}
	for _, name := range silent {
		list = append(list, told[host]{node: name, err: errSilent})
	}
	return list, nil
}

// A told is the result from one erluv, or the error.
type told[T any] struct {
	node  string
	value T
	err   error
}

// width is how many erluvs are called at once.
const width = 64

// each calls do for erluvs in parallel, and returns the results in the order of hosts.
func each[T any](hosts []host, do func(h host) (T, error)) []told[T] {
	list := make([]told[T], len(hosts))
	beside(width, len(hosts), func(i int) {
		list[i].node = hosts[i].name
		list[i].value, list[i].err = do(hosts[i])
	})
	return list
}

// beside calls do for each number below n, at most width at once.
func beside(width, n int, do func(i int)) {
	turns := make(chan int)
	var group sync.WaitGroup
	for range min(width, n) {
		group.Go(func() { // ends with the turns
			for i := range turns {
				do(i)
			}
		})
	}
	for i := range n {
		turns <- i
	}
	close(turns)
	group.Wait()
}

// hosts returns the selected erluv, or with --node all that serve the node, and the connection by which they
// are called.
func (o *operator) hosts(ctx context.Context) (*connection, []told[host], error) {
	c, err := o.connect(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	if o.node != "" {
		if ticktime, err := cluster.Ticktime(ctx, c); err == nil {
			c.SetTicktime(ticktime)
		}
	}
	list, err := o.hostsBy(ctx, c)
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, list, nil
}

// hostsBy returns the erluvs that are called by a connection.
func (o *operator) hostsBy(ctx context.Context, c *connection) ([]told[host], error) {
	if o.node == "" {
		name := c.Peer().Name
		return []told[host]{{node: name, value: host{c, name}}}, nil
	}
	list, err := serving(ctx, c)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("no erluv serves %s", o.node)
	}
	return list, err
}

// among calls do for the erluvs that can be called. The others follow with their errors.
func among[T any](known []told[host], do func(h host) (T, error)) []told[T] {
	var hosts []host
	var list []told[T]
	for _, t := range known {
		if t.err != nil {
			list = append(list, told[T]{node: t.node, err: t.err})
		} else {
			hosts = append(hosts, t.value)
		}
	}
	return append(each(hosts, do), list...)
}

// at calls do for the selected erluv, whose error is the command's. With --node it calls do for all
// that serve the node, and each has its own error.
func at[T any](o *operator, do func(ctx context.Context, h host) (T, error)) ([]told[T], error) {
	ctx, cancel := untilSignal()
	defer cancel()
	c, known, err := o.hosts(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	list := among(known, func(h host) (T, error) { return do(ctx, h) })
	if o.node == "" && list[0].err != nil {
		return nil, list[0].err
	}
	return list, nil
}

// show prints results of erluvs. As JSON it prints one object a line for each erluv. As text it
// prints the successful ones. In both forms errors go to standard error as well, and then the
// command fails.
func show[T any](o *operator, list []told[T], object func(node string, v T) any, text func(w io.Writer, list []told[T]) error) error {
	var answered []told[T]
	var silent []string
	for _, t := range list {
		if t.err == nil {
			answered = append(answered, t)
		} else {
			silent = append(silent, fmt.Sprintf("%s: %v", cluster.Show(t.node), t.err))
		}
	}
	if o.format != config.FormatJSON {
		if err := text(o.stdout, answered); err != nil {
			return err
		}
	}
	for _, t := range list {
		if o.format != config.FormatJSON {
			break
		}
		var line any = failure{t.node, fmt.Sprint(t.err)}
		if t.err == nil {
			line = object(t.node, t.value)
		}
		if err := printJSON(o.stdout, line); err != nil {
			return err
		}
	}
	if len(silent) > 0 {
		complain(o.stderr, silent...)
		return fmt.Errorf("%d of %d erluvs have not done it", len(silent), len(list))
	}
	return nil
}

// printJSON prints a value on one line.
func printJSON(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return print(w, string(stat.SafeJSON(text))+"\n")
}

// failure is the object of an erluv without a result.
type failure struct {
	Node  string `json:"node"`
	Error string `json:"error"`
}

// withHost adds the column of hosts to the head of a table, if there are several erluvs.
func (o *operator) withHost(head []string) []string {
	if o.node == "" {
		return head
	}
	return append([]string{"HOST"}, head...)
}

// ofHost adds the column of hosts to a row of such a table.
func (o *operator) ofHost(node string, cells []string) []string {
	if o.node == "" {
		return cells
	}
	return append([]string{cluster.Show(node)}, cells...)
}
