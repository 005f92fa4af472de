package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// logLine is a line of `erluv logs --format json`.
type logLine struct {
	Node   string `json:"node"` // with --node
	Time   int64  `json:"time"`
	Stream string `json:"stream"`
	Text   string `json:"text"`
	Lost   *int64 `json:"lost"` // alone
}

// TestLogs checks section 6 of the contract: the last output of a running program, for each kind of
// receiver.
//
//erluv:users
//erluv:check
func TestLogs(t *testing.T) {
	_, s, socket := operated(t)
	// One program for each kind of receiver. The passive one is not read.
	s.eval(t, `P = fun(Opts) -> e2e:start(E, "echo one; echo two >&2; printf three; exec sleep 1000", maps:merge(#{keep => true, link => false}, Opts)) end,
		P(#{name => owned}), P(#{name => passive, flow => {active, false}}), P(#{name => null, stdout => null, stderr => null}),
		P(#{name => none, owner => none}), P(#{name => lines, packet => line, flow => {active, 1}}),
		P(#{name => both, stderr => stdout, stdout => [owner, {pid, self()}]}), P(#{name => tty, pty => #{echo => false}}),
		e2e:start(E, ["sleep", "1000"], #{name => unkept}), ok`)
	const all = "one\ntwo\nthree"
	for _, name := range []string{"owned", "passive", "null", "none", "lines", "both"} {
		got, onlyErrors := "", "two\n"
		if name == "both" {
			onlyErrors = ""
		}
		// Output of two pipes can come in either order.
		if !until(startTime, func() bool { got = done(t, socket, "logs", name); return len(got) >= len(all) }) || len(got) != len(all) {
			t.Errorf("the log of %s is %q", name, got)
		}
		if got := done(t, socket, "logs", name, "--stderr"); got != onlyErrors {
			t.Errorf("the stderr of %s is %q", name, got)
		}
	}
	if !until(startTime, func() bool { return done(t, socket, "logs", "tty") == "one\r\ntwo\r\nthree" }) {
		t.Errorf("the log of a terminal is %q", done(t, socket, "logs", "tty"))
	}
	// A process that reads now still gets output that was not read.
	s.expect(t, `{ok,<<"one\nthree">>}`, "gen_server:call({passive, E}, {read, stdout, 100})")

	for _, c := range []struct{ args, want string }{
		{"-n 1", "three"},
		{"-n 2", "two\nthree"},
		{"-n 0", ""},
		{"-n 100", all},
		{"--since 1h", all},
		{"--since 2100-01-01T00:00:00Z", ""},
	} {
		args := append([]string{"logs", "both"}, strings.Fields(c.args)...)
		if got := done(t, socket, args...); got != c.want {
			t.Errorf("%q: %q, want %q", args, got, c.want)
		}
	}
	texts := map[string]string{}
	for _, l := range objects[logLine](t, done(t, socket, "logs", "owned", "--format", "json")) {
		texts[l.Stream] += l.Text + "|"
		if age := time.Since(time.UnixMilli(l.Time)); age < 0 || age > time.Hour {
			t.Errorf("a line came %v ago", age)
		}
	}
	if len(texts) != 2 || texts["stdout"] != "one|three|" || texts["stderr"] != "two|" {
		t.Errorf("%q", texts)
	}
	fails(t, "the output of unkept is not kept", socket, "logs", "unkept")
	fails(t, "there is no program nothing", socket, "logs", "nothing")
	s.expect(t, `[{error,{bad_option,keep,<<"cannot be given with a file for stderr: that has the output">>}},`+
		`{error,{bad_option,keep,<<"must be true, false or a number of bytes from 4096 to 1048576">>}},`+
		`{error,{bad_option,keep,<<"is not for run, which answers once, when its program has ended">>}},`+
		`{error,{bad_option,wait,<<"must be a number of milliseconds up to 60000">>}},{error,noproc},{error,not_kept}]`,
		`[e2e:call(E, {spawn, "true", #{keep => true, stderr => {file, "/tmp/x"}}}), e2e:call(E, {spawn, "true", #{keep => 1}}),
		 e2e:call(E, {run, "true", #{keep => true}}), e2e:call(E, {log, owned, #{wait => infinity}}), e2e:call(E, {log, self(), #{}}), e2e:call(E, {log, unkept, []})]`)
}

// running is a command that runs in the background.
type running struct {
	*exec.Cmd
	lines chan string // of standard output; closed with it
	out   io.Closer
	err   *buffer
}

func follows(t *testing.T, socket string, args ...string) *running {
	t.Helper()
	return background(t, append(args, "--control", socket)...)
}

func background(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{Cmd: exec.CommandContext(limited(t, evalTime), executable, args...), lines: make(chan string), err: &buffer{}}
	r.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	r.Env, r.Dir, r.Stderr = []string{"ERL_EPMD_PORT=" + epmd.port}, "/", r.err
	out, err := r.StdoutPipe()
	r.out = out
	if err == nil {
		err = r.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the command, which ends with the test
		defer close(r.lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			r.lines <- in.Text()
		}
	}()
	return r
}

// ends waits for the command, and returns its status.
func (r *running) ends(t *testing.T) int {
	t.Helper()
	for range r.lines {
	}
	_ = r.Wait()
	return r.ProcessState.ExitCode()
}

// A follower gets each line once. It goes on where the ring ends, and in the next run of the
// program. The end of the program ends the command.
//
//erluv:users
func TestLogsFollow(t *testing.T) {
	_, s, socket := operated(t)
	s.eval(t, `W = e2e:start(E, "echo begun; echo run $$; read n; seq 1 $n", #{keep => 1048576, restart => transient, max_restarts => {1, 600000}, backoff => {1, 1}, name => w}), ok`)
	begins := func(r *running, want ...string) {
		t.Helper()
		for _, w := range want {
			if line := <-r.lines; !strings.Contains(line, w) {
				t.Fatalf("%q comes where %q should; %s", line, w, r.err.String())
			}
		}
	}
	// Each follower is there before the program goes on: it has printed the earlier lines.
	f := follows(t, socket, "logs", "-f", "w")
	begins(f, "begun", "run ")
	last := follows(t, socket, "logs", "-f", "-n", "1", "w", "--format", "json")
	begins(last, "run ")
	none := follows(t, socket, "logs", "-f", "w", "--stderr")
	s.eval(t, `ok = e2e:call(W, {signal, sigkill}), receive {W, {restarted, _, 1}} -> ok after 60000 -> error(restarted) end`)
	begins(f, "begun", "run ")
	s.eval(t, `ok = e2e:call(W, {write, "20000\n"})`)
	for n := range 20000 {
		if line := <-f.lines; line != strconv.Itoa(n+1) {
			t.Fatalf("%q comes where %d should; %s", line, n+1, f.err.String())
		}
	}
	next := 0
	for line := range last.lines {
		l := objects[logLine](t, line+"\n")[0]
		if n, err := strconv.Atoi(l.Text); err == nil {
			if next++; n != next || l.Stream != "stdout" {
				t.Fatalf("%q comes where %d should", line, next)
			}
		}
	}
	if next != 20000 {
		t.Errorf("one who began with the last line has seen %d lines", next)
	}
	for what, r := range map[string]*running{"all": f, "the last": last, "nothing": none} {
		if status := r.ends(t); status != 0 || r.err.String() != "" {
			t.Errorf("%s: status %d, %s", what, status, r.err.String())
		}
	}
	s.expect(t, "{20000,open,false}", `{ok, #{next := Next, open := Open}} = e2e:call(E, {log, W, #{}}), {element(2, {x, 20000}), open, Open}`)
}

// A slow follower slows no program. It gets the number of lines that it missed, and the end of the
// child.
//
//erluv:users
func TestLogsBehind(t *testing.T) {
	e, s, socket := operated(t, "--die-timeout", "1m")
	s.eval(t, `W = e2e:start(E, "echo first; read _; seq 1 1000000; echo last; exec sleep 1000", #{keep => 4096, owner => none, name => w}), ok`)
	f := follows(t, socket, "logs", "-f", "w", "--format", "json")
	<-f.lines
	// The follower stops reading, and its standard output is soon full. The program still writes
	// all lines.
	s.eval(t, `ok = e2e:call(W, {write, "\n"})`)
	s.expect(t, "ok", `(fun F() -> case e2e:call(E, {log, W, #{lines => 1}}) of {ok, #{output := [{_, stdout, <<"last\n">>}]}} -> ok; _ -> timer:sleep(20), F() end end)()`)
	lines, lost, previous := 0, int64(0), logLine{}
	for line := range f.lines {
		l := objects[logLine](t, line+"\n")[0]
		if l.Lost != nil {
			lost, previous = lost+*l.Lost, logLine{} // the lines before and behind it may be cut
			<-f.lines
			continue
		}
		n, _ := strconv.Atoi(l.Text)
		if before, err := strconv.Atoi(previous.Text); err == nil && l.Text != "last" && n != before+1 {
			if next := objects[logLine](t, <-f.lines+"\n")[0]; next.Lost == nil {
				t.Fatalf("%q comes after %q, and before %+v", l.Text, previous.Text, next)
			}
			previous = logLine{}
			<-f.lines
			continue
		}
		lines, previous = lines+1, l
		if l.Text == "last" {
			break
		}
	}
	if lines > 1000000 || lost == 0 {
		t.Errorf("it has seen %d lines, and missed %d bytes", lines, lost)
	}
	kill(t, e.roles(t).child, syscall.SIGKILL)
	if status := f.ends(t); status != 1 || !strings.Contains(f.err.String(), "erluv's child has crashed, and the log is lost with it") {
		t.Errorf("status %d, %s", status, f.err.String())
	}
	s.expect(t, "ok", "receive {erluv, E, {child_down, _, 60000}} -> ok after 60000 -> none end, {erluv_main, E} ! respawn, receive {erluv, E, {child_up, _}} -> ok after 60000 -> none end")
	fails(t, "the output of w is lost: erluv's child has crashed since", socket, "logs", "w")
	if list := listed(t, socket, "-a"); len(list.Programs) != 1 || *list.Programs[0].Cause != "child_crashed" || *list.Programs[0].Name != "w" || list.Programs[0].Exit != nil {
		t.Errorf("%+v", list)
	}
}

// A terminal that does not know its size is one too, so output is escaped there. JSON is safe for all
// terminals. If the reader of standard output goes, a follower ends as by SIGPIPE.
func TestLogsTo(t *testing.T) {
	_, s, socket := operated(t)
	s.eval(t, `P = fun(Cmd, Name) -> e2e:start(E, Cmd, #{keep => true, link => false, name => Name}) end,
		P("printf '\\033[31mred\\302\\233m\\n'; exec sleep 1000", red), P("while echo more; do sleep 0.05; done", more),
		P("exec sleep 1000", '999.0'), ok`)
	x := onTerminal(t, 0, 0, executable, "logs", "-f", "--control", socket, "red")
	x.shows(t, `\x1b[31mred\u009bm`+"\r\n")
	kill(t, x.cmd.Process.Pid, syscall.SIGTERM)
	x.ends(t, 0)
	if got := done(t, socket, "logs", "red", "--format", "json"); !strings.Contains(got, `"\u001b[31mred\u009bm"`) {
		t.Errorf("%q", got)
	}
	f := follows(t, socket, "logs", "-f", "more")
	<-f.lines
	if err := f.out.Close(); err != nil {
		t.Fatal(err)
	}
	if status := f.ends(t); status != 128+int(syscall.SIGPIPE) || f.err.String() != "" {
		t.Errorf("without a reader: status %d, %q", status, f.err.String())
	}
	// A name that is a number would mean another program.
	if table := done(t, socket, "ps"); strings.Contains(table, "999.0") || strings.Count(table, "\n") != 4 {
		t.Error(table)
	}
}

// If other logs have all the memory, the command says why it prints nothing.
func TestLogsWithoutRoom(t *testing.T) {
	_, s, socket := operated(t, "--log-ring-total", "65536")
	s.eval(t, `P = fun(Name) -> e2e:start(E, "seq 1 100000; exec sleep 1000", #{keep => true, owner => none, link => false, name => Name}) end, P(first), ok`)
	if !until(startTime, func() bool { return strings.HasSuffix(done(t, socket, "logs", "first"), "\n100000\n") }) {
		t.Fatal("the first program has not written all")
	}
	s.eval(t, "P(second), ok")
	var stdout, stderr string
	if !until(startTime, func() bool {
		stdout, stderr, _ = operates(t, socket, "logs", "second")
		return strings.Contains(stderr, " 588895 bytes")
	}) || stdout != "" {
		t.Errorf("%q, %q", stdout, stderr)
	}
}

// The memory of all logs is bounded, and so is erluv's, however much programs write.
func TestLogsOfMuch(t *testing.T) {
	e, s, socket := operated(t, "--log-ring-total", "1048576")
	s.eval(t, `Rss = e2e:rss([e2e:call(E, {info, child_os_pid})]),
		Ws = [e2e:start(E, "head -c 128M /dev/zero; echo end", #{keep => 1048576, owner => none, name => list_to_atom("w" ++ integer_to_list(N))}) || N <- lists:seq(1, 8)],
		[receive {'DOWN', R, process, _, normal} -> ok end || R <- [monitor(process, W) || W <- Ws]], ok`)
	s.expect(t, "true", "e2e:rss([e2e:call(E, {info, child_os_pid})]) - Rss < 32 bsl 20")
	held := 0
	for n := range 8 {
		log, stderr, status := operates(t, socket, "logs", fmt.Sprintf("w%d", n+1))
		held += len(log)
		if status != 0 || (log == "") != strings.Contains(stderr, "keeps none of its") {
			t.Errorf("%d, %q", status, stderr)
		}
		if log != "" && !strings.HasSuffix(log, "\x00end\n") {
			t.Errorf("the log ends with %q", log[max(0, len(log)-10):])
		}
	}
	if held == 0 || held > 1<<20 {
		t.Errorf("all logs have %d bytes", held)
	}
	if !e.running() {
		t.Error("erluv has ended")
	}
}

// TestHistory checks that erluv remembers how and why programs ended, and their last output. The
// next child has it too.
//
//erluv:users
//erluv:check
func TestHistory(t *testing.T) {
	e, s, socket := operated(t, "--die-timeout", "1m")
	s.eval(t, `Down = fun(W) -> R = monitor(process, W), receive {'DOWN', R, process, _, _} -> ok after 60000 -> error(W) end end,
		P = fun(Name, Opts) -> e2e:start(E, "printf 'last words\nof it\n'; exec sleep 1000", maps:merge(#{name => Name, link => false}, Opts)) end,
		Down(e2e:start(E, "echo bye; exit 3", #{name => exit, keep => true, link => false})),
		Down(e2e:start(E, ["sh", "-c", "kill -SEGV $$"], #{name => signal, link => false})),
		Down(P(timeout, #{timeout => 1})),
		S = P(stop, #{keep => true}), receive {S, {stdout, _}} -> ok end, {ok, _} = e2e:call(S, stop), X = P(exit_signal, #{}), exit(X, shutdown), Down(X),
		spawn(fun() -> P(owner, #{}) end), ok`)
	if !until(startTime, func() bool { return len(listed(t, socket).Programs) == 0 }) {
		t.Fatalf("%+v", listed(t, socket))
	}
	s.eval(t, `O = P(operator, #{}), Down(e2e:start(E, "exit 1", #{name => restart_intensity, link => false, restart => permanent, max_restarts => {1, 60000}, backoff => {1, 1}})),
		{ok, _} = e2e:call(E, {run, "true", #{}}), {ok, _} = e2e:call(E, {run, "exit 4", #{}}), ok`)
	done(t, socket, "stop", "operator")
	s.eval(t, "ok = Down(O), R = P(running, #{keep => true}), ok")

	status := func(n int) exit { return exit{Status: &n} }
	sig := func(name string) exit { return exit{Signal: name} }
	want := []struct {
		name, cause string
		exit        exit
	}{
		{"exit", "exit", status(3)},
		{"signal", "exit", sig("sigsegv")},
		{"timeout", "timeout", sig("sigterm")},
		{"stop", "stop", sig("sigterm")},
		{"exit_signal", "exit_signal", sig("sigterm")},
		{"owner", "owner", sig("sigterm")},
		{"restart_intensity", "exit", status(1)},
		{"restart_intensity", "restart_intensity", status(1)},
		{"", "exit", status(4)},
		{"operator", "operator", sig("sigterm")},
	}
	compare := func(list psOutput) {
		t.Helper()
		ended := 0
		for _, p := range list.Programs {
			if p.State != "ended" {
				continue
			}
			name := ""
			if p.Name != nil {
				name = *p.Name
			}
			if ended >= len(want) {
				t.Errorf("%+v too", p)
				break
			}
			w := want[ended]
			ended++
			if w.name != name || p.Cause == nil || *p.Cause != w.cause || p.Exit == nil || p.Exit.Signal != w.exit.Signal ||
				(p.Exit.Status == nil) != (w.exit.Status == nil) || p.Exit.Status != nil && *p.Exit.Status != *w.exit.Status ||
				p.Ended == nil || p.Started == nil || *p.Ended < *p.Started || p.OsPid == nil {
				t.Errorf("%+v, exit %+v, want %+v", p, p.Exit, w)
			}
		}
		if ended != len(want) {
			t.Errorf("%d ends, want %d: %+v", ended, len(want), list)
		}
	}
	list := listed(t, socket, "-a")
	compare(list)
	if p := list.Programs[0]; p.State != "running" || p.Cause != nil {
		t.Errorf("%+v", p)
	}
	// Each of its names finds one entry.
	stopped := list.Programs[4]
	for _, what := range []string{"stop", stopped.Worker, fmt.Sprint(*stopped.OsPid)} {
		info := done(t, socket, "info", what)
		if !strings.Contains(info, "cause        stop\n") || !strings.Contains(info, `last_output  last words\nof it\n`) {
			t.Errorf("info %s:\n%s", what, info)
		}
		if log := done(t, socket, "logs", what); log != "last words\nof it\n" {
			t.Errorf("logs %s: %q", what, log)
		}
	}
	if table := done(t, socket, "ps", "-a"); !strings.Contains(table, "exit 3") || !strings.Contains(table, "sigsegv") {
		t.Error(table)
	}
	s.expect(t, `{<<"bye\n">>,{exit_status,3},exit}`, `[#{last_output := L, exit := Xt, cause := C}] = [H || #{name := exit} = H <- e2e:call(E, {info, history})], {L, Xt, C}`)

	kill(t, e.roles(t).child, syscall.SIGKILL)
	s.expect(t, "ok", "receive {erluv, E, {child_down, _, 60000}} -> ok after 60000 -> none end, {erluv_main, E} ! respawn, receive {erluv, E, {child_up, _}} -> ok after 60000 -> none end")
	want = append(want, struct {
		name, cause string
		exit        exit
	}{"running", "child_crashed", exit{}})
	after := listed(t, socket, "-a")
	last := &after.Programs[len(after.Programs)-1]
	if last.Exit != nil {
		t.Errorf("%+v", last)
	}
	last.Exit = &exit{}
	compare(after)
	fails(t, "the output of exit is lost", socket, "logs", "exit")
}

// A follower gets every line once, up to the last before the end, even if erluv forgets the end at once.
// The name of the program is free then, and another program can take it.
func TestLogsFollowWithoutHistory(t *testing.T) {
	for _, history := range []string{"0", "1"} {
		_, s, socket := operated(t, "--history", history)
		for range 10 {
			s.eval(t, `(fun() -> e2e:start(E, "echo begun; read _; seq 1 2000; echo; echo last", #{keep => 1048576, owner => none, link => false, name => w}), ok end)()`)
			f := follows(t, socket, "logs", "-f", "w")
			if line := <-f.lines; line != "begun" {
				t.Fatalf("%q comes first; %s", line, f.err.String())
			}
			s.eval(t, `(fun() -> R = monitor(process, {w, E}), ok = gen_server:call({w, E}, {write, "\n"}),
				receive {'DOWN', R, process, _, _} -> ok after 60000 -> error(runs) end,
				e2e:start(E, "echo of another; exec sleep 1000", #{keep => true, owner => none, link => false, name => w}),
				{ok, _} = e2e:call(E, {run, "exit 1", #{}}), ok end)()`)
			next := 0
			var rest []string
			for line := range f.lines {
				if n, err := strconv.Atoi(line); err == nil && n == next+1 {
					next++
				} else {
					rest = append(rest, line)
				}
			}
			if status := f.ends(t); status != 0 || f.err.String() != "" || next != 2000 || strings.Join(rest, "|") != "|last" {
				t.Errorf("history %s: status %d, %s, %d lines, %q", history, status, f.err.String(), next, rest)
			}
			s.eval(t, `(fun() -> {ok, _} = gen_server:call({w, E}, stop), ok end)()`)
		}
	}
}

// Without a history erluv remembers no ends. With a small one, it remembers the last.
func TestHistoryOfFew(t *testing.T) {
	for most, want := range map[string]int{"0": 0, "2": 2} {
		_, s, socket := operated(t, "--history", most)
		s.eval(t, `[{ok, _} = e2e:call(E, {run, "exit " ++ integer_to_list(N), #{}}) || N <- lists:seq(1, 5)], ok`)
		list := listed(t, socket, "-a")
		if len(list.Programs) != want || want > 0 && *list.Programs[want-1].Exit.Status != 5 {
			t.Errorf("of %s: %+v", most, list)
		}
	}
}
