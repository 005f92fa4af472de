package peer

import (
	"erluv/wire/etf"
)

// A look finds out how much of each stream of ours waits in a mailbox. The node evaluates an
// expression, because the child installs no code there. erl_eval, ets, lists and maps belong to
// stdlib, so every node has them. Compiled functions do all work that is done for each message.
//
//	(fun({message_queue_len, Q}, {memory, M}) when Q =< 50000, M =< 67108864 ->
//	     {Q, (fun(G) when map_size(G) =< 4096 ->
//	              lists:zip(maps:keys(G), lists:map(fun lists:sum/1, maps:values(G)));
//	             (_) -> many
//	          end)(maps:groups_from_list(fun erlang:hd/1, fun erlang:tl/1,
//	              ets:match_spec_run(element(2, process_info(P, messages)), ets:match_spec_compile(Spec))))};
//	    (_, _) -> many
//	 end)(process_info(P, message_queue_len), process_info(P, memory))
//
// Spec makes [{Worker, Stream} | Cost] of {Worker, {Stream, Bin}} if the worker is ours. It makes
// [{Worker, Stream, list} | 1] of a list of lines, because no match specification can count its
// bytes.
const (
	// lookMemory is the most memory that the receiver may have, in bytes. Its messages are no
	// larger, and all but large binaries are copied.
	lookMemory = 64 << 20

	// lookStreams is the maximum number of streams in an answer, at 70 bytes each.
	lookStreams = 4096
)

// lookAt returns the arguments of erl_eval:exprs/2.
func (c *Peer) lookAt(pid etf.Pid) etf.List {
	if c.flows.look == nil {
		c.flows.look = lookForms()
		c.flows.spec = lookSpec(c.Self.Node)
	}
	return etf.List{c.flows.look, etf.List{
		etf.Tuple{etf.Atom("P"), pid},
		etf.Tuple{etf.Atom("Spec"), c.flows.spec},
	}}
}

// lookSpec is the match specification for messages from workers of a node.
func lookSpec(node etf.Atom) etf.Term {
	worker, stream, bin := etf.Atom("$1"), etf.Atom("$2"), etf.Atom("$3")
	head := etf.Tuple{worker, etf.Tuple{stream, bin}}
	clause := func(kind etf.Atom, key etf.Tuple, cost etf.Term) etf.Term {
		guards := etf.List{
			etf.Tuple{etf.Atom("is_pid"), worker},
			etf.Tuple{etf.Atom("=:="), etf.Tuple{etf.Atom("node"), worker}, node},
			etf.Tuple{kind, bin},
		}
		pair := etf.Improper{Elems: etf.List{etf.Tuple{key}}, Tail: cost} // {{ }} is a tuple there
		return etf.Tuple{head, guards, etf.List{pair}}
	}
	cost := etf.Tuple{etf.Atom("+"), etf.Tuple{etf.Atom("size"), bin}, int64(MessageCost)}
	return etf.List{
		clause("is_binary", etf.Tuple{worker, stream}, cost),
		clause("is_list", etf.Tuple{worker, stream, etf.Atom("list")}, int64(1)),
	}
}

// form makes a form of Erlang's abstract format (erl_parse), on line 1.
func form(kind string, rest ...etf.Term) etf.Tuple {
	return append(etf.Tuple{etf.Atom(kind), int64(1)}, rest...)
}

func varForm(name string) etf.Term     { return form("var", etf.Atom(name)) }
func atomForm(name string) etf.Term    { return form("atom", etf.Atom(name)) }
func integerForm(n int64) etf.Term     { return form("integer", n) }
func tupleForm(e ...etf.Term) etf.Term { return form("tuple", etf.List(e)) }

func callForm(module, function string, args ...etf.Term) etf.Term {
	return form("call", form("remote", atomForm(module), atomForm(function)), etf.List(args))
}

// nameForm is fun Module:Function/Arity.
func nameForm(module, function string, arity int64) etf.Term {
	return form("fun", etf.Tuple{etf.Atom("function"), atomForm(module), atomForm(function), integerForm(arity)})
}

// switchForm is (fun(Args) when Guards -> Body; (_, ...) -> many end)(Values).
func switchForm(args, guards []etf.Term, body etf.Term, values ...etf.Term) etf.Term {
	rest := make(etf.List, len(args))
	for i := range rest {
		rest[i] = varForm("_")
	}
	return form("call", form("fun", etf.Tuple{etf.Atom("clauses"), etf.List{
		form("clause", etf.List(args), etf.List{etf.List(guards)}, etf.List{body}),
		form("clause", rest, etf.List(nil), etf.List{atomForm("many")}),
	}}), etf.List(values))
}

func atMost(what etf.Term, n int64) etf.Term {
	return form("op", etf.Atom("=<"), what, integerForm(n))
}

func lookForms() etf.List {
	info := func(item string) etf.Term { return callForm("erlang", "process_info", varForm("P"), atomForm(item)) }
	ours := callForm("ets", "match_spec_run",
		callForm("erlang", "element", integerForm(2), info("messages")),
		callForm("ets", "match_spec_compile", varForm("Spec")))
	groups := callForm("maps", "groups_from_list",
		nameForm("erlang", "hd", 1), nameForm("erlang", "tl", 1), ours)
	sums := callForm("lists", "zip", callForm("maps", "keys", varForm("G")),
		callForm("lists", "map", nameForm("lists", "sum", 1), callForm("maps", "values", varForm("G"))))
	few := switchForm([]etf.Term{varForm("G")},
		[]etf.Term{atMost(callForm("erlang", "map_size", varForm("G")), lookStreams)}, sums, groups)
	return etf.List{switchForm(
		[]etf.Term{tupleForm(atomForm("message_queue_len"), varForm("Q")), tupleForm(atomForm("memory"), varForm("M"))},
		[]etf.Term{atMost(varForm("Q"), lookLength), atMost(varForm("M"), lookMemory)},
		tupleForm(varForm("Q"), few),
		info("message_queue_len"), info("memory"))}
}

// waiting is what waits of a stream: the cost of binaries, and the number of lists of lines.
type waiting struct{ cost, lists int }

// contentOf reads {value, {Q, [{{Worker, Stream}, Cost} | {{Worker, Stream, list}, Lists}]}, Bindings}.
func contentOf(result etf.Term) (n int, costs map[streamKey]waiting, ok bool) {
	value, ok := result.(etf.Tuple)
	if !ok || len(value) != 3 || value[0] != etf.Atom("value") {
		return 0, nil, false
	}
	content, ok := value[1].(etf.Tuple)
	if !ok || len(content) != 2 {
		return 0, nil, false
	}
	long, isInt := content[0].(int64)
	list, isList := content[1].(etf.List)
	if !isInt || !isList || long < 0 || long > lookLength {
		return 0, nil, false
	}
	costs = make(map[streamKey]waiting, len(list))
	for _, t := range list {
		pair, ok := t.(etf.Tuple)
		if !ok || len(pair) != 2 {
			return 0, nil, false
		}
		key, lists, ok := keyOf(pair[0])
		cost, isCost := pair[1].(int64)
		if !ok || !isCost || cost < 0 || cost >= 1<<40 {
			continue
		}
		w := costs[key]
		if lists {
			w.lists += int(min(cost, lookLength))
		} else {
			w.cost += int(cost)
		}
		costs[key] = w
	}
	return int(long), costs, true
}

// keyOf reads {Worker, Stream} and {Worker, Stream, list}. ok is false for other terms.
func keyOf(t etf.Term) (key streamKey, lists, ok bool) {
	pair, ok := t.(etf.Tuple)
	lists = len(pair) == 3 && pair[2] == etf.Atom("list")
	if !ok || len(pair) != 2 && !lists {
		return key, false, false
	}
	key.worker, ok = pair[0].(etf.Pid)
	switch s := pair[1].(type) {
	case etf.Atom:
		key.no = Stdout
		if s == "stderr" {
			key.no = Stderr
		}
		return key, lists, ok && (s == "stdout" || s == "stderr")
	case int64:
		key.no = Stream(s)
		return key, lists, ok && int64(key.no) == s
	}
	return key, false, false
}
