package e2e

import (
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// release returns the erl of another release, which is unpacked first if it is absent.
func release(t *testing.T, name string) string {
	t.Helper()
	if out, err := exec.Command("./get-otp", name).CombinedOutput(); err != nil {
		t.Fatalf("OTP %s: %v\n%s", name, err, out)
	}
	path, err := filepath.Abs("../build/otp/" + name + "/bin/erl")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Nodes of OTP 25, 27 and 29 are a cluster and share one erluv. A worker is the same process on
// each node, whichever way its pid has come, and its end reaches all of them. This holds whether
// erluv has dialled them or they have connected to it.
func TestNodesOfThreeReleases(t *testing.T) {
	these := []nodeOptions{{}, {erl: release(t, "27")}, {erl: release(t, "29")}}
	t.Run("dialled", func(t *testing.T) {
		e, nodes, s := servingThese(t, these, "--serve", "all", "--die-timeout", "60s")
		threeReleases(t, e, nodes, s)
	})
	t.Run("accepted", func(t *testing.T) {
		e, nodes, s := meetingThese(t, these, "--die-timeout", "60s")
		threeReleases(t, e, nodes, s)
	})
}

func threeReleases(t *testing.T, e *erluv, nodes []*node, s []session) {
	t.Helper()
	for i, release := range []string{"25", "27", "29"} {
		e.isUp(t, s[i])
		s[i].expect(t, `"`+release+`"`, "erlang:system_info(otp_release)")
		s[i].eval(t, `W = e2e:start(E, ["cat"], #{link => false}), ok`)
	}
	s[0].expect(t, "[true,true]", "[net_kernel:connect_node(N) || N <- ['"+nodes[1].name+"', '"+nodes[2].name+"']]")
	s[1].expect(t, "true", "net_kernel:connect_node('"+nodes[2].name+"')")

	// Each node sends its worker to the others, which send it back.
	address := func(i int) string { return "{" + s[i].name + ", '" + nodes[i].name + "'}" }
	for i, s := range s {
		s.eval(t, "[To ! {worker, "+address(i)+", W} || To <- ["+address((i+1)%3)+", "+address((i+2)%3)+"]], ok")
	}
	for _, s := range s {
		s.expect(t, "true", `
			Others = [receive {worker, From, P} -> From ! {back, P}, P after 120000 -> none end || _ <- [1, 2]],
			All = lists:sort([W | Others]),
			All =:= lists:sort([P || {P, _} <- e2e:call(E, workers)])`)
		s.eval(t, "[begin monitor(process, P), link(P) end || P <- All], [P1, P2, P3] = All, ok")
	}
	for _, s := range s {
		s.expect(t, "[true,true]", "[receive {back, P} -> P =:= W after 120000 -> none end || _ <- [1, 2]]")
	}
	// Each node writes to all workers, and each owner gets the text of all nodes.
	for _, from := range []string{"a", "b", "c"} {
		s[from[0]-'a'].expect(t, "[ok,ok,ok]", "[e2e:call(P, {write, <<\""+from+"\">>}) || P <- All]")
	}
	for _, s := range s {
		s.expect(t, "ok", `e2e:said(W, stdout, <<"abc">>)`)
	}
	// A worker ends through a signal from a node that is not its owner's, by itself, and through a
	// crash.
	gone := func(worker, reason string) {
		t.Helper()
		for _, s := range s {
			s.expect(t, "{"+reason+","+reason+"}", `(fun(P) -> {
				receive {'EXIT', P, R1} -> R1 after 120000 -> none end,
				receive {'DOWN', _, process, P, R2} -> R2 after 120000 -> none end} end)(`+worker+`)`)
		}
	}
	s[2].eval(t, "exit(P1, kill)")
	gone("P1", "killed")
	s[0].eval(t, "e2e:call(P2, {close, stdin})")
	gone("P2", "normal")
	kill(t, e.roles(t).child, syscall.SIGKILL)
	gone("P3", "child_crashed")
	for _, s := range s {
		s.expect(t, "{signal,sigkill}", "receive {erluv, E, {child_down, Why, 60000}} -> Why after 120000 -> none end")
	}
	s[1].eval(t, "{erluv_main, E} ! respawn")
	for _, s := range s {
		s.expect(t, "up", "receive {erluv, E, {child_up, _}} -> up after 120000 -> none end")
		s.expect(t, "{noproc,noproc}", `M = monitor(process, P1), link(P1), {
			receive {'DOWN', M, _, _, R1} -> R1 after 120000 -> none end,
			receive {'EXIT', P1, R2} -> R2 after 120000 -> none end}`)
	}
	// Only messages about the workers' ends are left at the owners.
	s[0].expect(t, "{[{stdout,eof},{stderr,eof},{signal,sigkill}],none}", "{lists:sort(fun erlang:'>'/2, e2e:messages(W)), receive Other -> Other after 0 -> none end}")
	s[1].expect(t, "{[{stdout,eof},{stderr,eof},{exit_status,0}],none}", "{lists:sort(fun erlang:'>'/2, e2e:messages(W)), receive Other -> Other after 0 -> none end}")
	s[2].expect(t, "{[],none}", "{e2e:messages(W), receive Other -> Other after 0 -> none end}")
	for _, s := range s {
		s.expect(t, "{2,true}", "{length(nodes()), nodes(hidden) =:= [E]}")
	}
}
