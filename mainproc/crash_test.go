package mainproc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"

	"golang.org/x/sys/unix"
)

// frame reads the next frame that is not a tick: a message to a name.
func (p *peer) frame(t *testing.T) string {
	t.Helper()
	for {
		head, err := p.Peek(dist.HeaderSize)
		if err != nil {
			t.Fatal(err)
		}
		n, _ := dist.FrameLen(head)
		b := make([]byte, dist.HeaderSize+n)
		if _, err := io.ReadFull(p.Reader, b); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			var m dist.Message
			err := dist.Parse(b[dist.HeaderSize:], &m)
			term, no := etf.Decode(m.Payload)
			if err := errors.Join(err, no); err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("%v %s %v", m.Op, m.Name, term)
		}
	}
}

// TestCrash: a child is killed and leaves the connection in order. The controller gets the event, a
// respawn is answered, and another child continues. In the end no node requests one.
func TestCrash(t *testing.T) {
	n := newNode(t)
	cfg := n.config()
	cfg.DieTimeout = waitBound
	r := runAlone(t, cfg)
	p, first := n.served(t)
	down := func(after time.Duration) {
		t.Helper()
		if got, want := p.frame(t), fmt.Sprintf("REG_SEND erluv [erluv %s [child_down [signal sigkill] %d]]", first.Link.Node, after.Milliseconds()); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	respawn := func() report {
		t.Helper()
		caller := etf.Pid{Node: "foo@127.0.0.1", ID: 100, Creation: 77}
		b, err := etf.AppendTerm(dist.BeginRegSend(nil, caller, gen.Main), etf.Atom("respawn"))
		if err != nil {
			t.Fatal(err)
		}
		p.tell(t, string(dist.End(b, 0)))
		var got report
		if err := json.Unmarshal([]byte(p.line(t)), &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	p.tell(t, "k")
	down(waitBound)
	second := respawn()
	if !second.Link.Respawned || second.Link.Serial != first.Link.Serial+1 || second.PID == first.PID || second.Link.Creation != first.Link.Creation {
		t.Errorf("first %+v, then %+v", first, second)
	}
	p.tell(t, "k")
	down(waitBound)
	r.stop(errors.New("enough"))
	if got := p.frame(t); !strings.Contains(got, "[stopping shutdown]") {
		t.Error(got)
	}
	p.ends(t)
	_ = p.Close()
	if err := r.wait(t); err != nil {
		t.Error(err)
	}
	if left := children(t); left != "" {
		t.Errorf("processes left: %s", left)
	}
}

// TestCrashNobodyCares: without a respawn erluv ends, with the exit status for that.
func TestCrashNobodyCares(t *testing.T) {
	n := newNode(t)
	cfg := n.config()
	cfg.DieTimeout = time.Millisecond
	r := run(t, cfg)
	p, _ := n.served(t)
	p.tell(t, "k")
	if got := p.frame(t); !strings.Contains(got, "child_down") {
		t.Error(got)
	}
	if got := p.frame(t); !strings.Contains(got, "[stopping die_timeout]") {
		t.Error(got)
	}
	p.ends(t)
	_ = p.Close()
	err := r.wait(t)
	if ExitStatus(err) != 4 || !strings.Contains(err.Error(), "was killed: killed") {
		t.Errorf("status %d: %v", ExitStatus(err), err)
	}
}

// TestSpawnerKilled: a new spawner replaces a killed one, and the child gets it; but not for ever.
func TestSpawnerKilled(t *testing.T) {
	n := newNode(t)
	cfg := n.config()
	cfg.Contain = "group"
	r := runAlone(t, cfg)
	p, got := n.served(t)
	pid, replaced := int(got.Start.SpawnerPID), 0
	for ; replaced < 100; replaced++ { // on a loaded machine one may live for long, which does not count
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		line, err := p.ReadString('\n')
		if err != nil {
			break
		}
		var next, fds int
		if _, err := fmt.Sscanf(line, "spawner: %d %d", &next, &fds); err != nil || next == pid || fds != 1 {
			t.Fatalf("spawner %d with %d descriptors, %v", next, fds, err)
		}
		pid = next
	}
	if replaced < 5 || replaced == 100 {
		t.Errorf("it was replaced %d times", replaced)
	}
	_ = p.Close()
	p, _ = n.served(t) // the child has not left it in order, so the connection is made anew
	p.tell(t, "s")
	p.ends(t)
	if err := r.wait(t); err != nil {
		t.Error(err)
	}
}
