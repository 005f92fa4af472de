package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"erluv/wire/client"
	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

// TestTTY: raw mode starts and ends more than once. Files that are not terminals are not changed.
func TestTTY(t *testing.T) {
	lower := openTerminal(t)
	fd := int(lower.Fd())
	modes := func() unix.Termios {
		now, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		return *now
	}
	before := modes()
	x := &tty{in: fd, out: fd}
	if _, _, err := x.size(); !errors.Is(err, errNoSize) {
		t.Errorf("a terminal without a size: %v", err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 3, Col: 4}); err != nil {
		t.Fatal(err)
	}
	if rows, cols, err := x.size(); rows != 3 || cols != 4 || err != nil {
		t.Error(rows, cols, err)
	}
	x.restore()
	if modes() != before {
		t.Error("it is changed before it was raw")
	}
	for range 2 {
		for range 2 {
			if err := x.makeRaw(); err != nil || !x.isRaw() || modes().Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 {
				t.Errorf("it is not raw: %v", err)
			}
		}
		x.restore()
		x.restore()
		if modes() != before || x.isRaw() {
			t.Error("the modes are not restored")
		}
	}
	if err := x.makeRaw(); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if recover() != "a bug" || modes() != before {
				t.Error("a panic leaves it raw, or does not go on")
			}
		}()
		defer x.rescue()
		panic("a bug")
	}()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if isTerminal(null) || !isTerminal(lower) {
		t.Error("what is a terminal is not known")
	}
	if err := (&tty{in: int(null.Fd())}).makeRaw(); err == nil {
		t.Error("what is no terminal is raw")
	}
	var none *tty
	none.restore()
	if none.isRaw() {
		t.Error("no terminal is raw")
	}
}

// statusOf returns the exit status for an error.
func statusOf(err error) int {
	var b strings.Builder
	return status(ofExec(err), "erluv exec", &b)
}

func TestEnded(t *testing.T) {
	for _, c := range []struct {
		end  etf.Tuple
		want int
	}{
		{etf.Tuple{etf.Atom("exit_status"), int64(0)}, 0},
		{etf.Tuple{etf.Atom("exit_status"), int64(255)}, 255},
		{etf.Tuple{etf.Atom("signal"), etf.Atom("sigkill")}, 137},
		{etf.Tuple{etf.Atom("signal"), etf.Atom("sigsegv"), etf.Atom("core")}, 139},
		{etf.Tuple{etf.Atom("signal"), int64(40)}, 168},
		{etf.Tuple{etf.Atom("what"), int64(1)}, 255},
	} {
		if got := statusOf(ended(c.end)); got != c.want {
			t.Errorf("%v: %d, want %d", c.end, got, c.want)
		}
	}
}

func TestNotStarted(t *testing.T) {
	for _, c := range []struct {
		reason etf.Term
		want   int
		words  string
	}{
		{etf.Atom("enoent"), 127, "no program"},
		{etf.Atom("eacces"), 126, "cannot be executed"},
		{etf.Tuple{etf.Atom("class"), etf.Atom("required")}, 125, "run = classes"},
		{etf.Tuple{etf.Atom("node_not_ready"), etf.Atom("standby")}, 125, "standby"},
		{etf.Atom("child_down"), 125, "no child"},
		{etf.Tuple{etf.Atom("bad_option"), etf.Atom("cd"), etf.Binary("why")}, 125, "bad_option"},
		{etf.Atom("max_workers"), 125, "max_workers"},
	} {
		err := notStarted("p", c.reason)
		if got := statusOf(err); got != c.want || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%v: %d, %v", c.reason, got, err)
		}
	}
	if got := statusOf(usageError{errors.New("x")}); got != statusNotStarted {
		t.Errorf("a usage error: %d", got)
	}
}

// TestExitOf reads rex's answers for calls that have no answer.
func TestExitOf(t *testing.T) {
	exit := func(reason etf.Term) etf.Term {
		return etf.Tuple{etf.Atom("EXIT"), etf.Tuple{reason, etf.Tuple{etf.Atom("gen_server"), etf.Atom("call"), etf.List{}}}}
	}
	for _, c := range []struct {
		bad  etf.Term
		want string
	}{
		{exit(etf.Tuple{etf.Atom("nodedown"), etf.Atom("e@h")}), "it is not connected any more"},
		{exit(etf.Atom("noconnection")), "it is not connected any more"},
		{exit(etf.Atom("timeout")), errSilent.Error()},
		{exit(etf.Atom("noproc")), "there is no such process"},
		{etf.Atom("what"), "the process has ended: what"},
	} {
		if err := exitOf(c.bad); err.Error() != c.want {
			t.Errorf("%v: %v", c.bad, err)
		}
	}
	var no *client.Exit
	if !errors.As(exitOf(exit(etf.Atom("child_crashed"))), &no) || no.Reason != etf.Atom("child_crashed") {
		t.Error("a crash is not told as an exit")
	}
}

func TestUnique(t *testing.T) {
	pair := func(name, value string) etf.Pair { return etf.Pair{Key: etf.Binary(name), Value: etf.Binary(value)} }
	got := unique(etf.Map{pair("A", "1"), pair("B", "2"), pair("A", "3")})
	if len(got) != 2 || string(got[0].Value.(etf.Binary)) != "3" {
		t.Errorf("%v", got)
	}
}

// TestCommandsOfDocuments: erluv's command lines in README.md, doc/*.md and the packages' README.md,
// such as those of doc/cluster.md, have commands and flags that there are.
func TestCommandsOfDocuments(t *testing.T) {
	var c command
	root, err := c.root()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, pattern := range []string{"../../*.md", "../../doc/*.md", "../../*/README.md"} {
		documents, err := filepath.Glob(pattern)
		if err != nil || len(documents) == 0 {
			t.Fatal(documents, err)
		}
		for _, document := range documents {
			text, err := os.ReadFile(document)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile("(?m)(?:`|sudo |^ *\\$ )erluv ((?:-|[a-z])[^`\n]*)").FindAllStringSubmatch(string(text), -1) {
				words := strings.Fields(m[1])
				cmd, _, err := root.Find(words[:1])
				if strings.HasPrefix(words[0], "-") || slices.Contains([]string{"child", "stage", "has"}, words[0]) {
					cmd, err = root, nil // the command run; roles; words of the log
				} else if cmd == root {
					t.Errorf("%s: erluv %s is no command", document, m[1])
				}
				if err != nil {
					t.Errorf("%s: erluv %s: %v", document, m[1], err)
					continue
				}
				seen++
				own, _, _ := strings.Cut(m[1], " -- ")
				own, _, _ = strings.Cut(own, " | ")
				for _, flag := range regexp.MustCompile(`--([a-z-]+)`).FindAllStringSubmatch(own, -1) {
					if cmd.Flags().Lookup(flag[1]) == nil && flag[1] != "help" {
						t.Errorf("%s: erluv %s: no flag --%s", document, m[1], flag[1])
					}
				}
			}
		}
	}
	if seen < 60 {
		t.Errorf("documents have %d command lines", seen)
	}
}

// TestOperatingDocument: the commands and flags of doc/operating.md exist, and its tables and texts
// are those of the commands.
func TestOperatingDocument(t *testing.T) {
	text, err := os.ReadFile("../../doc/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	var c command
	root, err := c.root()
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, m := range regexp.MustCompile("(?:`|sudo |^\\$ )erluv ([a-z]+)([^`\n]*)").FindAllStringSubmatch(string(text), -1) {
		cmd, _, err := root.Find([]string{m[1]})
		if err != nil || cmd == root {
			if !strings.HasPrefix(m[0], "`erluv has no child") {
				t.Errorf("%q is no command", m[0])
			}
			continue
		}
		seen = append(seen, m[1])
	}
	for _, cmd := range []string{"ps", "info", "status", "signal", "stop", "drain", "exec"} {
		if !slices.Contains(seen, cmd) {
			t.Errorf("the document has no %s", cmd)
		}
	}
	headers := regexp.MustCompile("(?m)^ +(PROGRAM  .*)$").FindAllStringSubmatch(string(text), -1)
	if len(headers) != 2 {
		t.Fatalf("the document has %d tables of programs", len(headers))
	}
	for i, want := range [][]string{psColumns, columns} {
		if got := strings.Fields(headers[i][1]); !slices.Equal(got, want) {
			t.Errorf("the document has the columns %q, the command %q", got, want)
		}
	}
	var source strings.Builder
	for _, file := range []string{"operator.go", "exec.go", "hosts.go"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(b)
	}
	_, table, _ := strings.Cut(string(text), "| what you see | what it means |")
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(table, -1)
	for _, row := range rows {
		words := strings.TrimSuffix(row[1], ", standby") // a verb prints the state
		if !strings.Contains(source.String(), words) {
			t.Errorf("no command says %q", words)
		}
	}
	if len(rows) < 5 {
		t.Errorf("there are %d rows", len(rows))
	}
}
