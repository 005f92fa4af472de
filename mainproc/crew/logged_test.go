package crew

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"erluv/ipc"

	"golang.org/x/sys/unix"
)

// locked is a buffer for a logger.
type locked struct {
	sync.Mutex
	bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.Buffer.Write(p)
}

func (l *locked) String() string {
	l.Lock()
	defer l.Unlock()
	return l.Buffer.String()
}

// logging starts a role that runs line. It returns the role's end of its log, and main's log.
func logging(t *testing.T, level slog.Level, line string) (p *process, log *ipc.Conn, written *locked) {
	t.Helper()
	p, written = shell(t, ipc.RoleChild, line), &locked{}
	ours, theirs, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	p.conn, p.log = ours, slog.New(slog.NewJSONHandler(written, &slog.HandlerOptions{Level: level}))
	if err := p.giveLog(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, ipc.MaxPacket)
	n, fds, err := theirs.Recv(buf, waitBound)
	if err != nil || len(fds) != 1 {
		t.Fatal(err, fds)
	}
	if m, err := ipc.Decode(buf[:n]); err != nil || m != ipc.Message(ipc.Logs{Level: level}) {
		t.Fatalf("%v, %v", m, err)
	}
	if log, err = ipc.FromFD(fds[0]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.logged.close()
		_ = log.Close()
		_ = ours.Close()
		_ = theirs.Close()
	})
	return p, log, written
}

// eventually waits until something is true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(waitBound); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

// TestRolesLog: a role's line is a line of main's log, at the same level, with the role's name. Its
// own claims of identity do not count.
func TestRolesLog(t *testing.T) {
	p, conn, written := logging(t, slog.LevelWarn, "exec sleep 1000")
	log := ipc.NewLogger(conn, slog.LevelWarn)
	log.With("user", "a\nb").Warn("bell\a", "os_pid", 7, "role", "main")
	log.Always("asked for")
	eventually(t, "both lines", func() bool { return strings.Count(written.String(), "\n") == 2 })
	var lines []map[string]any
	for text := range strings.Lines(written.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		delete(line, "time")
		lines = append(lines, line)
	}
	want := []map[string]any{
		{"level": "WARN", "msg": "bell?", "role": "child", "user": "a?b", "os_pid": 7.0},
		{"level": "INFO", "msg": "asked for", "role": "child"},
	}
	if fmt.Sprint(lines) != fmt.Sprint(want) {
		t.Errorf("%v\nwant %v", lines, want)
	}
	if p.ended(0) {
		t.Error("it was ended for it")
	}
}

// TestRolesLogLines: a role that sends anything but lines is ended.
func TestRolesLogLines(t *testing.T) {
	for name, packet := range map[string][]byte{
		"another message":          ipc.Append(nil, ipc.Beat{}),
		"no message":               {0xff},
		"a line that is not whole": ipc.Append(nil, ipc.Log{Text: "x"})[:4],
	} {
		p, conn, written := logging(t, slog.LevelInfo, "exec sleep 1000")
		if err := conn.Send(packet, waitBound); err != nil {
			t.Fatal(err)
		}
		if !p.ended(waitBound) {
			t.Errorf("%s: it lives on", name)
		}
		eventually(t, "the reason", func() bool { return strings.Contains(written.String(), "cannot be relied on") })
	}
	p, conn, _ := logging(t, slog.LevelInfo, "exec sleep 1000")
	_ = conn.Send(ipc.Append(nil, ipc.Log{Text: "x"}), waitBound, conn.FD())
	if err := conn.Send([]byte{1}, time.Second); err == nil && !p.ended(waitBound) {
		t.Error("descriptors are taken") // where the kernel does not refuse to send them
	}
}

// TestLastLines: the last lines of a role are logged, even if another process still has its end.
func TestLastLines(t *testing.T) {
	p, conn, written := logging(t, slog.LevelInfo, "exec sleep 1000")
	log := ipc.NewLogger(conn, slog.LevelInfo)
	for range 100 {
		log.Info("last words")
	}
	p.kill()
	_ = p.reap()
	p.logged.close()
	if n := strings.Count(written.String(), "last words"); n != 100 {
		t.Errorf("%d of 100", n)
	}
	if err := conn.Send([]byte{1}, time.Second); !errors.Is(err, unix.EPIPE) {
		t.Errorf("somebody still listens: %v", err)
	}
	p.logged = nil
}

// TestRolesFlood: a role that floods is read at a bounded rate, and its number of dropped lines is
// logged.
func TestRolesFlood(t *testing.T) {
	_, conn, written := logging(t, slog.LevelInfo, "exec sleep 1000")
	log := ipc.NewLogger(conn, slog.LevelInfo)
	begin := time.Now()
	n := 0
	// On a busy machine the burst alone takes longer than a second.
	for time.Since(begin) < time.Second || n < lineBurst && time.Since(begin) < waitBound {
		for range 1000 {
			log.Info("flood")
		}
		n = strings.Count(written.String(), "flood")
	}
	took := time.Since(begin).Seconds()
	if most := lineBurst + int(lineRate*(took+1)); n < lineBurst || n > most {
		t.Errorf("%d lines in %v s, the bound is %d", n, took, most)
	}
	eventually(t, "how many were dropped", func() bool {
		log.Flush()
		return strings.Contains(written.String(), "dropped_before")
	})
}

func TestPace(t *testing.T) {
	p := pace{rate: 10, burst: 3}
	now := time.Unix(1000, 0)
	for i, want := range []time.Duration{0, 0, 100 * time.Millisecond} {
		if got := p.take(now); got != want {
			t.Errorf("after %d: %v, want %v", i+1, got, want)
		}
	}
	for range 5 { // at its rate
		now = now.Add(100 * time.Millisecond)
		if got := p.take(now); got != 100*time.Millisecond {
			t.Errorf("later %v", got)
		}
	}
	if got := p.take(now.Add(time.Hour)); got != 0 {
		t.Errorf("after a rest %v", got)
	}
}

func TestLevelOf(t *testing.T) {
	for level, want := range map[slog.Level]slog.Level{
		-100: ipc.LevelTrace, ipc.LevelTrace: ipc.LevelTrace, slog.LevelDebug: slog.LevelDebug,
		slog.LevelWarn: slog.LevelWarn, slog.LevelError: slog.LevelError, 100: slog.LevelError,
	} {
		if got := levelOf(slog.New(slog.NewTextHandler(&locked{}, &slog.HandlerOptions{Level: level}))); got != want {
			t.Errorf("%v: %v, want %v", level, got, want)
		}
	}
}
