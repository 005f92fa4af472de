package childproc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"erluv/wire/etf"
	"erluv/wire/gen"
)

// fds is the option fds, with pairs of numbers and values.
func fds(pairs ...any) etf.Pair {
	var m etf.Map
	for i := 0; i < len(pairs); i += 2 {
		m = append(m, etf.Pair{Key: int64(pairs[i].(int)), Value: pairs[i+1]})
	}
	return opt("fds", m)
}

// about collects the messages about one stream up to its end.
func (n *node) about(w, to etf.Pid, s etf.Term) string {
	n.t.Helper()
	var b strings.Builder
	for {
		tu, ok := n.message(to).(etf.Tuple)
		if !ok || len(tu) != 2 || tu[0] != w {
			n.t.Fatalf("not expected: %v", tu)
		}
		ev, ok := tu[1].(etf.Tuple)
		if !ok || ev[0] != s {
			n.t.Fatalf("%q, then not expected: %v", b.String(), tu)
		}
		data, ok := ev[1].(etf.Binary)
		if !ok {
			return b.String() + fmt.Sprint(ev[1])
		}
		b.Write(data)
	}
}

func TestFurtherDescriptors(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			n := startChild(t, mode)
			other := n.pid()
			w := n.spawn([]string{"sh", "-c", "cat <&9 >&3; exec 3>&-; echo end >&4; exec 4>&-; cat >/dev/null"},
				fds(9, atoms("pipe", "in"), 3, etf.Atom("pipe"), 4, etf.Tuple{etf.Atom("pid"), other}, 7, etf.Atom("null")))
			write := func(fd int64, data string) etf.Term {
				return n.workerCall(w, etf.Tuple{etf.Atom("write"), fd, etf.List{etf.Binary(data)}})
			}
			same(t, write(9, "abc"), etf.Atom("ok"))
			n.expect(etf.Tuple{w, etf.Tuple{int64(3), etf.Binary("abc")}})
			for _, fd := range []int64{0, 1, 3, 4, 7, 8, 256, 1 << 40} {
				same(t, write(fd, "x"), gen.Error(etf.Atom("ebadf")))
			}
			same(t, n.workerCall(w, etf.Tuple{etf.Atom("close"), int64(3)}), gen.Error(etf.Atom("ebadf")))
			info := fmt.Sprint(n.workerCall(w, etf.Atom("info")))
			if want := "{fds [{9 [{open true} {bytes 3}]} {3 [{open true} {bytes 3} {held false}]} {4 [{open true} {bytes 0} {held false}]}]}"; !strings.Contains(info, want) {
				t.Errorf("no %s in %s", want, info)
			}
			same(t, n.workerCall(w, etf.Tuple{etf.Atom("close"), int64(9)}), etf.Atom("ok"))
			if got := n.about(w, n.self, int64(3)); got != "eof" {
				t.Errorf("descriptor 3: %q", got)
			}
			if got := n.about(w, other, int64(4)); got != "end\neof" {
				t.Errorf("descriptor 4: %q", got)
			}
			same(t, write(9, "x"), gen.Error(etf.Atom("epipe")))
		})
	}
}

// TestDescriptorsOfAProgram checks that a program has exactly the requested descriptors and files.
func TestDescriptorsOfAProgram(t *testing.T) {
	n := startChild(t, nil)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	must(t, os.WriteFile(in, []byte("from a file\n"), 0o600))
	file := func(path string, opts ...etf.Term) etf.Tuple {
		return etf.Tuple{etf.Atom("file"), etf.Binary(path), etf.List(opts)}
	}
	for _, more := range [][]etf.Pair{nil, {opt("oom_score_adj", int64(900))}} { // by the role become too
		got := n.runs("ls /proc/$$/fd; cat <&8; echo to a file >&5; echo into nothing >&6",
			append(more, fds(8, file(in, etf.Atom("read")), 5, file(out, etf.Atom("append")), 6, etf.Atom("null"), 255, etf.Atom("null")))...)
		if want := "0\n1\n2\n255\n5\n6\n8\nfrom a file\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	b, err := os.ReadFile(out)
	if err != nil || string(b) != "to a file\nto a file\n" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestReadFurtherDescriptor checks that packets and reads on demand work for further descriptors.
func TestReadFurtherDescriptor(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"sh", "-c", `printf 'a\nb\nrest' >&3`}, fds(3, etf.Atom("pipe")), flow(etf.Atom("false")), opt("packet", etf.Atom("line")))
	read := func() etf.Term { return n.workerCall(w, etf.Tuple{etf.Atom("read"), int64(3), int64(100)}) }
	for _, want := range []etf.Term{gen.OK(text("a\n")), gen.OK(text("b\n")), gen.OK(text("rest")), etf.Atom("eof")} {
		same(t, read(), want)
	}
	n.expect(etf.Tuple{w, etf.Tuple{etf.Atom("exit_status"), int64(0)}})
}

// TestDescriptorsAfterARestart checks that a restarted program has its descriptors again.
func TestDescriptorsAfterARestart(t *testing.T) {
	n := startChild(t, nil)
	w := n.spawn([]string{"sh", "-c", "read x <&4; echo got $x >&3"},
		fds(3, etf.Atom("pipe"), 4, atoms("pipe", "in")), opt("stdout", etf.Atom("null")), opt("stderr", etf.Atom("null")),
		opt("restart", etf.Atom("permanent")), opt("backoff", etf.Tuple{int64(0), int64(0)}))
	for i := range 3 {
		same(t, n.workerCall(w, etf.Tuple{etf.Atom("write"), int64(4), etf.Binary("x\n")}), etf.Atom("ok"))
		if got := n.about(w, n.self, int64(3)); got != "got x\neof" {
			t.Fatalf("run %d: %q", i, got)
		}
		n.expect(etf.Tuple{w, etf.Tuple{etf.Atom("exit_status"), int64(0)}})
		if tu := n.message(n.self).(etf.Tuple)[1].(etf.Tuple); tu[0] != etf.Atom("restarted") {
			t.Fatalf("instead of a restart: %v", tu)
		}
	}
}

func TestDescriptorsThatCannotBeHad(t *testing.T) {
	n := startChild(t, nil)
	answer := n.call(etf.Tuple{
		etf.Atom("spawn"),
		etf.List{etf.Binary("true")},
		etf.Map{fds(3, etf.Atom("null"), 17, etf.Tuple{etf.Atom("file"), etf.Binary("/no/such")})},
	})
	same(t, answer, gen.Error(etf.Tuple{int64(17), etf.Atom("enoent")}))
}
