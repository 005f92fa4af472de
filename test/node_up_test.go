package e2e

import (
	"regexp"
	"testing"
)

//erluv:releases
//erluv:check
func TestHiddenNode(t *testing.T) {
	for name, o := range map[string]nodeOptions{"long": {}, "short": {short: true}} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, o)
			e := newErluv(t, n)
			e.expect(t, "{[],true,pong}", "{nodes(), lists:member(E, nodes(hidden)), net_adm:ping(E)}")
			e.expect(t, "{[],true,pong}", "{nodes(), lists:member(E, nodes(hidden)), net_adm:ping(E)}")
		})
	}
}

// A random name is used when none is given. Its host part follows the target's.
//
//erluv:releases
//erluv:users
func TestDrawnNames(t *testing.T) {
	for name, tc := range map[string]struct {
		options nodeOptions
		args    []string
		want    string
	}{
		"long":   {nodeOptions{}, nil, `^\['erluv_[0-9a-f]{8}@[^@.']+(\.[^@']+)+'\]$`},
		"short":  {nodeOptions{short: true}, nil, `^\['?erluv_[0-9a-f]{8}@[^@.']+'?\]$`},
		"prefix": {nodeOptions{}, []string{"--prefix", "job-", "--host", "127.0.0.1"}, `^\['job-[0-9a-f]{8}@127\.0\.0\.1'\]$`},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, tc.options)
			e, err := n.run(nil, append([]string{"run", "--node", n.name, n.cookieFile()}, tc.args...)...)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := e.stop(); err != nil {
					t.Error(err)
				}
				e.report(t)
			}()
			n.expect(t, "ok", "e2e:until(fun() -> nodes(hidden) =/= [] end)")
			if got := n.eval(t, "nodes(hidden)"); !regexp.MustCompile(tc.want).MatchString(got) {
				t.Errorf("nodes(hidden) is %s, want %s", got, tc.want)
			}
			n.expect(t, "pong", "[E] = nodes(hidden), net_adm:ping(E)")
		})
	}
}

// The other nodes of the mesh never see erluv, whether they connect before or after it.
//
//erluv:releases
func TestMeshDoesNotSeeIt(t *testing.T) {
	n, before, after := newNode(t, nodeOptions{}), newNode(t, nodeOptions{}), newNode(t, nodeOptions{})
	watch := "ok = net_kernel:monitor_nodes(true, #{node_type => all})"
	seen := "[N || {nodeup, N, _} <- element(2, process_info(self(), messages))]"
	first, second := before.session(t), after.session(t)
	first.eval(t, watch)
	second.eval(t, watch)
	n.expect(t, "pong", "net_adm:ping(N)", bind{"N": atom(before.name)})
	e := newErluv(t, n)
	e.expect(t, "pong", "net_adm:ping(N)", bind{"N": atom(after.name)})
	mesh := "ok = e2e:until(fun() -> length(nodes()) =:= 2 end), {nodes(hidden), length(nodes(connected))}"
	before.expect(t, "{[],2}", mesh)
	after.expect(t, "{[],2}", mesh)
	e.expect(t, "ok", `{ok, _} = e2e:call(E, {run, "true", #{}}), ok`)
	for _, s := range []session{first, second} {
		s.expect(t, "{2,false}", "Seen = "+seen+", {length(Seen), lists:member(E, Seen)}", e.binds())
	}
}

// A tick is due every second, and a silent node is dropped after four seconds.
//
//erluv:releases
func TestIdleFor20Seconds(t *testing.T) {
	t.Parallel()
	n := newNode(t, nodeOptions{args: []string{"-kernel", "net_ticktime", "8"}})
	e := newErluv(t, n)
	e.expect(t, "still_there", `
		true = net_kernel:get_net_ticktime() =:= 8,
		monitor_node(E, true),
		receive {nodedown, E} -> gone after 20000 -> still_there end`)
	e.expect(t, "{true,pong}", "{lists:member(E, nodes(hidden)), net_adm:ping(E)}")
}

// Several erluvs on one node do not disturb each other.
//
//erluv:releases
func TestSeveralOnOneNode(t *testing.T) {
	n := newNode(t, nodeOptions{})
	a, b := newErluv(t, n), newErluv(t, n)
	source := `length([ok || N <- [A, B], {ok, _} <- [e2e:call(N, {run, "true", #{}})]])`
	n.expect(t, "2", source, bind{"A": atom(a.erluv), "B": atom(b.erluv)})
	if err := a.stop(); err != nil {
		t.Error(err)
	}
	b.expect(t, "{ok,[]}", `{ok, _} = e2e:call(E, {run, "true", #{}}), {ok, e2e:call(E, workers)}`)
}

//erluv:releases
//erluv:users
func TestInfo(t *testing.T) {
	e := common(t)
	binds := bind{"Main": e.cmd.Process.Pid, "Target": atom(e.node.name), "Uid": workerID}
	e.expect(t, "ok", `
		Info = e2e:call(E, info),
		#{node := E, target := Target, main_os_pid := Main, child_os_pid := Child, uid := Uid, gid := Gid,
		  uptime := Uptime, workers := 0, max_workers := 10000, status := _, version := _, user := _,
		  contained := _, sandbox := _} = Info,
		true = is_integer(Child) andalso Child =/= Main,
		true = is_integer(Gid) andalso Gid > 0,
		true = is_number(Uptime) andalso Uptime >= 0,
		[] = [K || K <- maps:keys(Info) -- [uptime, load, memory, disks, connections], e2e:call(E, {info, K}) =/= maps:get(K, Info)],
		ok`, binds)
}

//erluv:releases
func TestWorkersAreListed(t *testing.T) {
	e := common(t)
	e.expect(t, "ok", `
		[] = e2e:call(E, workers),
		W = e2e:start(E, [<<"cat">>]),
		V = e2e:start(E, "exec sleep 100"),
		All = e2e:call(E, workers),
		[W, V] = [P || P <- [W, V], lists:keymember(P, 1, All)],
		2 = length(All),
		2 = e2e:call(E, {info, workers}),
		[#{os_pid := OsPid, cmd := _, state := State, started := _, restarts := 0}] = [M || {P, M} <- All, P =:= W],
		OsPid = e2e:os_pid(W),
		true = is_atom(State),
		true = e2e:alive(OsPid),
		ok`)
}

//erluv:releases
func TestWhatItRefusesToDo(t *testing.T) {
	e := common(t)
	for request, want := range map[string]string{
		"{set, node, other}":            "{error,read_only}",
		"{set, <<\"no such key\">>, 1}": "{error,read_only}",
		"hello":                         "{error,{bad_request,hello}}",
		"{spawn, 1}":                    "{error,{bad_request,{spawn,1}}}",
		"[a | b]":                       "{error,{bad_request,[a|b]}}",
		"{info, no_such_key}":           "{error,{bad_request,{info,no_such_key}}}",
		"#{a => 1.5}":                   "{error,{bad_request,#{a => 1.5}}}",
	} {
		t.Run(request, func(t *testing.T) { e.expect(t, want, "e2e:call(E, "+request+")") })
	}
	// A request comes back byte for byte, even if it has no external representation as text.
	e.expect(t, "true", `R = {make_ref(), self(), fun() -> ok end, hd(erlang:ports()), <<5:3>>},
		{error, {bad_request, R}} =:= e2e:call(E, R)`)
}

//erluv:releases
func TestNamesThatAreNotThere(t *testing.T) {
	e := common(t)
	e.expect(t, "ok", `
		{no_such_name, E} ! hello,
		R = monitor(process, {no_such_name, E}),
		receive {'DOWN', R, process, {no_such_name, E}, noproc} -> ok after 120000 -> none end`)
	e.expect(t, "ok", `
		[begin M = monitor(process, {Name, E}), true = demonitor(M, [flush, info]) end || Name <- [erluv, net_kernel]],
		ok`)
}
