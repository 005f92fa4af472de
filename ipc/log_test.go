package ipc

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// logged reads the lines that wait at main's end.
func logged(t *testing.T, c *Conn) (list []Log) {
	t.Helper()
	buf := make([]byte, MaxPacket)
	for {
		n, _, err := c.TryRecv(buf)
		if errors.Is(err, ErrEmpty) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		m, err := Decode(buf[:n])
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, m.(Log))
	}
}

func TestLogger(t *testing.T) {
	ours, theirs := pair(t)
	log := NewLogger(theirs, slog.LevelDebug)
	if log.Traces || !log.Debugs {
		t.Errorf("at debug: %+v", log)
	}
	log.Log(t.Context(), LevelTrace, "not wanted")
	log.With("user", "games").Debug("a program", "os_pid", 7, "took", 2*time.Second, "time", "no", "Bad name", 1)
	log.WithGroup("net").Warn("x", slog.Group("peer", "port", uint16(1)))
	log.Always("asked for")
	log.Error("y", "error", errors.New("why"))
	want := []Log{
		{Level: slog.LevelDebug, Text: "a program", Attributes: []LogAttribute{{"user", "games", false}, {"os_pid", "7", true}, {"took", "2s", false}}},
		{Level: slog.LevelWarn, Text: "x", Attributes: []LogAttribute{{"net_peer_port", "1", true}}},
		{Level: slog.LevelInfo, Text: "asked for"},
		{Level: slog.LevelError, Text: "y", Attributes: []LogAttribute{{"error", "why", false}}},
	}
	if diff := cmp.Diff(want, logged(t, ours)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	errors := NewLogger(theirs, slog.LevelError)
	errors.Info("not wanted")
	if errors.Always("asked for"); len(logged(t, ours)) != 1 {
		t.Error("what was asked for depends on the level")
	}
	no := NoLogger()
	no.Error("to nobody")
	no.Always("to nobody")
	no.Flush()
	if no.Traces || no.Debugs {
		t.Error("nobody wants lines")
	}
}

// TestLinesAreBounded: long strings are cut, and attributes beyond the most are left out.
func TestLinesAreBounded(t *testing.T) {
	ours, theirs := pair(t)
	log := NewLogger(theirs, LevelTrace)
	long := strings.Repeat("x", 100_000)
	var args []any
	for range 100 {
		args = append(args, strings.Repeat("n", 100_000), long)
	}
	log.With(args...).Info(long, args...)
	got := logged(t, ours)
	if len(got) != 1 || len(got[0].Text) != maxLogText || len(got[0].Attributes) != maxLogValues || len(got[0].Attributes[15].Value) != maxLogValue {
		t.Fatalf("%d lines: %.2000v", len(got), got)
	}
	if size := len(Append(nil, got[0])); size > 12<<10 {
		t.Errorf("a line has %d bytes", size)
	}
	for name, m := range map[string][]byte{
		"a long text":     append([]byte{byte(KindLog), 0}, Append(nil, Failed{Text: strings.Repeat("x", maxLogText+1)})[1:]...),
		"a level":         Append(nil, Log{})[:1],
		"too high":        {byte(KindLogs), 9},
		"too low":         {byte(KindLogs), 0xf7},
		"a capital":       Append(nil, Log{Attributes: []LogAttribute{{Name: "X"}}}),
		"no name":         Append(nil, Log{Attributes: []LogAttribute{{}}}),
		"the role's name": Append(nil, Log{Attributes: []LogAttribute{{Name: "role"}}}),
		"the time":        Append(nil, Log{Attributes: []LogAttribute{{Name: "time"}}}),
	} {
		if m, err := Decode(m); err == nil {
			t.Errorf("%s is taken: %v", name, m)
		}
	}
	w := writer{[]byte{byte(KindLog), 0, 0, 0, 0, 0, maxLogValues + 1}}
	for range maxLogValues + 1 {
		w.str("n")
		w.str("v")
		w.bool(false)
	}
	w.u32(0)
	if _, err := Decode(w.b); err == nil || !strings.Contains(err.Error(), "with 17 attributes") {
		t.Error(err)
	}
}

// TestFloodOfLines: a role never waits for main. Important lines wait for room, up to a bound.
// Other lines are dropped and counted.
func TestFloodOfLines(t *testing.T) {
	ours, theirs := pair(t)
	log := NewLogger(theirs, LevelTrace)
	const most = 100_000
	for i := range most {
		log.Debug("flood", "number", i)
	}
	for i := range maxKept + 10 {
		log.Warn("matters", "number", i)
	}
	if n := len(log.lines.kept); n != maxKept {
		t.Errorf("%d lines are kept, the bound is %d", n, maxKept)
	}
	var floods, matters, dropped int
	for rounds := 0; ; rounds++ {
		list := logged(t, ours)
		if len(list) == 0 {
			break
		}
		for _, m := range list {
			dropped += int(m.Dropped)
			if m.Text == "flood" {
				floods++
			} else if m.Attributes[0].Value != fmt.Sprint(matters) {
				t.Fatalf("%d comes as %v", matters, m)
			} else {
				matters++
			}
		}
		log.Flush()
	}
	log.Info("after") // has the count of lines dropped at the end
	last := logged(t, ours)
	dropped += int(last[0].Dropped)
	if floods == 0 || matters != maxKept || floods+matters+dropped != most+maxKept+10 {
		t.Errorf("%d of the flood, %d that matter, %d dropped, of %d", floods, matters, dropped, most+maxKept+10)
	}
	log.lines.dropped = math.MaxUint32
	for range 10_000 {
		log.Debug("flood")
	}
	if log.lines.dropped < 1000 {
		t.Error("the count begins anew")
	}
	_ = ours.Close()
	log.Error("to nobody") // that end is gone
}

// TestNoTraceCostsNothing: an unwanted line costs only the caller's check.
func TestNoTraceCostsNothing(t *testing.T) {
	log := NoLogger()
	n := 7
	if got := testing.AllocsPerRun(1000, func() {
		if n++; log.Traces {
			log.Log(t.Context(), LevelTrace, "line", "number", n)
		}
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func TestGreetGivesALogger(t *testing.T) {
	for name, c := range map[string]struct {
		level slog.Level
		give  bool
	}{"none": {}, "at info": {slog.LevelInfo, true}, "at trace": {LevelTrace, true}} {
		t.Run(name, func(t *testing.T) {
			up, mainEnd := pair(t)
			ours, theirs := pair(t)
			if c.give {
				if err := mainEnd.Send(Append(nil, Logs{Level: c.level}), time.Second, theirs.FD()); err != nil {
					t.Fatal(err)
				}
			}
			if err := mainEnd.Send(Append(nil, Start{}), time.Second); err != nil {
				t.Fatal(err)
			}
			m, _, log, err := Greet(up, RoleChild, 0, time.Second)
			if _, ok := m.(Start); !ok || err != nil {
				t.Fatal(m, err)
			}
			log.Info("words")
			if got := len(logged(t, ours)); got == 1 != c.give || log.Traces != (c.give && c.level == LevelTrace) {
				t.Errorf("%d lines, traces %v", got, log.Traces)
			}
			if c.give {
				_ = log.lines.conn.Close()
			}
		})
	}
	up, mainEnd := pair(t)
	_ = mainEnd.Send(Append(nil, Logs{}), time.Second)
	if _, _, _, err := Greet(up, RoleChild, 0, time.Second); err == nil || !strings.Contains(err.Error(), "no conversation for the log") {
		t.Error(err)
	}
	_ = mainEnd.Send(Append(nil, Logs{}), time.Second, 0)
	if _, _, _, err := Greet(up, RoleChild, 0, time.Second); err == nil || !strings.Contains(err.Error(), "is no conversation") {
		t.Error(err)
	}
}
