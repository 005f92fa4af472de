package workers_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"erluv/ipc"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

// on gives a program a terminal, with modes as pairs of name and value.
func on(sp *workers.Spec, modes ...any) *workers.Spec {
	sp.Terminal = &workers.Terminal{Rows: 24, Cols: 80}
	for i := 0; i < len(modes); i += 2 {
		if err := sp.Terminal.Set(modes[i].(string), modes[i+1]); err != nil {
			panic(err)
		}
	}
	return sp
}

// raw are the modes of a terminal that changes no byte.
func raw() []any {
	return []any{
		"icanon", false, "echo", false, "isig", false, "iexten", false,
		"icrnl", false, "ixon", false, "opost", false,
	}
}

func TestTerminal(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		r := w.run(on(shell(`tty; test -t 0 && test -t 1 && test -t 2 && echo all three; stty size
			echo by name >/dev/tty; echo "error" >&2
			set -- $(cat /proc/$$/stat); [ $5 = $$ ] && [ $6 = $$ ] && [ $7 != 0 ] && [ $8 = $$ ] && echo foreground
			exit 3`)))
		r.want("exit 3")
		_, rest, _ := strings.Cut(r.stdout(), "\n")
		if want := "all three\r\n24 80\r\nby name\r\nerror\r\nforeground\r\n"; !strings.HasPrefix(r.stdout(), "/dev/pts/") || rest != want {
			t.Errorf("wrote %q, want the name, then %q", r.stdout(), want)
		}
		if r.ended != (perStream{0, 1, 0}) || len(r.out[workers.Stderr]) > 0 {
			t.Errorf("streams have ended: %v, stderr %q", r.ended, r.out[workers.Stderr])
		}
	})
}

// TestTerminalIsNotInherited checks that a program holds its own terminal three times, and no
// other.
func TestTerminalIsNotInherited(t *testing.T) {
	w := newWorld(t, false)
	first := w.started(on(shell("echo ready; exec cat")), "ready")
	r := w.run(on(shell(`tty; for f in /proc/$$/fd/*; do readlink $f; done; exit 0`)))
	r.want("exit 0")
	for _, link := range strings.Fields(r.stdout()) {
		if link != strings.Fields(r.stdout())[0] {
			t.Errorf("a descriptor is %s, the terminal %s", link, strings.Fields(r.stdout())[0])
		}
	}
	if n := len(strings.Fields(r.stdout())); n < 4 { // the shell may have one more, its own
		t.Errorf("%q", strings.Fields(r.stdout()))
	}
	fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", first.PID()))
	if len(fds) != 3 {
		t.Errorf("the first program holds %v", fds)
	}
	w.do(first.Kill)
	w.finish(first)
}

// TestTerminalModes checks that stty(1) knows every mode, and reports it as it was set.
func TestTerminalModes(t *testing.T) {
	w := newWorld(t, false)
	stty := func(modes ...any) []string {
		t.Helper()
		r := w.run(on(command("stty", "-a"), modes...))
		r.want("exit 0")
		return strings.Fields(strings.ToLower(strings.ReplaceAll(r.stdout(), ";", "")))
	}
	names := strings.Fields(`ignpar parmrk inpck istrip inlcr igncr icrnl iuclc ixon ixany ixoff imaxbel iutf8
		isig icanon xcase echo echoe echok echonl noflsh tostop iexten echoctl echoke opost olcuc onlcr ocrnl onocr onlret`)
	for _, on := range []bool{true, false} {
		var modes []any
		for i, name := range names {
			modes = append(modes, name, on)
			if i%2 == 0 {
				modes[len(modes)-1] = map[bool]int64{true: 1, false: 0}[on]
			}
		}
		got := stty(modes...)
		for _, name := range names {
			word := name
			if !on {
				word = "-" + name
			}
			if !slices.Contains(got, word) {
				t.Errorf("no %s in %q", word, got)
			}
		}
	}
	chars := map[string]string{
		"vintr": "intr", "vquit": "quit", "verase": "erase", "vkill": "kill", "veof": "eof", "veol": "eol",
		"veol2": "eol2", "vstart": "start", "vstop": "stop", "vsusp": "susp", "vreprint": "rprnt",
		"vwerase": "werase", "vlnext": "lnext", "vswtch": "swtch", "vdiscard": "discard",
	}
	var set []any
	code := int64('a')
	want := map[string]string{}
	for name, word := range chars {
		set = append(set, name, code)
		want[word] = string(rune(code))
		code++
	}
	set = append(set, "tty_op_ispeed", int64(9600), "tty_op_ospeed", int64(9600))
	got := stty(set...)
	at := func(word string) string { return got[slices.Index(got, word)+2] }
	for word, char := range want {
		if at(word) != char {
			t.Errorf("%s is %s, want %s", word, at(word), char)
		}
	}
	if got[1] != "9600" {
		t.Errorf("speed %s", got[1])
	}
	got = stty("vintr", int64(255), "vquit", int64(0))
	if at("intr") != "<undef>" || at("quit") != "<undef>" {
		t.Errorf("intr is %s, quit %s, want neither", at("intr"), at("quit"))
	}
	// Modes of other systems are accepted, and change nothing.
	plain := stty()
	if got := stty("vdsusp", int64(1), "vstatus", int64(2), "vflush", int64(3), "cs7", true, "cs8", true,
		"parenb", true, "parodd", int64(1)); !slices.Equal(got, plain) {
		t.Errorf("%q, want %q", got, plain)
	}
}

func TestTerminalModesRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		value any
		want  string
	}{
		{"vfoo", int64(1), "vfoo is not a terminal mode of RFC 4254"},
		{"VINTR", int64(1), "VINTR is not a terminal mode of RFC 4254"},
		{"vintr", true, "vintr must be a character's number from 0 to 255, where 255 means none"},
		{"vintr", int64(256), "vintr must be"},
		{"vintr", int64(-1), "vintr must be"},
		{"echo", int64(2), "echo must be true, false, 1 or 0"},
		{"echo", "yes", "echo must be"},
		{"tty_op_ospeed", int64(38401), "tty_op_ospeed must be a rate of termios(3) in bits a second, such as 38400"},
		{"tty_op_ispeed", true, "tty_op_ispeed must be"},
	} {
		var term workers.Terminal
		if err := term.Set(c.name, c.value); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s %v: %v, want %q", c.name, c.value, err, c.want)
		}
	}
}

// TestTerminalEndOfInput checks that the program reads all input, and then its end.
func TestTerminalEndOfInput(t *testing.T) {
	for name, c := range map[string]struct {
		input, script, want string
		modes               []any
	}{
		"nothing":       {"", "cat; echo end", "end\r\n", nil},
		"a line":        {"a\n", "cat; echo end", "a\r\nend\r\n", nil},
		"half a line":   {"a", "cat; echo end", "aend\r\n", nil},
		"a return":      {"a\r", "cat; echo end", "a\r\nend\r\n", nil},
		"no line yet":   {"a\r", "cat | od -An -c; echo end", "   a  \\r\r\nend\r\n", []any{"icrnl", false}},
		"an empty one":  {"a\n\n", "cat; echo end", "a\r\n\r\nend\r\n", nil},
		"erased":        {"abc\x15", "cat; echo end", "end\r\n", nil},
		"another VEOF":  {"a", "cat; echo end", "aend\r\n", []any{"veof", int64('E')}},
		"a VEOF before": {"a\n\x04", "cat; echo first; cat; echo end", "a\r\nfirst\r\nend\r\n", nil},
		"set by itself": {"a", "stty eof E; echo ready; cat; echo end", "ready\r\naend\r\n", nil},
		"a byte each":   {"a", "dd bs=1 count=2 status=none | od -An -c", "   a 004\n", raw()},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, false)
			r := w.start(on(shell(c.script), append([]any{"echo", false}, c.modes...)...))
			if strings.Contains(c.script, "ready") {
				w.await("ready", func() bool { return strings.Contains(r.stdout(), "ready") })
			}
			w.do(func() {
				if err := r.Write([]byte(c.input), 1); err != nil {
					t.Error(err)
				}
				r.CloseStdin()
				r.CloseStdin()
				if err := r.Write([]byte("x"), 2); err != unix.EPIPE {
					t.Errorf("a write after the end: %v", err)
				}
				if r.Open(workers.Stdin) {
					t.Error("stdin is open")
				}
			})
			w.finish(r).want("exit 0")
			if r.stdout() != c.want {
				t.Errorf("wrote %q, want %q", r.stdout(), c.want)
			}
			if !slices.Equal(r.wrote, []answer{{1, nil}}) {
				t.Errorf("answered %v", r.wrote)
			}
		})
	}
}

// TestTerminalEcho checks that input is echoed, and that a line can be corrected.
func TestTerminalEcho(t *testing.T) {
	w := newWorld(t, false)
	for _, c := range []struct {
		echo  bool
		input string
		want  string
	}{
		{true, "abc\n", "abc\r\nabc\r\n"},
		{true, "abd\x7fc\n", "abd\b \bc\r\nabc\r\n"},
		{false, "abd\x7fc\n", "abc\r\n"},
	} {
		r := w.started(on(shell("echo ready; exec cat"), "echo", c.echo), "ready\r\n")
		w.do(func() {
			_ = r.Write([]byte(c.input), 1)
			r.CloseStdin()
		})
		w.finish(r).want("exit 0")
		if got := strings.TrimPrefix(r.stdout(), "ready\r\n"); got != c.want {
			t.Errorf("echo %v, %q: %q, want %q", c.echo, c.input, got, c.want)
		}
	}
}

// TestTerminalSignals checks that the terminal's special characters send signals to the program.
func TestTerminalSignals(t *testing.T) {
	w := newWorld(t, false)
	for _, c := range []struct {
		char  string
		modes []any
		want  string
	}{
		{"\x03", nil, "signal SIGINT, core false"},
		{"x", []any{"vintr", int64('x')}, "signal SIGINT, core false"},
		{"\x03\n", []any{"vintr", int64(255)}, "exit 7"},
		{"\x03\n", []any{"isig", false}, "exit 7"},
	} {
		r := w.started(on(shell("echo ready; read x; exit 7"), c.modes...), "ready")
		w.do(func() { _ = r.Command([]byte(c.char)) })
		w.finish(r).want(c.want)
	}
}

func TestTerminalResize(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		sp := on(shell(`trap told=1 WINCH; stty size; until [ "$told" ]; do sleep 0.01; done; stty size`))
		r := &run{host: w.host}
		w.do(func() {
			r.Worker = workers.New(w.host, w.starter, sp, r)
			if err := r.Resize(50, 132); err != nil { // before the start
				t.Error(err)
			}
		})
		w.await("the size", func() bool { return r.stdout() == "50 132\r\n" })
		w.do(func() {
			if err := r.Resize(51, 65535); err != nil {
				t.Error(err)
			}
		})
		w.finish(r).want("exit 0")
		if want := "50 132\r\n51 65535\r\n"; r.stdout() != want {
			t.Errorf("wrote %q, want %q", r.stdout(), want)
		}
		plain := w.started(shell("echo ready; exec cat"), "ready")
		w.do(func() {
			for _, r := range []*run{r, plain} {
				if err := r.Resize(1, 1); err != unix.ENOTTY {
					t.Errorf("no terminal is resized: %v", err)
				}
			}
			plain.Stop()
		})
		w.finish(plain)
	})
}

// TestTerminalResizedMeanwhile resizes the terminal while the spawner makes it. The new size must
// apply.
func TestTerminalResizedMeanwhile(t *testing.T) {
	w := newWorld(t, false)
	r := &run{host: w.host}
	w.do(func() {
		r.Worker = workers.New(w.host, w.starter, on(shell(`until [ "$(stty size)" = "60 70" ]; do sleep 0.01; done`)), r)
	})
	w.do(func() {
		if err := r.Resize(60, 70); err != nil {
			t.Error(err)
		}
	})
	w.finish(r).want("exit 0")
}

// TestTerminalBothWays sends many bytes through raw modes, and as lines. No byte may be lost or
// changed.
func TestTerminalBothWays(t *testing.T) {
	w := newWorld(t, false)
	const size = 1 << 20
	bytesOfAll := noise(size)
	lines := bytes.Repeat([]byte("a line of the 64 bytes of which all of these lines are made up.\n"), size/64)
	lines = lines[:size]
	for name, c := range map[string]struct {
		data  []byte
		modes []any
	}{
		"raw":   {bytesOfAll, raw()},
		"lines": {lines, []any{"echo", false, "opost", false}},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.started(on(command("head", "-c", strconv.Itoa(size)), c.modes...), "")
			w.do(func() {
				for i := 0; i < size; i += 100_000 {
					if err := r.Write(c.data[i:min(i+100_000, size)], i); err != nil {
						t.Error(err)
					}
				}
			})
			w.finish(r).want("exit 0")
			if !bytes.Equal(r.out[workers.Stdout], c.data) {
				t.Errorf("%d bytes came back, not those %d", len(r.stdout()), size)
			}
			if len(r.wrote) != (size+99_999)/100_000 {
				t.Errorf("%d answers", len(r.wrote))
			}
		})
	}
}

// TestTerminalFails checks that a lack of descriptors fails the start and leaves nothing behind.
func TestTerminalFails(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	w := newWorldWith(t, options{maxFDs: int(limit.Cur)})
	r := &run{host: w.host}
	w.do(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limitFor(t, 1), Max: limit.Max}); err != nil {
			t.Error(err)
		}
		r.Worker = workers.New(w.host, w.starter, on(command("true")), r)
	})
	w.finish(r)
	w.do(func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) })
	if want := (ipc.Refusal{Stage: ipc.StageProgram, Errno: unix.EMFILE}); r.failure != want {
		t.Errorf("%+v, want %+v", r.failure, want)
	}
	w.run(on(command("true"))).want("exit 0")
	w.run(on(command("/nonexistent"))).want("failed 1 ENOENT")
}
