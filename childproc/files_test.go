package childproc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"erluv/wire/etf"
)

func rotate(pairs ...etf.Pair) etf.Tuple { return etf.Tuple{etf.Atom("rotate"), etf.Map(pairs)} }

func fileOpt(key, path string, opts ...etf.Term) etf.Pair {
	return opt(key, etf.Tuple{etf.Atom("file"), etf.Binary(path), etf.List(opts)})
}

func TestRotatedFiles(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			n := startChild(t, mode)
			path := filepath.Join(t.TempDir(), "log")
			r := rotate(opt("size", int64(4096)), opt("count", int64(100)))
			// No output is sent, and the option flow does not apply.
			w := n.spawn([]string{"seq", "100000", "110000"}, fileOpt("stdout", path, r, etf.Tuple{etf.Atom("mode"), int64(0o600)}),
				opt("stderr", etf.Atom("null")), flow(etf.Atom("false")))
			n.expect(etf.Tuple{w, etf.Tuple{etf.Atom("exit_status"), int64(0)}})
			var all strings.Builder
			for i := range 101 {
				if b, err := os.ReadFile(fmt.Sprint(path, ".", 100-i)); err == nil {
					all.Write(b)
				}
			}
			b, err := os.ReadFile(path)
			must(t, err)
			all.Write(b)
			if got := strings.Fields(all.String()); len(got) != 10_001 || got[0] != "100000" || got[10_000] != "110000" {
				t.Errorf("%d lines", len(got))
			}
			if got := n.runs("echo more", fileOpt("stdout", path, r)); got != "" {
				t.Errorf("run answers %q too", got)
			}
			if b, err := os.ReadFile(path); err != nil || !strings.HasSuffix(string(b), "110000\nmore\n") {
				t.Errorf("%v, ending in %q", err, b[max(0, len(b)-20):])
			}
		})
	}
}

// TestTroubleWithFiles checks that the owner gets one report of trouble, and the program goes on.
func TestTroubleWithFiles(t *testing.T) {
	n := startChild(t, nil)
	path := filepath.Join(t.TempDir(), "log")
	must(t, os.MkdirAll(path+".1/full", 0o700))
	r := rotate(opt("size", int64(4096)), opt("count", int64(1)))
	w := n.spawn([]string{"sh", "-c", "seq 100000 110000 >&3"}, opt("stdout", etf.Atom("null")), opt("stderr", etf.Atom("null")),
		opt("fds", etf.Map{{Key: int64(3), Value: fileOpt("", path, r).Value}}))
	n.expect(etf.Tuple{w, etf.Tuple{int64(3), atoms("error", "eisdir")}})
	n.expect(etf.Tuple{w, etf.Tuple{etf.Atom("exit_status"), int64(0)}})
	if b, err := os.ReadFile(path); err != nil || len(b) != 7*10_001 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if got := n.runs("seq 100000 110000", fileOpt("stdout", path, r)); got != "" {
		t.Errorf("run answers %q", got)
	}
}
