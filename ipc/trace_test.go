package ipc

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestTrace: each message is a line at both ends, with kind, length and number of descriptors, and
// without contents.
func TestTrace(t *testing.T) {
	a, b := pair(t)
	var log bytes.Buffer
	Trace(a, slog.New(slog.NewTextHandler(&log, nil)), "nobody") // at info: not wanted
	buf := make([]byte, MaxPacket)
	pass := func() {
		if err := a.Send(Append(nil, Stop{Reason: "s3cret"}), time.Second, pipes(t, 2)...); err != nil {
			t.Fatal(err)
		}
		_, fds, err := b.Recv(buf, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		CloseAll(fds)
	}
	if pass(); log.Len() > 0 {
		t.Errorf("not wanted: %s", log.String())
	}
	all := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: LevelTrace}))
	Trace(a, all, "child")
	Trace(b, all, "main")
	pass()
	_, _, _ = b.TryRecv(buf) // an empty read is not a message
	const rest = " kind=stop bytes=11 descriptors=2\n"
	text := log.String()
	if strings.Count(text, "\n") != 2 || !strings.Contains(text, `msg="message sent" with=child`+rest) ||
		!strings.Contains(text, `msg="message received" with=main`+rest) || strings.Contains(text, "s3cret") {
		t.Error(text)
	}
}

func TestKindsHaveNames(t *testing.T) {
	for _, m := range every {
		if name := m.kind().String(); strings.HasPrefix(name, "kind ") {
			t.Errorf("%T has no name", m)
		}
	}
	if len(kindNames) != kinds() || Kind(200).String() != "kind 200" {
		t.Errorf("%d names, %d kinds", len(kindNames), kinds())
	}
}

// TestNoTraceAllocatesNothing: without a trace a message costs no allocation at either end.
func TestNoTraceAllocatesNothing(t *testing.T) {
	a, b := pair(t)
	packet, buf := Append(nil, Beat{}), make([]byte, MaxPacket)
	if got := testing.AllocsPerRun(100, func() {
		if a.TrySend(packet) != nil {
			t.Fatal("cannot send")
		}
		if _, _, err := b.TryRecv(buf); err != nil {
			t.Fatal(err)
		}
	}); got != 0 {
		t.Error(fmt.Sprint(got, " allocations"))
	}
}
