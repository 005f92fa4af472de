package journald

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// journal is a socket in place of the journal's.
type journal struct{ *net.UnixConn }

func newJournal(t *testing.T, h *Handler) journal {
	t.Helper()
	name := filepath.Join(t.TempDir(), "socket")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	h.to.Name = name
	return journal{conn}
}

// next returns the next line, parsed by the protocol: a list of names and values.
func (j journal) next(t *testing.T) (fields []field) {
	t.Helper()
	if err := j.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2*maxDatagram)
	n, err := j.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	for b = b[:n]; len(b) > 0; {
		end := bytes.IndexByte(b, '\n')
		if name, value, ok := strings.Cut(string(b[:end]), "="); ok {
			fields, b = append(fields, field{name, value}), b[end+1:]
			continue
		}
		size := binary.LittleEndian.Uint64(b[end+1:])
		value := b[end+9:][:size]
		fields, b = append(fields, field{string(b[:end]), string(value)}), b[end+9+int(size)+1:]
	}
	return fields
}

func newTestHandler(t *testing.T, json bool) (*Handler, *bytes.Buffer) {
	t.Helper()
	var stderr bytes.Buffer
	h, err := New(json, slog.HandlerOptions{}, slog.NewTextHandler(&stderr, nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(h.fd) })
	return h, &stderr
}

// TestFields has lines and the fields that the journal gets.
func TestFields(t *testing.T) {
	h, stderr := newTestHandler(t, false)
	j := newJournal(t, h)
	log := slog.New(h)
	for want, say := range map[string]func(){
		`[{MESSAGE node up} {PRIORITY 6} {SYSLOG_IDENTIFIER erluv} {ERLUV_ROLE main}]`: func() { log.Info("node up") },
		`[{MESSAGE ended role=child worker=<e@h.1.0> n=3} {PRIORITY 4} {SYSLOG_IDENTIFIER erluv} {ERLUV_ROLE child} {ERLUV_WORKER <e@h.1.0>} {ERLUV_N 3}]`: func() {
			log.With("role", "child").Warn("ended", "worker", "<e@h.1.0>", "n", 3)
		},
		`[{MESSAGE a
b c="d\n=e"} {PRIORITY 3} {SYSLOG_IDENTIFIER erluv} {ERLUV_C d
=e} {ERLUV_ROLE main}]`: func() { log.Error("a\nb", "c", "d\n=e") },
		`[{MESSAGE x g.a=1 g.b.c=2} {PRIORITY 6} {SYSLOG_IDENTIFIER erluv} {ERLUV_G_A 1} {ERLUV_G_B_C 2} {ERLUV_ROLE main}]`: func() {
			log.WithGroup("g").Info("x", "a", 1, slog.Group("b", "c", 2))
		},
		`[{MESSAGE x "ä =1"=1} {PRIORITY 6} {SYSLOG_IDENTIFIER erluv} {ERLUV____1 1} {ERLUV_ROLE main}]`: func() { log.Info("x", "ä =1", 1) },
	} {
		say()
		if got := fmt.Sprint(j.next(t)); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	log.Debug("below the level")
	log.Info("x", strings.Repeat("n", 100), 1)
	if got := j.next(t); got[0].value != "x "+strings.Repeat("n", 100)+"=1" || len(got[3].name) != maxName {
		t.Errorf("%v", got)
	}
	var many []any
	for i := range 2 * maxFields {
		many = append(many, fmt.Sprint("a", i), i)
	}
	log.Info("x", many...)
	if got := j.next(t); len(got) != 3+maxFields+1 || !strings.HasSuffix(got[0].value, " a63=63") {
		t.Errorf("%d fields, %s", len(got), got[0].value)
	}
	if stderr.Len() > 0 {
		t.Errorf("standard error has %s", stderr)
	}
}

// TestJSON: with the format JSON the message is JSON.
func TestJSON(t *testing.T) {
	h, _ := newTestHandler(t, true)
	j := newJournal(t, h)
	slog.New(h).Info("node up", "node", "e@h")
	got := j.next(t)
	if message := got[0].value; !strings.HasPrefix(message, `{"time":"`) || !strings.HasSuffix(message, `,"level":"INFO","msg":"node up","node":"e@h"}`) {
		t.Error(message)
	}
	if got[3] != (field{"ERLUV_NODE", "e@h"}) {
		t.Error(got)
	}
}

// TestNothingIsLost: lines that the socket does not accept go to standard error.
func TestNothingIsLost(t *testing.T) {
	h, stderr := newTestHandler(t, false)
	log := slog.New(h)
	h.to.Name = filepath.Join(t.TempDir(), "none")
	log.With("a", 1).Info("nothing is there")
	if !strings.Contains(stderr.String(), `msg="nothing is there" a=1`) {
		t.Errorf("without a socket: %s", stderr)
	}
	j := newJournal(t, h)
	stderr.Reset()
	log.Info("long", "value", strings.Repeat("x", maxDatagram))
	if !strings.Contains(stderr.String(), "msg=long value=xxx") {
		t.Errorf("a long one: %.100s", stderr)
	}
	stderr.Reset()
	const lines = 2000 // more than any queue of the system has
	for i := range lines {
		log.Info("line", "number", i)
	}
	written := strings.Count(stderr.String(), "msg=line")
	if written == 0 {
		t.Fatal("the socket is never full")
	}
	if err := j.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for range lines - written {
		if got := j.next(t); !strings.HasPrefix(got[0].value, "line number=") {
			t.Fatal(got)
		}
	}
	stderr.Reset()
	log.Info("there is room again")
	if got := j.next(t); got[0].value != "there is room again" || stderr.Len() > 0 {
		t.Errorf("%v, %s", got, stderr)
	}
}

func TestIs(t *testing.T) {
	f, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	for stream, want := range map[string]bool{
		fmt.Sprintf("%d:%d", st.Dev, st.Ino): true, fmt.Sprintf("%d:%d", st.Dev, st.Ino+1): false, fmt.Sprintf("%d", st.Dev): false, "": false, "x": false,
	} {
		if Is(int(f.Fd()), stream) != want {
			t.Errorf("%q", stream)
		}
	}
	if Is(-1, "0:0") {
		t.Error("a descriptor that there is not")
	}
}
