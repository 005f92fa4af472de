package e2e

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// bothWays returns opts unchanged, which the new process can apply itself, and with an option added
// that takes the role become (spawner/byexec.go).
func bothWays(opts string) map[string]string {
	more, isMap := strings.CutPrefix(opts, "#{")
	if !isMap || strings.Contains(opts, "oom_score_adj") {
		return map[string]string{"": opts}
	}
	if more != "}" {
		more = ", " + more
	}
	return map[string]string{"": opts, ", by exec": "#{oom_score_adj => 900" + more}
}

//erluv:users
func TestAttributes(t *testing.T) {
	e := common(t)
	priority, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ cmd, opts, want string }{
		"nice":          {`"nice"`, `#{nice => 19}`, `<<"19\n">>`},
		"umask":         {`"umask"`, `#{umask => 8#027}`, `<<"0027\n">>`},
		"by default":    {`"umask; nice"`, `#{}`, fmt.Sprintf(`<<"0022\n%d\n">>`, 20-priority)},
		"processors":    {`"grep -c ^Cpus_allowed_list:.0$ /proc/self/status"`, `#{cpus => [0]}`, `<<"1\n">>`},
		"oom_score_adj": {`"cat /proc/self/oom_score_adj"`, `#{oom_score_adj => 1000}`, `<<"1000\n">>`},
		"one limit":     {`"ulimit -Sn; ulimit -Hn"`, `#{rlimits => #{nofile => {100, 200}}}`, `<<"100\n200\n">>`},
		"limits":        {`"ulimit -n; ulimit -c; ulimit -v"`, `[{rlimits, [{nofile, 50}, {core, 0}, {as, 1 bsl 30}]}]`, `<<"50\n0\n1048576\n">>`},
		"all of it": {
			`"nice; umask; ulimit -n; cat /proc/self/oom_score_adj; pwd; echo $A"`,
			`#{nice => 19, umask => 0, rlimits => #{nofile => 64}, oom_score_adj => 900, cpus => [0], cd => "/usr", env => #{"A" => "b"}}`,
			`<<"19\n0000\n64\n900\n/usr\nb\n">>`,
		},
	} {
		for way, opts := range bothWays(tc.opts) {
			t.Run(name+way, func(t *testing.T) {
				e.expect(t, "{"+tc.want+",<<>>,{exit_status,0},normal}", `e2e:outcome(e2e:start(E, `+tc.cmd+`, `+opts+`))`)
			})
		}
	}
}

// The spawner has no privileges, so no program gets more than the spawner has. Each failure is
// reported as one of the request, never as one of the program.
//
//erluv:users
func TestAttributesThatCannotBeHad(t *testing.T) {
	e := common(t)
	for name, tc := range map[string]struct{ cmd, opts, want string }{
		"more of the processor": {`["true"]`, `#{nice => -1}`, "{nice,eacces}"},
		"no such processor":     {`["true"]`, `#{cpus => [0, 1023]}`, "{cpus,einval}"},
		"more descriptors":      {`["true"]`, `#{rlimits => #{nofile => 1 bsl 40}}`, "{rlimits,eperm}"},
		"never to be killed":    {`["true"]`, `#{oom_score_adj => -1000}`, "{oom_score_adj,eacces}"},
		"no such program":       {`["no_such_program"]`, `#{nice => 19}`, "enoent"},
		"no such file":          {`["/no/such"]`, `#{nice => 19}`, "enoent"},
		"no program":            {`["/etc/passwd"]`, `#{cpus => [0]}`, "eacces"},
		"a long argument":       {`["true", binary:copy(<<"x">>, 200000)]`, `#{nice => 19}`, "e2big"},
		"bad":                   {`["true"]`, `#{nice => 20}`, `{bad_option,nice,<<"must be a number from -20 to 19">>}`},
	} {
		for way, opts := range bothWays(tc.opts) {
			t.Run(name+way, func(t *testing.T) {
				e.expect(t, "{error,"+tc.want+"}", `e2e:call(E, {spawn, `+tc.cmd+`, `+opts+`})`)
			})
		}
	}
}

// A program's timers are as accurate as those of the process that started erluv. The threads of the
// Go runtime in the roles have a larger slack (PR_SET_TIMERSLACK in prctl(2)).
//
//erluv:users
func TestTimerSlack(t *testing.T) {
	const want = 123456 // nanoseconds
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	set := func(slack int) {
		if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	n := newNode(t, nodeOptions{})
	set(want)
	defer set(before)
	e := newErluv(t, n)
	for _, option := range []string{"", "allow => [userns]", "setsid => false"} {
		for way, opts := range bothWays("#{" + option + "}") {
			t.Run(option+way, func(t *testing.T) {
				e.expect(t, fmt.Sprintf(`{<<"%d\n">>,<<>>,{exit_status,0},normal}`, want), `e2e:outcome(e2e:start(E, "cat /proc/self/timerslack_ns", `+opts+`))`)
			})
		}
	}
	if os.Getuid() != 0 {
		return // only root reads the slack of others
	}
	for role, pid := range e.roles(t).each() {
		if role == "main" {
			continue
		}
		larger := 0
		for _, thread := range threads(t, pid) {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", thread))
			if err != nil {
				t.Fatal(err)
			}
			switch slack := strings.TrimSpace(string(text)); {
			case slack == "5000000":
				larger++
			case thread == pid && slack != strconv.Itoa(want):
				t.Errorf("the first thread of the %s has %s", role, slack)
			}
		}
		if larger == 0 {
			t.Errorf("no thread of the %s has a larger slack", role)
		}
	}
}

// In a session of its own, a program's group is an orphan: a stop signal from a terminal does
// nothing to it. Without that session the signal stops it. Group and tree stay the same.
//
//erluv:users
func TestSetsid(t *testing.T) {
	e := common(t)
	e.expect(t, "[true,true,false]", `
		Ids = fun(Opts) ->
			{Out, <<>>, {exit_status, 0}, normal} = e2e:outcome(e2e:start(E, "cut -d' ' -f5,6 /proc/$$/stat; echo $$", Opts)),
			[[Group, Session], [Pid]] = [binary:split(L, <<" ">>) || L <- binary:split(Out, <<"\n">>, [global, trim])],
			true = Group =:= Pid,
			Session =:= Pid
		end,
		[Ids(#{}), Ids(#{setsid => true}), Ids(#{setsid => false})]`)
	e.expect(t, "{stopped,sigtstp}", `
		W = e2e:start(E, "echo ready; sleep 1000 & sleep 1000", #{setsid => false}),
		ok = e2e:ready(W),
		ok = e2e:call(W, {signal, sigtstp}),
		Stopped = e2e:next(W),
		{ok, _} = e2e:call(W, stop),
		Stopped`)
	e.expect(t, "{exit_status,0}", `
		W = e2e:start(E, "echo ready; read x; exit 0"),
		ok = e2e:ready(W),
		ok = e2e:call(W, {signal, sigtstp}),
		ok = e2e:call(W, {write, "\n"}),
		{<<>>, _, End, normal} = e2e:outcome(W),
		End`)
}

// Programs with the umask 0777 do not hinder programs that are started after them.
//
//erluv:users
func TestUmaskOfAll(t *testing.T) {
	e := common(t)
	e.expect(t, `[{<<"0777\n">>,<<>>,{exit_status,0},normal}]`, `
		Ws = [e2e:start(E, "umask; exec cat", #{umask => 8#777}) || _ <- lists:seq(1, 20)],
		[ok = e2e:call(W, {close, stdin}) || W <- Ws],
		lists:usort([e2e:outcome(W) || W <- Ws])`)
}
