package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// lookers are the expressions that node inspection tools evaluate when a user selects erluv, with E
// as the erluv. erluv runs no code, so each call fails at once, with notsup or because there is no
// such process. Nothing hangs, and nothing is logged as an error.
//
// OTP's observer and etop call observer_backend by rpc, and start collectors by spawn_link
// (observer_wx, observer_pro_wx, observer_perf_wx, observer_procinfo, etop of OTP 25). Phoenix
// LiveDashboard loads Phoenix.LiveDashboard.SystemInfo by rpc and calls its functions
// (system_info.ex, page_live.ex).
var lookers = []struct{ source, want string }{
	// observer
	{"net_adm:ping(E)", "pong"},
	{"rpc:call(E, observer_backend, sys_info, [])", "{badrpc,notsup}"},
	{"rpc:call(E, code, ensure_loaded, [observer_backend])", "{badrpc,notsup}"},
	{"rpc:call(E, erlang, function_exported, [observer_backend, procs_info, 1])", "{badrpc,notsup}"},
	{"rpc:call(E, observer_backend, get_table_list, [ets, []])", "{badrpc,notsup}"},
	{"rpc:call(E, erlang, process_info, [W, registered_name])", "{badrpc,notsup}"},
	{"rpc:call(E, sys, get_status, [W, 200])", "{badrpc,notsup}"},
	{"{badrpc, {'EXIT', {Why, _}}} = rpc:block_call(E, rb, stop, []), Why", "noproc"},
	{"P = spawn_link(E, observer_backend, procs_info, [self()]), receive {'EXIT', P, Why} -> Why after 120000 -> none end", "notsup"},
	{"P = spawn(E, observer_backend, etop_collect, [self()]), monitor(process, P), receive {'DOWN', _, _, P, Why} -> Why after 120000 -> none end", "notsup"},
	// etop, ttb
	{"rpc:call(E, observer_backend, vsn, [])", "{badrpc,notsup}"},
	{"rpc:cast(E, observer_backend, ttb_fetch, [])", "true"},
	// LiveDashboard
	{"net_kernel:monitor_nodes(true, [{node_type, all}])", "ok"},
	{"rpc:call(E, code, ensure_loaded, ['Elixir.Phoenix.LiveDashboard.SystemInfo'])", "{badrpc,notsup}"},
	{"rpc:call(E, code, load_binary, ['Elixir.Phoenix.LiveDashboard.SystemInfo', [], <<>>])", "{badrpc,notsup}"},
	{"rpc:call(E, 'Elixir.Phoenix.LiveDashboard.SystemInfo', process_info_callback, [W, [links]])", "{badrpc,notsup}"},
	// code that asks all connected nodes
	{"erpc:multicall([E, node()], erlang, is_alive, [], 20000)", "[{error,{erpc,notsup}},{ok,true}]"},
	{"rpc:multicall([E, node()], erlang, is_alive, [], 20000)", "{[{badrpc,notsup},true],[]}"},
	{"{Answers, Not} = gen_server:multi_call([E, node()], erluv, {info, node}), {[A || {_, A} <- Answers], Not =:= [node()]}", "{[E],true}"},
}

// Five nodes are a cluster, with all of OTP's means to keep it one. An erluv serves all of them: it
// has dialled them, or they have connected to it. It does not join the cluster, and disturbs
// nothing when it comes, goes, or is inspected.
//
//erluv:releases
func TestMesh(t *testing.T) {
	guarded := nodeOptions{args: []string{"-kernel", "prevent_overlapping_partitions", "true"}}
	five := []nodeOptions{guarded, guarded, guarded, guarded, guarded}
	t.Run("dialled", func(t *testing.T) {
		e, nodes, s := servingThese(t, five, "--serve", "all")
		mesh(t, e, nodes, s, `receive {erluv, E, {up, _}} -> up after 120000 -> none end`)
	})
	t.Run("accepted", func(t *testing.T) {
		e, nodes, s := meetingThese(t, five)
		mesh(t, e, nodes, s, `pong = net_adm:ping(E), receive {erluv, E, {up, _}} -> up after 120000 -> none end`)
	})
}

// mesh joins five nodes beside an erluv. back is the source that connects a disconnected node
// again.
func mesh(t *testing.T, e *erluv, nodes []*node, s []session, back string) {
	t.Helper()
	var names []string
	for i, s := range s {
		// Three nodes are a cluster when erluv comes, and two join it afterwards.
		if i > 0 && i < 3 {
			nodes[i].expect(t, "true", "net_kernel:connect_node('"+nodes[0].name+"')")
		}
		e.isUp(t, s)
		names = append(names, "'"+nodes[i].name+"'")
	}
	for _, n := range nodes[3:] {
		n.expect(t, "true", "net_kernel:connect_node('"+nodes[0].name+"')")
	}
	all := "lists:sort([" + strings.Join(names, ", ") + "])"
	whole := func() {
		t.Helper()
		for _, s := range s {
			s.expect(t, "{ok,true}", `{e2e:until(fun() -> lists:sort([node() | nodes()]) =:= `+all+` end), nodes(hidden) =:= [E]}`)
		}
	}
	whole()

	t.Run("global", func(t *testing.T) {
		s[0].eval(t, `W = e2e:start(E, ["cat"], #{link => false}), yes = global:register_name(worker, W), ok`)
		for i, s := range s {
			s.expect(t, "ok", "global:sync()")
			s.expect(t, "{cat,yes,true}", fmt.Sprintf(`{
				begin #{cmd := [C]} = gen_server:call({global, worker}, info), binary_to_atom(C) end,
				global:register_name(own%d, self()),
				global:trans({lock, self()}, fun() -> true end)}`, i))
		}
		s[4].expect(t, "[own0,own1,own2,own3,own4,worker]", "lists:sort(global:registered_names())")
		s[1].eval(t, "exit(global:whereis_name(worker), kill)")
		for _, s := range s {
			s.expect(t, "ok", "e2e:until(fun() -> global:whereis_name(worker) =:= undefined end)")
		}
	})
	t.Run("pg", func(t *testing.T) {
		for _, s := range s {
			s.eval(t, "{ok, _} = pg:start_link(scope), ok = pg:join(scope, group, self())")
		}
		for _, s := range s {
			s.expect(t, "ok", "e2e:until(fun() -> length(pg:get_members(scope, group)) =:= 5 end)")
		}
	})
	t.Run("looked at", func(t *testing.T) {
		for _, n := range nodes {
			g := n.session(t)
			g.eval(t, e.binds().String()+`process_flag(trap_exit, true), W = e2e:start(E, ["cat"]), ok`)
			for _, l := range lookers {
				// Each source runs in a function of its own, so its variables last for one line.
				got := g.eval(t, "(fun() -> "+l.source+" end)()")
				got = strings.ReplaceAll(got, "'"+e.erluv+"'", "E")
				if got != l.want {
					t.Errorf("%s\ngot  %s\nwant %s", l.source, got, l.want)
				}
			}
		}
	})
	t.Run("gone and back", func(t *testing.T) {
		s[2].expect(t, "{true,up}", "{erlang:disconnect_node(E), begin "+back+" end}")
		whole()
		for _, s := range s {
			s.expect(t, "ok", "global:sync()")
		}
	})
	for i, n := range nodes {
		if text := n.output.String(); strings.Contains(text, "partition") || strings.Contains(text, "global") {
			t.Errorf("%s wrote:\n%s", names[i], text)
		}
	}
}
