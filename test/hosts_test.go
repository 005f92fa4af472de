package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// These are the JSON objects that commands print for each erluv. erluv(8) promises them: keys may
// be added, here too.
type (
	statusOutput struct {
		Node   string `json:"node"`
		Status string `json:"status"`
	}
	signalOutput struct {
		Node   string `json:"node"`
		Signal string `json:"signal"`
	}
	stopOutput struct {
		Node string `json:"node"` // with --node
		exit
	}
	drainOutput struct {
		Node   string         `json:"node"`
		Killed []killedOutput `json:"killed"`
	}
	killedOutput struct {
		Worker  string   `json:"worker"`
		Name    *string  `json:"name"`
		Command []string `json:"command"`
	}
	failureOutput struct {
		Node  string `json:"node"`
		Error string `json:"error"`
	}
)

// objects reads the output of a command, which may have no unknown keys.
func objects[T any](t *testing.T, text string) (list []T) {
	t.Helper()
	for line := range strings.Lines(text) {
		var object T
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&object); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		list = append(list, object)
	}
	return list
}

// reached runs a command that goes to erluvs through a node, with this node's cookie.
func (n *node) reached(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.CommandContext(limited(t, evalTime), executable, append([]string{args[0], "--config", "none", n.cookieFile()}, args[1:]...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	cmd.Env, cmd.Dir = []string{"ERL_EPMD_PORT=" + epmd.port}, "/"
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// does runs a command that must succeed, and must print nothing on standard error.
func (n *node) does(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	stdout, stderr, status := n.reached(t, args...)
	if status != 0 || stderr != "" {
		t.Fatalf("erluv %q: status %d\n%s%s", args, status, stdout, stderr)
	}
	return stdout
}

// A command goes to all erluvs that serve a node, through that node. No node gets another
// connection.
//
//erluv:releases
func TestOperatorOfAll(t *testing.T) {
	n, shell := newNode(t, nodeOptions{}), newNode(t, nodeOptions{args: []string{"-hidden"}})
	a, b := newErluv(t, n), newErluv(t, n)
	names := []string{a.erluv, b.erluv}
	slices.Sort(names)
	shell.expect(t, "pong", "net_adm:ping('"+n.name+"')")
	n.eval(t, bind{"A": atom(a.erluv), "B": atom(b.erluv)}.String()+`[{ok, _} = e2e:call(E, {spawn, ["sleep", "1000"], #{name => web, owner => none, link => false}}) || E <- [A, B]],
		{ok, _} = e2e:call(B, {spawn, "trap '' TERM; echo; while :; do sleep 0.1; done", #{name => other, owner => none, link => false, stdout => null}})`)
	connected := n.eval(t, "lists:sort(nodes(connected))")

	lists := objects[psOutput](t, n.does(t, "ps", "--node", n.name, "--format", "json"))
	if len(lists) != 2 || lists[0].Node != names[0] || lists[1].Node != names[1] || len(lists[0].Programs)+len(lists[1].Programs) != 3 {
		t.Errorf("%+v", lists)
	}
	table := n.does(t, "ps", "--node", n.name)
	for _, want := range []string{`^HOST +PROGRAM +STATE`, `(?m)^` + a.erluv + ` +web +running.* sleep 1000$`, `(?m)^` + b.erluv + ` +other +running`} {
		if !regexp.MustCompile(want).MatchString(table) {
			t.Errorf("there is no %s in\n%s", want, table)
		}
	}
	states := []statusOutput{{names[0], "ready"}, {names[1], "ready"}}
	if got := objects[statusOutput](t, n.does(t, "status", "--node", n.name, "--format", "json")); !reflect.DeepEqual(got, states) {
		t.Errorf("%+v", got)
	}
	infos := objects[infoOutput](t, n.does(t, "info", "--node", n.name, "--format", "json"))
	if len(infos) != 2 || infos[1].Node != names[1] || infos[1].Target == nil || *infos[1].Target != n.name {
		t.Errorf("%+v", infos)
	}
	if text := n.does(t, "info", "--node", n.name); strings.Count(text, "main_os_pid") != 2 {
		t.Error(text)
	}
	if out := n.does(t, "signal", "web", "CONT", "--node", n.name); out != strings.Join(names, "\n")+"\n" {
		t.Error(out)
	}
	signals := []signalOutput{{b.erluv, "sigcont"}}
	if got := objects[signalOutput](t, n.does(t, "signal", "other", "CONT", "--node", n.name, "--format", "json")); !reflect.DeepEqual(got, signals) {
		t.Errorf("of a program that one has: %+v", got)
	}
	ends := []stopOutput{{names[0], exit{Signal: "sigterm"}}, {names[1], exit{Signal: "sigterm"}}}
	if got := objects[stopOutput](t, n.does(t, "stop", "web", "--node", n.name, "--format", "json")); !reflect.DeepEqual(got, ends) {
		t.Errorf("%+v", got)
	}
	if _, stderr, status := n.reached(t, "stop", "web", "--node", n.name); status != 1 || !strings.Contains(stderr, "there is no program web") {
		t.Errorf("%q, %d", stderr, status)
	}
	stdout, stderr, status := n.reached(t, "drain", "--deadline", "300ms", "--node", n.name)
	if status != 0 || !strings.Contains(stdout, a.erluv+"  drained\n") || !strings.Contains(stdout, b.erluv+"  drained\nkilled  other  ") || stderr != "erluv: "+b.erluv+": 1 program is left\n" {
		t.Errorf("%q, %q, %d", stdout, stderr, status)
	}
	if out := n.does(t, "status", "set", "standby", "--node", n.name); strings.Count(out, "  standby\n") != 2 {
		t.Error(out)
	}
	n.expect(t, "ok", "e2e:until(fun() -> lists:sort(nodes(connected)) =:= "+connected+" end)")

	// An erluv that does not answer is named, and does not delay the others' answers.
	r := a.roles(t)
	for _, pid := range []int{a.cmd.Process.Pid, r.child} {
		kill(t, pid, syscall.SIGSTOP)
		defer kill(t, pid, syscall.SIGCONT)
	}
	stdout, stderr, status = n.reached(t, "status", "--node", n.name, "--format", "json")
	lines := strings.SplitAfterN(stdout, "\n", 2)
	if got := objects[statusOutput](t, lines[0]); status != 1 || got[0] != (statusOutput{b.erluv, "standby"}) {
		t.Errorf("%q, %d", stdout, status)
	}
	if got := objects[failureOutput](t, lines[1]); len(got) != 1 || got[0] != (failureOutput{a.erluv, "it does not answer in time"}) {
		t.Errorf("%q", stdout)
	}
	if want := fmt.Sprintf("erluv: %s: it does not answer in time\nerluv: 1 of 2 erluvs have not done it\n", a.erluv); stderr != want {
		t.Errorf("%q", stderr)
	}
	if _, stderr, status := n.reached(t, "ps", "--node", shell.name); status != 1 || stderr != "erluv: no erluv serves "+shell.name+"\n" {
		t.Errorf("%q, %d", stderr, status)
	}
}

// With --node, logs finds the erluv that has the program, and top shows the programs of all.
//
//erluv:users
func TestWatchAll(t *testing.T) {
	n := newNode(t, nodeOptions{})
	a, b := newErluv(t, n, "--die-timeout", "1m"), newErluv(t, n)
	n.eval(t, bind{"A": atom(a.erluv), "B": atom(b.erluv)}.String()+`
		P = fun(E, Name, Cmd) -> {ok, W} = e2e:call(E, {spawn, Cmd, #{name => Name, owner => none, link => false, keep => Name =/= plain}}), W end,
		Over = fun(E, Name) -> R = monitor(process, P(E, Name, "echo over")), receive {'DOWN', R, process, _, _} -> ok after 60000 -> error(runs) end end,
		Over(A, moved), Over(A, ended), Over(B, ended),
		[P(E, Name, "echo " ++ atom_to_list(Name) ++ "; exec sleep 1000") || {E, Name} <- [{A, only}, {A, both}, {B, both}, {B, moved}, {B, plain}]], ok`)
	node := func(args ...string) []string { return append(args, "--node", n.name) }
	if !until(startTime, func() bool { out, _, _ := n.reached(t, node("logs", "moved")...); return out == "moved\n" }) {
		t.Error("moved has no output where it runs")
	}
	if !until(startTime, func() bool { return n.does(t, node("logs", "only")...) == "only\n" }) {
		t.Error("only has no output")
	}
	names := []string{a.erluv, b.erluv}
	slices.Sort(names)
	for what, words := range map[string]string{
		"both":  "erluv: several erluvs have a program both: choose by --at one of " + strings.Join(names, ", ") + "\n",
		"ended": "erluv: several erluvs have a program ended: choose by --at one of " + strings.Join(names, ", ") + "\n",
		"plain": "erluv: " + b.erluv + ": the output of plain is not kept: it was started without the option keep\n",
		"none":  "erluv: there is no program none: erluv ps lists those that there are\n",
		"17.0":  "erluv: with --node a program is named: 17.0 may be another one on each host",
	} {
		if out, stderr, status := n.reached(t, node("logs", what)...); out != "" || !strings.HasPrefix(stderr, words) || status == 0 {
			t.Errorf("logs %s: %q, %q, %d", what, out, stderr, status)
		}
	}
	f := background(t, node("logs", "-f", "only", "--format", "json", "--config", "none", n.cookieFile())...)
	if l := one[logLine](t, <-f.lines+"\n"); l.Node != a.erluv || l.Text != "only" {
		t.Errorf("%+v", l)
	}

	tops := objects[topOutput](t, n.does(t, node("top", "--once", "--format", "json")...))
	if len(tops) != 2 || tops[0].Node != names[0] || tops[1].Node != names[1] || tops[0].Total+tops[1].Total != 5 || len(tops[0].Programs)+len(tops[1].Programs) != 5 {
		t.Errorf("%+v", tops)
	}
	table := n.does(t, node("top", "-o", "name")...)
	for _, want := range []string{
		`^` + n.name + `  erluvs 2: 2 ready\nprograms 5 of \d+: 5 running  started 8  normal 3`, `(?m)^HOST +PROGRAM`, `(?m)^` + a.erluv + ` +only +running.* -c echo only;`, `(?m)^` + b.erluv + ` +plain +running`,
	} {
		if !regexp.MustCompile(want).MatchString(table) {
			t.Errorf("there is no %s in\n%s", want, table)
		}
	}
	l := &live{onTerminal(t, 20, 100, executable, node("top", "--config", "none", n.cookieFile())...), t}
	l.showing("both", has(a.erluv+"  ", b.erluv+"  ", "erluvs 2: 2 ready", "5 running"))

	// The child of one crashes: its programs go, and the other's stay.
	kill(t, a.roles(t).child, syscall.SIGKILL)
	if status := f.ends(t); status != 1 || !strings.Contains(f.err.String(), "erluv: "+a.erluv+": erluv") || !strings.Contains(f.err.String(), "child") {
		t.Errorf("%d, %s", status, f.err.String())
	}
	l.showing("which one has no child", has("erluvs 2: 1 ready, 1 unknown", "! "+a.erluv+": erluv has no child"))
	n.expect(t, "true", a.binds().String()+"{erluv_main, E} ! respawn, e2e:until(fun() -> is_integer(catch e2e:call(E, {info, child_os_pid})) end), true")
	l.showing("the next child", func(p string) bool {
		return has("erluvs 2: 2 ready", "programs 3 of", "crashes of the child 1")(p) && !strings.Contains(p, "only") && !strings.Contains(p, "! ")
	})
	l.types(t, "q")
	l.leaves()

	// An erluv that hangs does not hide what the other one has.
	r := a.roles(t)
	for _, pid := range []int{r.main, r.child} {
		kill(t, pid, syscall.SIGSTOP)
		defer kill(t, pid, syscall.SIGCONT)
	}
	const silent = "it does not answer in time"
	if out, stderr, status := n.reached(t, node("logs", "moved")...); out != "moved\n" || status != 0 || stderr != "erluv: "+a.erluv+": "+silent+"\n" {
		t.Errorf("%q, %q, %d", out, stderr, status)
	}
	if _, stderr, status := n.reached(t, node("logs", "only")...); status != 1 || stderr != "erluv: "+a.erluv+": "+silent+"\nerluv: no erluv that answers has a program only\n" {
		t.Errorf("%q, %d", stderr, status)
	}
	stdout, stderr, status := n.reached(t, node("top", "--once", "--format", "json")...)
	lines := strings.SplitAfterN(stdout, "\n", 2)
	if one[topOutput](t, lines[0]).Node != b.erluv || one[failureOutput](t, lines[1]) != (failureOutput{a.erluv, silent}) || status != 1 || !strings.Contains(stderr, "1 of 2 erluvs") {
		t.Errorf("%q, %q, %d", stdout, stderr, status)
	}
}

// A command goes to an erluv that listens, with the configured cookie.
func TestOperatorAt(t *testing.T) {
	n := newNode(t, nodeOptions{})
	e := listening(t, n)
	n.eval(t, e.binds().String()+`{ok, _} = e2e:call(E, {spawn, ["sleep", "1000"], #{name => web, owner => none, link => false}})`)
	at := func(args ...string) string { return n.does(t, append(args, "--at", e.erluv, "--format", "json")...) }
	if got := objects[psOutput](t, at("ps")); len(got) != 1 || len(got[0].Programs) != 1 || got[0].Node != e.erluv {
		t.Errorf("%+v", got)
	}
	if got := objects[signalOutput](t, at("signal", "web", "18")); got[0] != (signalOutput{e.erluv, "sigcont"}) {
		t.Errorf("%+v", got)
	}
	if got := objects[statusOutput](t, at("status")); got[0] != (statusOutput{e.erluv, "ready"}) {
		t.Errorf("%+v", got)
	}
	if got := objects[stopOutput](t, at("stop", "web")); got[0] != (stopOutput{exit: exit{Signal: "sigterm"}}) {
		t.Errorf("%+v", got)
	}
	if out := n.does(t, "exec", "--at", e.erluv, "--", "echo", "there"); out != "there\n" {
		t.Error(out)
	}
	e.wrote(t, `act="exec echo" by=erluv_`)
	cmd := exec.CommandContext(limited(t, evalTime), executable, "ps", "--config", "none", "--at", e.erluv)
	cmd.Env, cmd.Dir = []string{"ERL_EPMD_PORT=" + epmd.port, "ERLUV_COOKIE=wrong", "HOME=/"}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("with another cookie: %v, %s", err, out)
	}
}

// drain shows its progress, ends when it is done, and names the programs that were killed.
//
//erluv:users
func TestOperatorDrains(t *testing.T) {
	_, s, socket := operated(t)
	if got := objects[drainOutput](t, done(t, socket, "drain", "--format", "json")); !reflect.DeepEqual(got[0].Killed, []killedOutput{}) {
		t.Errorf("%+v", got)
	}
	if got := objects[statusOutput](t, done(t, socket, "status", "--format", "json")); got[0].Status != "stopped" {
		t.Errorf("%+v", got)
	}
	if _, stderr, status := executes(t, socket, "", "true"); status != 125 || !strings.Contains(stderr, "in its state, stopped") {
		t.Errorf("%q, %d", stderr, status)
	}
	if out := done(t, socket, "status", "set", "ready"); out != "ready\n" {
		t.Error(out)
	}
	const stubborn = `"trap '' TERM; echo; while :; do sleep 0.1; done"`
	start := `Start = fun(Options) -> W = e2e:start(E, ` + stubborn + `, Options), receive {W, {stdout, _}} -> W end end, `
	s.eval(t, start+`Start(#{name => web}), Start(#{}), e2e:start(E, ["sleep", "1000"]), ok`)
	before := listed(t, socket)
	stdout, stderr, status := operates(t, socket, "drain", "--deadline", "1500ms", "--format", "json")
	got := objects[drainOutput](t, stdout)
	if len(got) != 1 || len(got[0].Killed) != 2 || got[0].Node != before.Node || stderr != "" || status != 0 {
		t.Fatalf("%s, %q, %d", stdout, stderr, status)
	}
	named := 0
	for _, k := range got[0].Killed {
		if k.Name != nil && *k.Name == "web" {
			named++
		}
		if len(k.Command) != 3 || k.Worker == "" {
			t.Errorf("%+v", k)
		}
	}
	if named != 1 {
		t.Errorf("%s", stdout)
	}
	s.eval(t, `[receive {'EXIT', _, _} -> ok after 10000 -> error(left) end || _ <- [1, 2, 3]]`)
	done(t, socket, "status", "set", "ready")
	s.eval(t, start+`Start(#{name => again}), e2e:start(E, ["sleep", "1000"]), ok`)
	stdout, stderr, status = operates(t, socket, "drain", "--deadline", "1500ms")
	if stdout != "drained\nkilled  again  sh -c trap '' TERM; echo; while :; do sleep 0.1; done\n" && stdout != "drained\nkilled  again  /bin/sh -c trap '' TERM; echo; while :; do sleep 0.1; done\n" ||
		!strings.HasPrefix(stderr, "erluv: 2 programs are left\nerluv: 1 program is left\n") || status != 0 {
		t.Errorf("%q, %q, %d", stdout, stderr, status)
	}
}
