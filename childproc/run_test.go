package childproc

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"erluv/childproc/order"
	"erluv/wire/dist"
	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

// TestRunsWithoutSpace has runs that hold all memory and do not end, so that others end with
// eagain. Their memory must be given back, and the first must get all of their output.
func TestRunsWithoutSpace(t *testing.T) {
	n := startChild(t, nil)
	dir := t.TempDir()
	fifo := func(name string) *os.File {
		must(t, unix.Mkfifo(filepath.Join(dir, name), 0o600))
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0) // never at its end
		must(t, err)
		must(t, f.SetDeadline(time.Now().Add(patience)))
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	there, goOn := fifo("there"), fifo("go")
	run := func(cmd string) etf.Raw {
		opts := etf.Map{opt("max_output", int64(order.MaxOutput)), opt("cd", etf.Binary(dir))}
		return n.ask(func(m etf.Term) { n.toName("erluv", m) }, etf.Tuple{etf.Atom("run"), etf.Binary(cmd), opts})
	}
	result := func(tag etf.Raw) etf.Tuple {
		m := n.recv()
		for m.Op == dist.MonitorP || m.Op == dist.DemonitorP {
			m = n.recv()
		}
		v, err := etf.Decode(m.Payload)
		must(t, err)
		if tag != nil && !bytes.Equal(v.(etf.Tuple)[0].(etf.Raw), tag) {
			t.Fatalf("the first answer is %.100v", v)
		}
		return v.(etf.Tuple)[1].(etf.Tuple)
	}
	// Two have the whole budget, and one goes on beyond it.
	const holders = collectedMax/order.MaxOutput + 1
	for range holders {
		run("head -c 33000000 /dev/zero; echo >there; read x <go")
		_, err := there.Read(make([]byte, 1))
		must(t, err)
	}
	same(t, result(run("head -c 100000 /dev/zero; sleep 1000")), errorHeld)
	_, err := goOn.Write([]byte("\n\n\n"))
	must(t, err)
	for range holders {
		answer := result(nil)
		if answer[0] != etf.Atom("ok") {
			t.Fatalf("%.100v", answer)
		}
		for _, p := range answer[1].(etf.Map) {
			if b, ok := p.Value.(etf.Binary); ok && p.Key == etf.Atom("stdout") && len(b) != 33_000_000 {
				t.Errorf("%d bytes", len(b))
			}
		}
	}
	if answer := result(run("echo")); answer[0] != etf.Atom("ok") {
		t.Errorf("%v", answer)
	}
}
