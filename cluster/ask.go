package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"erluv/wire/etf"
)

// A Caller calls processes of the entry, like gen_server:call/3. A *client.Client is one.
type Caller interface {
	Call(ctx context.Context, to, request etf.Term) (etf.Term, error)
}

// A call is a function and its arguments.
type call struct {
	module, function etf.Atom
	args             etf.List
}

func (c call) list(timeout time.Duration) etf.List {
	return etf.List{c.module, c.function, c.args, timeout.Milliseconds()}
}

// hop is how much longer each node of a path waits than the next one. So the last node reports the
// problem.
const hop = 250 * time.Millisecond

// by returns the call for the entry that makes the last node of a path evaluate c. Each node of the
// path calls the next, on its existing connection. The last node has wait for c.
func (c call) by(path []string, wait time.Duration) call {
	for i := len(path) - 1; i >= 0; i-- {
		c = call{"erpc", "call", append(etf.List{etf.Atom(path[i])}, c.list(wait)...)}
		wait += hop
	}
	return c
}

// local returns the call for the last node of a path. With it c has a process of that node as its
// group leader. A process that erpc starts has the caller's group leader, so c's output and logs
// would go to the caller's node, on a new connection. The result is in a list, so that a {badrpc,
// Reason} of that node does not look like one of the entry.
func (c call) local() call {
	return together(call{"gen_server", "call", etf.List{etf.Atom("rex"), c.request(), etf.Atom("infinity")}})
}

// together returns a call that makes several, and returns a list of their results. The module lists
// is on every node.
func together(calls ...call) call {
	var modules, functions, args etf.List
	for _, c := range calls {
		modules, functions, args = append(modules, c.module), append(functions, c.function), append(args, c.args)
	}
	return call{"lists", "zipwith3", etf.List{apply3(), modules, functions, args}}
}

// request returns the request that makes rex evaluate c, with the process user as its group leader.
func (c call) request() etf.Term {
	return etf.Tuple{etf.Atom("call"), c.module, c.function, c.args, etf.Atom("user")}
}

// ask makes the last node of a path evaluate c, and returns the result. Otherwise the error is a
// *Trouble, or an error of the connection to the entry. If the entry itself evaluates c and c
// fails, the result is {badrpc, Reason}.
func ask(ctx context.Context, caller Caller, path []string, c call, wait time.Duration) (etf.Term, error) {
	outer := wait + time.Duration(len(path)+1)*hop
	ctx, cancel := context.WithTimeoutCause(ctx, outer, errNoAnswer)
	defer cancel()
	result, err := caller.Call(ctx, etf.Atom("rex"), c.by(path, wait).request())
	switch {
	case errors.Is(err, errNoAnswer):
		return nil, &Trouble{State: Silent}
	case errors.Is(err, etf.ErrTooMany), errors.Is(err, etf.ErrDepth):
		return nil, &Trouble{State: Failed, hop: -1, Why: "the request or its answer is too large, or nested too deeply"}
	case err != nil:
		return nil, err
	}
	if reason, ok := tagged(result, "badrpc"); ok && len(path) > 0 {
		return nil, troubleOf(reason, len(path))
	}
	return result, nil
}

// ticktimeWait bounds the entry's answer to a simple request.
const ticktimeWait = 5 * time.Second

// Ticktime returns the net_ticktime of the entry. If it is about to change, Ticktime returns the
// new value.
func Ticktime(ctx context.Context, caller Caller) (time.Duration, error) {
	result, err := ask(ctx, caller, nil, call{"net_kernel", "get_net_ticktime", nil}, ticktimeWait)
	if changing, ok := tagged(result, "ongoing_change_to"); ok {
		result = changing
	}
	if s, ok := result.(int64); ok && s > 0 && s < 1<<31 {
		return time.Duration(s) * time.Second, nil
	}
	return 0, errors.Join(err, errors.New("the entry does not say its net_ticktime"))
}

var errNoAnswer = errors.New("no answer in time")

// Trouble is the reason for a missing result.
type Trouble struct {
	State State
	Why   string // of Failed
	hop   int    // the node of the path that could not be called, from 0; -1: none
}

func (t *Trouble) Error() string {
	switch t.State {
	case Silent:
		return "it does not answer in time"
	case Foreign:
		return "it is no Erlang VM that can be asked"
	case Gone:
		return "it is not connected any more"
	case NotAsked:
		return "it was not asked: " + t.Why
	}
	return t.Why
}

// troubleOf reads the reason of a {badrpc, Reason}. After an error at the entry it is {'EXIT',
// {What, Stack}}, and after an exit {'EXIT', What}. If the entry called erpc:call/5, What has more
// forms. It is {erpc, Why} if the call could not be made. For errors at the next node it is
// {exception, What, Stack} or {exception, What}.
func troubleOf(reason etf.Term, hops int) *Trouble {
	what := reason
	if exit, ok := tagged(reason, "EXIT"); ok {
		what = exit
		if t, ok := exit.(etf.Tuple); ok && len(t) == 2 && t[0] != etf.Atom("exception") {
			what = t[0]
		}
	}
	for i := range hops {
		if why, ok := tagged(what, "erpc"); ok {
			return &Trouble{State: stateOf(why), Why: "erpc says " + etf.Format(why), hop: i}
		}
		next, ok := tagged(what, "exception")
		if !ok {
			break
		}
		what = next
	}
	return &Trouble{State: Failed, Why: etf.Format(what), hop: -1}
}

func stateOf(why etf.Term) State {
	switch why {
	case etf.Atom("notsup"):
		return Foreign
	case etf.Atom("timeout"):
		return Silent
	case etf.Atom("noconnection"):
		return Gone
	}
	return Failed
}

// tagged returns the second element of {Tag, _, ...}.
func tagged(t etf.Term, tag etf.Atom) (etf.Term, bool) {
	tuple, ok := t.(etf.Tuple)
	if !ok || len(tuple) < 2 || tuple[0] != tag {
		return nil, false
	}
	return tuple[1], true
}

// survey is a question to each node for its connections and the Facts. None of the functions
// changes anything. For example, statistics/1 would reset counters.
func survey() call {
	return together(
		call{"erlang", "nodes", etf.List{etf.Atom("visible")}},
		call{"erlang", "nodes", etf.List{etf.Atom("hidden")}},
		call{"erlang", "system_info", etf.List{etf.Atom("otp_release")}},
		call{"erlang", "system_info", etf.List{etf.Atom("process_count")}},
		call{"erlang", "system_info", etf.List{etf.Atom("start_time")}},
		call{"erlang", "monotonic_time", etf.List{}},
		call{"erlang", "convert_time_unit", etf.List{int64(1), etf.Atom("second"), etf.Atom("native")}},
	)
}

// apply3 returns fun erlang:apply/3 (EXPORT_EXT).
func apply3() etf.Raw {
	b := etf.AppendAtom(etf.AppendAtom([]byte{'q'}, "erlang"), "apply")
	return etf.AppendInt(b, 3)
}

// answer is a node's answer to survey.
type answer struct {
	visible, hidden []string
	facts           Facts
}

var errAnswer = errors.New("its answer is not understood")

func readAnswer(t etf.Term) (a answer, err error) {
	list, ok := t.(etf.List)
	if !ok || len(list) != 7 {
		return a, errAnswer
	}
	var err1, err2 error
	a.visible, err1 = names(list[0])
	a.hidden, err2 = names(list[1])
	release, ok := etf.Text(list[2])
	processes, ok1 := list[3].(int64)
	start, ok2 := list[4].(int64)
	now, ok3 := list[5].(int64)
	second, ok4 := list[6].(int64)
	if err := errors.Join(err1, err2); err != nil {
		return a, err
	}
	if !ok || !ok1 || !ok2 || !ok3 || !ok4 || second <= 0 {
		return a, errAnswer
	}
	a.facts = Facts{Release: release, Processes: processes, Uptime: time.Duration((now-start)/second) * time.Second}
	return a, nil
}

func names(t etf.Term) ([]string, error) {
	list, ok := t.(etf.List)
	if !ok {
		return nil, errAnswer
	}
	all := make([]string, len(list))
	for i, e := range list {
		name, ok := e.(etf.Atom)
		if !ok || name == "" {
			return nil, fmt.Errorf("%w: a node is called %s", errAnswer, etf.Format(e))
		}
		all[i] = string(name)
	}
	return all, nil
}
