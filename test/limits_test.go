package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var limitFiles = map[string]string{"memory": "memory.limit_in_bytes", "pids": "pids.max", "cpu": "cpu.cfs_quota_us"}

// ownGroups returns the directories of the test's own control group: of version 1 in the hierarchy
// with a controller, or of version 2 for "".
func ownGroups(controller string) (dirs []string) {
	groups, _ := os.ReadFile("/proc/self/cgroup")
	own := ""
	for line := range strings.Lines(string(groups)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if slices.Contains(strings.Split(f[1], ","), controller) {
			own = f[2]
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		last := strings.Split(f[len(f)-1], ",")
		kind := f[len(f)-3]
		if controller == "" && kind == "cgroup2" || controller != "" && kind == "cgroup" && slices.Contains(last, controller) {
			root := strings.TrimSuffix(f[3], "/")
			if strings.HasPrefix(own+"/", root+"/") && strings.HasPrefix(f[4], "/sys/fs/cgroup") {
				dirs = append(dirs, filepath.Join(f[4], strings.TrimPrefix(own, root)))
			}
		}
	}
	return dirs
}

// canLimit reports whether the machine lets erluv set a limit. The shell tries it as the user who
// runs erluv.
func canLimit(controller string) bool {
	attempt := func(script string, dirs []string) bool {
		cmd := exec.Command("/bin/sh", append([]string{"-c", `for at in "$@"; do d=$at/probe-$$; ` + script + `; done; exit 1`, "sh"}, dirs...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
		return cmd.Run() == nil
	}
	if dirs := ownGroups(controller); len(dirs) > 0 {
		return attempt(`mkdir $d && if test -w $d/`+limitFiles[controller]+`; then rmdir $d && exit 0; fi; rmdir $d`, dirs)
	}
	return attempt(`mkdir $d && rmdir $d && grep -qw `+controller+` $at/cgroup.controllers &&
		{ grep -qw `+controller+` $at/cgroup.subtree_control || echo +`+controller+` >$at/cgroup.subtree_control; } && exit 0`, ownGroups(""))
}

// eachLimit returns the limits that the machine allows, and checks that erluv refuses the others.
func eachLimit(t *testing.T, e *erluv) map[string]bool {
	t.Helper()
	can := map[string]bool{}
	for controller := range limitFiles {
		can[controller] = canLimit(controller)
		e.expect(t, fmt.Sprint(can[controller]), "maps:get(L, e2e:call(E, {info, limits}))", bind{"L": atom(controller)})
		if !can[controller] {
			e.expect(t, "{error,{limits,{"+controller+",not_supported}}}", `e2e:call(E, {spawn, ["true"], #{limits => #{L => N}}})`, bind{"L": atom(controller), "N": map[bool]int{true: 1 << 20, false: 100}[controller == "memory"]})
		}
	}
	return can
}

// hog is a program that takes memory without end.
const hog = `["tail", "/dev/zero"]`

// TestMemoryLimit: a program's exit reason says so if the kernel kills exactly this program because
// its group is out of memory.
//
//erluv:users
func TestMemoryLimit(t *testing.T) {
	eachWay(t, func(t *testing.T, contain, _ string) {
		e := newErluv(t, newNode(t, nodeOptions{}), "--contain", contain)
		if !eachLimit(t, e)["memory"] {
			return
		}
		limits := "limits => #{memory => 16 bsl 20}"
		for name, tc := range map[string]struct{ source, want string }{
			"run":        {`e2e:call(E, {run, ` + hog + `, #{` + limits + `}})`, `{ok,#{exit => {signal,sigkill,oom},stderr => <<>>,stdout => <<>>}}`},
			"spawn":      {`e2e:outcome(e2e:start(E, ` + hog + `, #{` + limits + `}))`, `{<<>>,<<>>,{signal,sigkill,oom},{signal,sigkill,oom}}`},
			"attributes": {`e2e:outcome(e2e:start(E, ` + hog + `, #{` + limits + `, rlimits => #{core => 0}}))`, `{<<>>,<<>>,{signal,sigkill,oom},{signal,sigkill,oom}}`},
			"a list":     {`e2e:outcome(e2e:start(E, ` + hog + `, [{limits, [{memory, 16 bsl 20}]}, {sandbox, #{net => none}}]))`, `{<<>>,<<>>,{signal,sigkill,oom},{signal,sigkill,oom}}`},
			"enough":     {`e2e:outcome(e2e:start(E, "echo much; exit 3", #{` + limits + `}))`, `{<<"much\n">>,<<>>,{exit_status,3},{exit_status,3}}`},
			"killed":     {`e2e:outcome(e2e:start(E, "kill -9 $$", #{` + limits + `}))`, `{<<>>,<<>>,{signal,sigkill},{signal,sigkill}}`},
			// The program itself sees the end of its own child, as everywhere.
			"its child": {`element(1, e2e:outcome(e2e:start(E, "tail /dev/zero; echo $?", #{` + limits + `, stderr => null})))`, `<<"137\n">>`},
			"a daemon":  {`e2e:outcome(e2e:start(E, "setsid sh -c 'tail /dev/zero; echo $?' 2>/dev/null & exit 4", #{` + limits + `, tree => wait}))`, `{<<"137\n">>,<<>>,{exit_status,4},{exit_status,4}}`},
			"killed by us": {
				`W = e2e:start(E, "tail /dev/zero; echo ready; exec cat", #{` + limits + `, stderr => null}), ok = e2e:ready(W), exit(W, kill), receive {'EXIT', W, R} -> R end`,
				"killed",
			},
			"again": {`
				W = e2e:start(E, ` + hog + `, #{` + limits + `, restart => permanent, backoff => {1, 1}, max_restarts => {2, 60000}}),
				R = receive {'EXIT', W, Why} -> Why after 120000 -> no_exit end, {[M || {signal, _, _} = M <- e2e:messages(W)], R}`, `{[{signal,sigkill,oom},{signal,sigkill,oom},{signal,sigkill,oom}],restart_intensity}`},
			"none to begin with": {`
				Long = binary:copy(<<"x">>, 100000),
				R = e2e:call(E, {run, ["true" | lists:duplicate(15, Long)], #{limits => #{memory => 1 bsl 20}}}),
				case R of {error, _} -> no; {ok, #{exit := {signal, sigkill, oom}}} -> no; _ -> R end`, "no"},
		} {
			t.Run(name, func(t *testing.T) { e.expect(t, tc.want, tc.source) })
		}
	})
}

// TestCountedInGroups: info has the counts of a worker's control groups, including ended processes.
//
//erluv:users
func TestCountedInGroups(t *testing.T) {
	eachWay(t, func(t *testing.T, contain, _ string) {
		e := newErluv(t, newNode(t, nodeOptions{}), "--contain", contain)
		can := eachLimit(t, e)
		var limits []string
		for limit, n := range map[string]string{"memory": "64 bsl 20", "pids": "20"} {
			if can[limit] {
				limits = append(limits, limit+" => "+n)
			}
		}
		s := e.session(t)
		s.eval(t, `
			W = e2e:start(E, "sh -c 'head -c 8000000 /dev/zero | tail -c 8000000 >/dev/null; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'; sleep 1000 & echo ready; exec cat", #{limits => #{`+strings.Join(limits, ", ")+`}}),
			ok = e2e:ready(W)`)
		keys := "[]"
		if reach := e.eval(t, `e2e:call(E, {info, reach})`); reach == "cgroup" && !inVersion1 {
			keys = "[cpu]"
			s.expect(t, "true", `#{cgroup := #{cpu := Cpu}} = e2e:call(W, info), Cpu > 5`)
		}
		if can["memory"] {
			s.expect(t, "true", `#{cgroup := #{memory := Now, memory_peak := Peak, oom_kills := 0}} = e2e:call(W, info), Peak > 8000000 andalso Now < Peak`)
		}
		if can["pids"] {
			s.expect(t, "2", `#{cgroup := #{pids := Pids}} = e2e:call(W, info), Pids`)
		}
		if len(limits) == 0 {
			s.expect(t, keys, `#{cgroup := Groups} = e2e:call(W, info), maps:keys(Groups)`)
		}
		s.expect(t, "{ok,{signal,sigterm}}", `e2e:call(W, stop)`)
	})
}

// TestPIDsLimit: a fork beyond the limit fails, in the program and in its descendants.
//
//erluv:users
func TestPIDsLimit(t *testing.T) {
	eachWay(t, func(t *testing.T, contain, _ string) {
		e := newErluv(t, newNode(t, nodeOptions{}), "--contain", contain, "--kill-timeout", "100ms")
		if !eachLimit(t, e)["pids"] {
			return
		}
		for _, opts := range []string{"", ", rlimits => #{core => 0}"} {
			e.expect(t, `[<<"1">>,<<"2">>,<<"3">>]`, `
				{Out, <<_, _/binary>>, {exit_status, 2}, _} = e2e:outcome(e2e:start(E, "for i in 1 2 3 4 5 6; do sleep 1000 >/dev/null 2>&1 & echo $i; done", #{limits => #{pids => 4}`+opts+`})),
				binary:split(Out, <<"\n">>, [global, trim])`)
			e.expect(t, `{<<"1\n">>,{exit_status,2}}`, `
				{Out, <<_, _/binary>>, End, _} = e2e:outcome(e2e:start(E, "exec setsid -w sh -c 'for i in 1 2 3; do setsid sleep 1000 >/dev/null 2>&1 & echo $i; done'", #{limits => #{pids => 3}`+opts+`})), {Out, End}`)
			e.expect(t, `{ok,{exit_status,0}}`, `{ok, #{exit := X}} = e2e:call(E, {run, ["true"], #{limits => #{pids => 1}`+opts+`}}), {ok, X}`)
		}
	})
}

// TestCPULimit: a program that could use a whole processor gets its share.
//
//erluv:users
func TestCPULimit(t *testing.T) {
	e := newErluv(t, newNode(t, nodeOptions{}))
	if !eachLimit(t, e)["cpu"] {
		return
	}
	const share, span = 20, 3 * time.Second
	for name, opts := range map[string]string{"": "", "attributes": ", rlimits => #{core => 0}"} {
		used := e.number(t, fmt.Sprintf(`
			W = e2e:start(E, "while :; do :; done", #{limits => #{cpu => %d}%s}),
			Begin = erlang:monotonic_time(millisecond),
			receive after %d -> ok end,
			#{cpu := Used} = e2e:call(W, info),
			Span = erlang:monotonic_time(millisecond) - Begin,
			exit(W, kill),
			receive {'EXIT', W, killed} -> ok end,
			1000 * Used div Span`, share, opts, span.Milliseconds()))
		t.Logf("%s: %d %% of a processor", name, used/10)
		if used > 20*share || used == 0 {
			t.Errorf("%s: %.1f %%, want %d", name, float64(used)/10, share)
		}
	}
}

// groupsOf returns the groups of version 1 beneath erluv's trees that a process is in.
func groupsOf(t *testing.T, pid int) (dirs []string) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if f[0] == "0" || !strings.Contains(f[2], ".tree") {
			continue
		}
		for _, own := range ownGroups(strings.Split(f[1], ",")[0]) {
			dirs = append(dirs, filepath.Join(own, f[2][strings.Index(f[2], "/erluv-"):]))
		}
	}
	return dirs
}

// TestGroupsOfLimits: a program without limits is in no group for them. A program with limits is in
// a group for each, and the groups go with it. The trees go with erluv.
//
//erluv:users
func TestGroupsOfLimits(t *testing.T) {
	eachWay(t, func(t *testing.T, contain, _ string) {
		e := newErluv(t, newNode(t, nodeOptions{}), "--contain", contain)
		can := eachLimit(t, e)
		var s session
		start := func(opts string) (dirs []string) {
			s = e.session(t)
			s.eval(t, `W = e2e:start(E, "echo ready; exec cat", `+opts+`), ok = e2e:ready(W)`)
			var pid int
			_, _ = fmt.Sscan(s.eval(t, `e2e:os_pid(W)`), &pid)
			return groupsOf(t, pid)
		}
		if dirs := start("#{}"); len(dirs) > 0 {
			t.Errorf("without limits it is in %q", dirs)
		}
		var limits []string
		var trees []string
		for limit, value := range map[string]string{"memory": "64 bsl 20", "pids": "50", "cpu": "50"} {
			if can[limit] && len(ownGroups(limit)) > 0 {
				limits = append(limits, limit+" => "+value)
			}
		}
		if len(limits) == 0 {
			return
		}
		for _, opts := range []string{"", ", rlimits => #{core => 0}"} {
			dirs := start("#{limits => #{" + strings.Join(limits, ", ") + "}" + opts + "}")
			if len(dirs) != len(limits) {
				t.Errorf("with %q it is in %q", limits, dirs)
			}
			for _, dir := range dirs {
				trees = append(trees, filepath.Dir(dir))
				var st unix.Stat_t
				if err := unix.Stat(filepath.Dir(dir), &st); err != nil || st.Uid == workerID != ordinary {
					t.Errorf("%s is of %d, %v", filepath.Dir(dir), st.Uid, err)
				}
			}
			s.eval(t, `ok = e2e:call(W, {close, stdin}), receive {'EXIT', W, normal} -> ok after 120000 -> error(no_exit) end`)
			for _, dir := range dirs {
				eventually(t, dir+" is removed", func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) })
			}
		}
		if err := e.stop(); err != nil {
			t.Error(err)
		}
		for _, dir := range trees {
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("%s is left: %v", dir, err)
			}
		}
	})
}

// TestLimitsAfterACrash: when the spawner is killed, the next one makes groups as before. When all
// roles are killed, the next erluv ends the processes in the old groups and removes the groups.
//
//erluv:users
func TestLimitsAfterACrash(t *testing.T) {
	eachWay(t, func(t *testing.T, contain, _ string) {
		n := newNode(t, nodeOptions{noise: true})
		e := newErluv(t, n, "--contain", contain)
		e.fails = true
		if !eachLimit(t, e)["pids"] || len(ownGroups("pids")) == 0 {
			return
		}
		start := func() (inside []process, tree string) {
			s := e.session(t)
			s.eval(t, `W = e2e:start(E, Cmd, #{link => false, limits => #{pids => 10}}), ok = e2e:ready(W)`, bind{"Cmd": daemon + "echo ready; exec cat"})
			r := e.roles(t)
			eventually(t, "a daemon", func() bool {
				inside = insiders(r.spawner)
				return len(inside) == 2 && len(daemons(inside)) == 1
			})
			for _, p := range inside {
				dirs := groupsOf(t, p.pid)
				if len(dirs) != 1 {
					t.Fatalf("process %v is in %q", p, dirs)
				}
				tree = filepath.Dir(dirs[0])
			}
			return inside, tree
		}
		before, tree := start()
		old := e.roles(t).spawner
		_ = syscall.Kill(old, syscall.SIGKILL)
		if err := endOf(before); err != nil {
			t.Error(err)
		}
		e.expect(t, "ok", `e2e:until(fun() -> e2e:call(E, {info, spawner_os_pid}) =/= Old end), ok`, bind{"Old": old})
		left, again := start()
		if again != tree {
			t.Errorf("groups are in %s, before in %s", again, tree)
		}
		r := e.roles(t)
		for _, role := range []string{"main", "spawner", "child"} {
			_ = syscall.Kill(r.each()[role], syscall.SIGKILL)
		}
		e.exits(t, endTime)
		newErluv(t, n, "--contain", contain)
		if err := endOf(left); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(tree); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", tree, err)
		}
	})
}

// TestLimitsAreKept: a program that may not write to files of control groups cannot lift a limit.
//
//erluv:users
func TestLimitsAreKept(t *testing.T) {
	e := newErluv(t, newNode(t, nodeOptions{}))
	own := ownGroups("pids")
	if !eachLimit(t, e)["pids"] || len(own) == 0 {
		return
	}
	lift := "f=" + own[0] + "$(sed -n 's,^[0-9]*:.*pids[^:]*:.*/erluv-,/erluv-,p' /proc/self/cgroup)/pids.max; cat $f; echo 100 >$f; cat $f"
	e.expect(t, `<<"64\n64\n">>`, `
		element(1, e2e:outcome(e2e:start(E, Lift, #{limits => #{pids => 64}, stderr => null,
			sandbox => #{read => ["/"], exec => ["/bin", "/usr", "/lib", "/lib64"]}})))`, bind{"Lift": lift})
}

// TestBadLimits: the error names correct values, and nothing is started.
//
//erluv:users
func TestBadLimits(t *testing.T) {
	e := common(t)
	for opts, want := range map[string]string{
		`1`:                                    "must be a map or list of memory, pids and cpu",
		`#{"memory" => 1}`:                     "must be a map or list of memory, pids and cpu",
		`#{swap => 1}`:                         "swap is none of memory, pids and cpu",
		`#{memory => 1 bsl 20 - 1}`:            "memory must be a number of bytes from 1048576 to 4611686018427387904, or infinity",
		`#{memory => 1 bsl 62 + 1}`:            "memory must be a number of bytes from 1048576 to 4611686018427387904, or infinity",
		`#{memory => 1.0e9}`:                   "memory must be a number of bytes from 1048576 to 4611686018427387904, or infinity",
		`#{pids => 0}`:                         "pids must be a number of processes and threads from 1 to 4194304, or infinity",
		`#{pids => 1 bsl 22 + 1}`:              "pids must be a number of processes and threads from 1 to 4194304, or infinity",
		`#{cpu => 0}`:                          "cpu must be a percentage of one processor, an integer from 1 to 819200, or infinity",
		`#{cpu => 20.0}`:                       "cpu must be a percentage of one processor, an integer from 1 to 819200, or infinity",
		`#{cpu => 819201, memory => 1 bsl 30}`: "cpu must be a percentage of one processor, an integer from 1 to 819200, or infinity",
		`[memory]`:                             "memory must be a number of bytes from 1048576 to 4611686018427387904, or infinity",
		`#{pids => -1}`:                        "pids must be a number of processes and threads from 1 to 4194304, or infinity",
	} {
		for _, verb := range []string{"spawn", "run"} {
			e.expect(t, `{error,{bad_option,limits,<<"`+want+`">>}}`, `e2e:call(E, {`+verb+`, ["true"], #{limits => `+opts+`}})`)
		}
	}
	for _, opts := range []string{"#{}", "[]", "#{memory => infinity, pids => infinity, cpu => infinity}"} {
		e.expect(t, "{exit_status,0}", `{ok, #{exit := X}} = e2e:call(E, {run, ["true"], #{limits => `+opts+`}}), X`)
	}
}
