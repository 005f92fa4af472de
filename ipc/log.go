package ipc

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"
)

// LevelTrace is the level below debug, for messages between processes and nodes.
const LevelTrace = slog.LevelDebug - 4

// Logs gives a role the conversation for its log, and the lowest level to send. It comes before the
// message that the role serves with, unless nothing is to be logged. One descriptor comes with it:
// the role's end.
//
// The conversation is separate, so that a flood of lines holds up nothing else. Main reads it at a
// bounded rate, and a role never waits when it is full.
type Logs struct {
	Level slog.Level // from LevelTrace to slog.LevelError
}

// Log is a line of the log.
type Log struct {
	Level      slog.Level
	Text       string
	Attributes []LogAttribute
	Dropped    uint32 // how many earlier lines had no room
}

// LogAttribute is a value in a line.
type LogAttribute struct {
	Name   string // a-z and _
	Value  string
	Number bool // the value is an integer
}

// The bounds of a Log. The writer cuts strings to these lengths, in bytes, and drops attributes
// beyond maxLogValues.
const (
	maxLogText   = 1000
	maxLogName   = 32
	maxLogValue  = 500
	maxLogValues = 16
)

func (w *writer) level(l slog.Level) { w.u8(uint8(min(max(l, LevelTrace), slog.LevelError))) }

func (r *reader) level() slog.Level {
	l := slog.Level(int8(r.u8()))
	if r.err == nil && (l < LevelTrace || l > slog.LevelError) {
		r.err = fmt.Errorf("ipc: no line has the level %d", l)
	}
	return l
}

func (m Logs) write(w *writer) { w.level(m.Level) }

func (m Log) write(w *writer) {
	w.level(m.Level)
	w.cut(m.Text, maxLogText)
	w.u8(uint8(min(len(m.Attributes), maxLogValues)))
	for _, a := range m.Attributes[:min(len(m.Attributes), maxLogValues)] {
		w.cut(a.Name, maxLogName)
		w.cut(a.Value, maxLogValue)
		w.bool(a.Number)
	}
	w.u32(m.Dropped)
}

func readLog(r *reader) Log {
	m := Log{Level: r.level(), Text: r.atMost(maxLogText)}
	for n := r.u8(); n > 0 && r.err == nil; n-- {
		a := LogAttribute{Name: r.atMost(maxLogName), Value: r.atMost(maxLogValue), Number: r.bool()}
		if r.err == nil && !isLogName(a.Name) {
			r.err = fmt.Errorf("ipc: an attribute of a line has the name %q", a.Name)
		}
		m.Attributes = append(m.Attributes, a)
	}
	if r.err == nil && len(m.Attributes) > maxLogValues {
		r.err = fmt.Errorf("ipc: a line with %d attributes", len(m.Attributes))
	}
	m.Dropped = r.u32()
	return m
}

// isLogName reports whether an attribute may have the name. The keys that every line has are
// excluded.
func isLogName(s string) bool {
	for i := range len(s) {
		if (s[i] < 'a' || s[i] > 'z') && s[i] != '_' {
			return false
		}
	}
	return s != "" && !slices.Contains([]string{slog.TimeKey, slog.LevelKey, slog.MessageKey, "role"}, s)
}

// Logger is a role's logger. A caller checks Traces or Debugs before it makes the arguments of such
// a line, so an unwanted line costs only that check.
type Logger struct {
	*slog.Logger
	Traces, Debugs bool // whether such lines are wanted
	lines          *lines
}

// NewLogger returns a logger that sends lines from level on to the conversation, which it then
// owns.
func NewLogger(conn *Conn, level slog.Level) *Logger {
	l := &lines{conn: conn, level: level}
	return &Logger{slog.New(lineHandler{lines: l}), level <= LevelTrace, level <= slog.LevelDebug, l}
}

// NoLogger returns a logger that logs nothing.
func NoLogger() *Logger { return NewLogger(nil, math.MaxInt) }

// Always is Info at any level, for lines that an operator has requested.
func Always(log *slog.Logger, text string, args ...any) {
	r := slog.NewRecord(time.Now(), slog.LevelInfo, text, 0)
	r.Add(args...)
	_ = log.Handler().Handle(context.Background(), r)
}

// Always is Info at any level.
func (l *Logger) Always(text string, args ...any) { Always(l.Logger, text, args...) }

// Flush sends lines that have waited for room.
func (l *Logger) Flush() {
	l.lines.mu.Lock()
	defer l.lines.mu.Unlock()
	l.lines.flush()
}

// maxKept is how many lines of level info and above wait for room in the conversation. They take 2
// MiB at worst.
const maxKept = 256

// lines is a role's end of the conversation. A goroutine that logs holds mu.
type lines struct {
	level slog.Level

	mu      sync.Mutex
	conn    *Conn // nil: nothing is logged
	buf     []byte
	kept    [][]byte
	dropped uint32
}

// send sends a line, and never waits.
func (l *lines) send(m Log) {
	if l.conn == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	m.Dropped = l.dropped
	l.buf = Append(l.buf[:0], m)
	switch {
	case len(l.kept) == 0 && l.conn.TrySend(l.buf) == nil:
		l.dropped = 0
	case m.Level >= slog.LevelInfo && len(l.kept) < maxKept:
		l.kept = append(l.kept, slices.Clone(l.buf))
		l.dropped = 0
	case l.dropped < math.MaxUint32:
		l.dropped++
	}
}

func (l *lines) flush() {
	for len(l.kept) > 0 && l.conn.TrySend(l.kept[0]) == nil {
		l.kept = l.kept[1:]
	}
	if len(l.kept) == 0 {
		l.kept = nil
	}
}

// lineHandler turns the records of a slog.Logger into lines.
type lineHandler struct {
	*lines
	group string // prefix of the names, with _
	has   []LogAttribute
}

func (h lineHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

func (h lineHandler) Handle(_ context.Context, r slog.Record) error {
	m := Log{Level: r.Level, Text: r.Message, Attributes: slices.Clip(h.has)}
	r.Attrs(func(a slog.Attr) bool {
		m.Attributes = appendAttribute(m.Attributes, h.group, a)
		return len(m.Attributes) < maxLogValues
	})
	h.send(m)
	return nil
}

func (h lineHandler) WithAttrs(list []slog.Attr) slog.Handler {
	h.has = slices.Clip(h.has)
	for _, a := range list {
		h.has = appendAttribute(h.has, h.group, a)
	}
	return h
}

func (h lineHandler) WithGroup(name string) slog.Handler {
	h.group += name + "_"
	return h
}

func appendAttribute(list []LogAttribute, group string, a slog.Attr) []LogAttribute {
	v := a.Value.Resolve()
	is := LogAttribute{Name: group + a.Key, Value: v.String()}
	switch v.Kind() {
	case slog.KindInt64, slog.KindUint64:
		is.Number = true
	case slog.KindGroup:
		for _, a := range v.Group() {
			list = appendAttribute(list, is.Name+"_", a)
		}
		return list
	}
	if !isLogName(is.Name) {
		return list
	}
	return append(list, is)
}

// Attr returns the attribute for main's own logger. printable converts the value.
func (a LogAttribute) Attr(printable func(string) string) slog.Attr {
	if a.Number {
		if n, err := strconv.ParseInt(a.Value, 10, 64); err == nil {
			return slog.Int64(a.Name, n)
		}
	}
	return slog.String(a.Name, printable(a.Value))
}
