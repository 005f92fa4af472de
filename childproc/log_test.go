package childproc

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"erluv/childproc/peer"
	"erluv/ipc"
	"erluv/wire/dist"
	"erluv/wire/etf"
)

// heardLog is main's end of a child's log.
type heardLog struct {
	t     *testing.T
	conn  *ipc.Conn
	lines []string
}

// startLogging runs a child that logs from a level on.
func startLogging(t *testing.T, level slog.Level) (*node, *heardLog) {
	t.Helper()
	ours, theirs, err := ipc.Pair()
	must(t, err)
	testLog = ipc.NewLogger(theirs, level)
	defer func() { testLog = nil }()
	t.Cleanup(func() {
		_ = ours.Close()
		_ = theirs.Close()
	})
	return startChild(t, nil), &heardLog{t: t, conn: ours}
}

// read reads the lines that are there.
func (h *heardLog) read() {
	h.t.Helper()
	buf := make([]byte, ipc.MaxPacket)
	for {
		n, _, err := h.conn.TryRecv(buf)
		if errors.Is(err, ipc.ErrEmpty) {
			return
		}
		must(h.t, err)
		m, err := ipc.Decode(buf[:n])
		must(h.t, err)
		line := m.(ipc.Log)
		text := fmt.Sprint(line.Level, ": ", line.Text)
		for _, a := range line.Attributes {
			text += " " + a.Name + "=" + a.Value
		}
		h.lines = append(h.lines, text)
	}
}

// has waits for a line with all words.
func (h *heardLog) has(words ...string) {
	h.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		h.read()
	lines:
		for _, line := range h.lines {
			for _, word := range words {
				if !strings.Contains(line, word) {
					continue lines
				}
			}
			return
		}
		if time.Now().After(end) {
			h.t.Fatalf("no line has %q:\n%s", words, strings.Join(h.lines, "\n"))
		}
	}
}

const secret = "s3cret"

// TestProgramsAreLogged checks that starts and ends are logged at debug, with the first word of the
// command alone.
func TestProgramsAreLogged(t *testing.T) {
	n, log := startLogging(t, slog.LevelDebug)
	w := n.spawn([]string{"sh", "-c", "echo " + secret + "; exit 3"}, opt("env", etf.Map{opt(secret, etf.Binary(secret))}))
	n.collect(w)
	log.has("DEBUG: a program was started", "program=sh ", "user=tester", "os_pid=")
	log.has("DEBUG: a program has ended", "program=sh ", "status=3")
	w = n.spawn([]string{"sleep", "1000"})
	n.write(dist.AppendExit2(nil, n.self, w, etf.Raw(etf.AppendAtom(nil, "kill"))))
	n.collect(w)
	log.has("DEBUG: a program was killed", "program=sleep ", "signal=9")
	n.call(etf.Tuple{etf.Atom("spawn"), etf.List{etf.Binary("no_such_program"), etf.Binary(secret)}, etf.Map(nil)})
	log.has("DEBUG: a program could not be started", "program=no_such_program ", "no such file")
	for _, line := range log.lines {
		if strings.Contains(line, secret) || strings.Contains(line, "TRACE") || strings.Contains(line, "control message") {
			t.Errorf("at debug it says %q", line)
		}
	}
}

// TestRefusedFramesSayWhy checks that reasons for refused frames are logged within a bound. The
// count must stay exact.
func TestRefusedFramesSayWhy(t *testing.T) {
	n, log := startLogging(t, slog.LevelDebug)
	frame := func(body string) { n.write(append([]byte{0, 0, 0, byte(len(body))}, body...)) }
	frame("junk " + secret)
	log.has("DEBUG: a frame was refused", "node="+testTarget, "bytes=11", "does not begin as a control message does")
	frame("\x70\x83\x68\x01\x61\x63")
	log.has("control message 99 is not known")
	frame("\x70\x83\x68\x02\x61\x01\x61\x01")
	log.has("LINK: wrong number of elements")
	stranger := etf.Pid{Node: "other@host", ID: 1, Creation: 1}
	n.write(dist.AppendLink(nil, stranger, n.m.self))
	log.has("from a process of another node", "op=LINK", "other@host")
	n.write(dist.AppendMonitor(nil, stranger, n.m.self, etf.AppendNewRef(nil, "other@host", 1, 1, 2, 3)))
	log.has("from a process of another node", "op=MONITOR_P")
	size := peer.MaxFrame + 1
	n.write(append([]byte{byte(size >> 24), byte(size >> 16), byte(size >> 8), byte(size)}, make([]byte, size)...))
	log.has("it is too large", fmt.Sprint("bytes=", size))
	const flood = 20_000
	for range flood {
		frame("junk")
	}
	same(t, n.call(etf.Tuple{etf.Atom("info"), etf.Atom("refused_frames")}), int64(6+flood))
	log.read()
	if len(log.lines) > 3000 || len(log.lines) < 100 {
		t.Errorf("%d lines of a flood", len(log.lines))
	}
	if text := strings.Join(log.lines, "\n"); strings.Contains(text, secret) {
		t.Error("contents are in the log")
	}
}

// TestControlMessagesAreTraced checks for one line for each control message in both directions,
// without content.
func TestControlMessagesAreTraced(t *testing.T) {
	n, log := startLogging(t, ipc.LevelTrace)
	w := n.spawn([]string{"cat"})
	n.toName("erluv", etf.Binary(secret))
	n.call(etf.Binary(secret))
	n.workerCall(w, etf.Tuple{etf.Atom("write"), etf.Binary(secret)})
	n.write(dist.AppendExit2(nil, n.self, w, etf.Raw(etf.AppendAtom(nil, secret))))
	n.collect(w)
	us, them := fmt.Sprintf("<%s.", testNode), fmt.Sprintf("<%s.%d.%d>", testTarget, n.self.ID, n.self.Serial)
	log.has("control message received", "node="+testTarget, "op=REG_SEND", "from="+them, "to=erluv", "bytes=")
	log.has("control message received", "op=SEND", "to="+us)
	log.has("control message received", "op=PAYLOAD_EXIT2", "from="+them, "to="+us)
	log.has("control message sent", "op=REG_SEND", "to=erluv")
	log.has("control message sent", "op=SEND", "to="+them)
	log.has("control message sent", "op=MONITOR_P", "from="+us, "to="+them)
	sent, want := 0, 0
	for _, line := range log.lines {
		if strings.Contains(line, secret) {
			t.Errorf("it says %q", line)
		}
		if strings.Contains(line, "control message sent op=MONITOR_P ") {
			sent++
		}
	}
	if want = 1; sent != want {
		t.Errorf("%d lines for the %d monitor that was sent", sent, want)
	}
}

// TestNoLogCostsNothing checks that an unwanted line allocates nothing on the way of a message.
func TestNoLogCostsNothing(t *testing.T) {
	pl := play(t)
	pl.c.refuseFrame("warm", "bytes", 1)
	if got := testing.AllocsPerRun(1000, func() {
		pl.m.logStarted(pl.p)
		pl.c.refuseFrame("why", "bytes", 1)
	}); got != 0 {
		t.Errorf("%v allocations for lines that nobody wants", got)
	}
}
