package childproc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"erluv/childproc/order"
	"erluv/ipc/journal"
	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"golang.org/x/sys/unix"
)

// TestRunsAtOnce checks that runs wait for each other if they collect more than the budget
// together. The node, which does not read, is owed more than the outbox holds.
func TestRunsAtOnce(t *testing.T) {
	n := startChild(t, nil)
	fifo := filepath.Join(t.TempDir(), "over")
	must(t, unix.Mkfifo(fifo, 0o600))
	const size = 14 << 20
	var tags []etf.Raw
	for range journal.OutSize/size + 2 {
		cmd := etf.Binary("head -c 14680064 /dev/zero; echo > " + fifo)
		tags = append(tags, n.ask(func(m etf.Term) { n.toName("erluv", m) }, etf.Tuple{etf.Atom("run"), cmd, etf.Map{}}))
	}
	over, err := os.OpenFile(fifo, os.O_RDWR, 0) // never at its end
	must(t, err)
	defer over.Close()
	must(t, over.SetReadDeadline(time.Now().Add(patience)))
	for range collectedMax / order.MaxOutput { // as many as fit if each collects the most
		_, err := over.Read(make([]byte, 1))
		must(t, err)
	}
	for range tags {
		m := n.recv()
		for m.Op == dist.MonitorP || m.Op == dist.DemonitorP {
			m = n.recv()
		}
		v, err := etf.Decode(m.Payload)
		must(t, err)
		tu, ok := v.(etf.Tuple)
		if !ok || len(tu) != 2 {
			t.Fatal(show(m))
		}
		answer, ok := tu[1].(etf.Tuple)
		if !ok || answer[0] != etf.Atom("ok") {
			t.Fatalf("%.100v", tu[1])
		}
		for _, p := range answer[1].(etf.Map) {
			if b, ok := p.Value.(etf.Binary); ok && p.Key == etf.Atom("stdout") && len(b) != size {
				t.Errorf("%d bytes", len(b))
			}
		}
	}
}

// TestAnswersAtOnce checks that requests in one piece are not all answered at once if the answers
// exceed the outbox. None may be left behind.
func TestAnswersAtOnce(t *testing.T) {
	n := startChild(t, nil)
	const workers, calls = 50, 3000
	for range workers {
		n.spawn([]string{"sh", "-c", "exec sleep 1000; " + strings.Repeat("long ", 1000)})
	}
	one := len(gen.Encode(n.call(etf.Atom("workers"))))
	if one*calls < journal.OutSize {
		t.Fatalf("an answer has %d bytes only", one)
	}
	var b []byte
	for i := range calls {
		call, err := etf.AppendTerm(dist.BeginRegSend(nil, n.self, "erluv"),
			etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{n.self, int64(i)}, etf.Atom("workers")})
		must(t, err)
		b = append(b, dist.End(call, 0)...)
	}
	done := make(chan error, 1)
	go func() { // ends when all is written, or with the connection
		_, err := n.conn.Write(b)
		done <- err
	}()
	for i := range calls {
		m := n.recv()
		r := etf.NewReader(m.Payload)
		if k, err := r.Tuple(); err != nil || k != 2 {
			t.Fatal(show(m))
		}
		if tag, err := r.Raw(); err != nil || string(tag) != string(gen.Encode(int64(i))) {
			t.Fatalf("instead of the answer %d: %s", i, show(m))
		}
	}
	must(t, <-done)
}
