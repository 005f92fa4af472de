package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A journal is a socket that an erluv has in place of systemd's.
type journal struct {
	dir  string
	conn *net.UnixConn
}

func newJournal(t *testing.T) *journal {
	t.Helper()
	j := &journal{dir: t.TempDir()}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(j.dir, "socket"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	j.conn = conn
	return j
}

// journalled executes a command in its own mounts, with the directory of a journal at the path of
// systemd's. JOURNAL_STREAM says that standard error is the journal's stream.
const journalled = `mount -t tmpfs none /run && mkdir -p /run/systemd/journal && mount --bind "$1" /run/systemd/journal && shift &&
	JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$@"`

// run starts an erluv that serves a node and has this journal.
func (j *journal) run(t *testing.T, n *node, args ...string) *erluv {
	t.Helper()
	_, host, _ := strings.Cut(n.name, "@")
	name := fmt.Sprintf("e%d", serial.Add(1))
	e, err := n.exec(nil, "unshare", append([]string{
		"--mount", "--propagation", "private", "sh", "-c", journalled, "sh", j.dir,
		executable, "run", "--node", n.name, "--name", name, "--host", host, n.cookieFile(),
	}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	e.erluv = name + "@" + host
	t.Cleanup(func() {
		if err := e.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("erluv wrote:\n%s", e.stderr.String())
		}
	})
	e.expect(t, "ok", "e2e:wait_hidden(E), ok")
	return e
}

// next is the next line: its fields.
func (j *journal) next(t *testing.T) map[string]string {
	t.Helper()
	if err := j.conn.SetReadDeadline(time.Now().Add(startTime)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1<<17)
	n, err := j.conn.Read(b)
	if err != nil {
		t.Fatalf("the journal gets no line: %v", err)
	}
	fields := make(map[string]string)
	for b = b[:n]; len(b) > 0; {
		line, rest, _ := bytes.Cut(b, []byte("\n"))
		if name, value, ok := strings.Cut(string(line), "="); ok {
			fields[name], b = value, rest
			continue
		}
		size := binary.LittleEndian.Uint64(rest)
		fields[string(line)], b = string(rest[8:][:size]), rest[8+size+1:]
	}
	return fields
}

// wait is the next line whose message begins so.
func (j *journal) wait(t *testing.T, prefix string) map[string]string {
	t.Helper()
	for {
		if f := j.next(t); strings.HasPrefix(f["MESSAGE"], prefix) {
			return f
		}
	}
}

// Issue 17: under systemd a line of the log has a field in the journal for each of its attributes,
// whichever role says it. Standard error stays empty.
func TestJournald(t *testing.T) {
	n, j := newNode(t, nodeOptions{}), newJournal(t)
	e := j.run(t, n, "--log-level", "debug")
	f := j.wait(t, "node up")
	if f["MESSAGE"] != fmt.Sprintf("node up node=%s target=%s", e.erluv, n.name) || f["PRIORITY"] != "6" || f["SYSLOG_IDENTIFIER"] != "erluv" ||
		f["ERLUV_NODE"] != e.erluv || f["ERLUV_TARGET"] != n.name || f["ERLUV_ROLE"] != "main" {
		t.Errorf("%v", f)
	}
	worker := e.eval(t, `W = e2e:start(E, ["sh", "-c", "exit 3", "a\nMESSAGE=forged"], #{link => false, owner => none}), pid_to_list(W)`)
	number := strings.SplitN(strings.Trim(worker, `"<>`), ".", 2)[1]
	f = j.wait(t, "a program has ended")
	if f["ERLUV_WORKER"] != "<"+e.erluv+"."+number+">" || f["ERLUV_STATUS"] != "3" || f["ERLUV_ROLE"] != "child" || f["PRIORITY"] != "7" || f["ERLUV_PROGRAM"] != "sh" {
		t.Errorf("of worker %s: %v", worker, f)
	}
	if e.stderr.String() != "" {
		t.Errorf("standard error has\n%s", e.stderr.String())
	}

	// Without the socket standard error has the lines.
	if err := os.Remove(filepath.Join(j.dir, "socket")); err != nil {
		t.Fatal(err)
	}
	e.eval(t, `e2e:call(E, {run, ["sh", "-c", "exit 4"], #{}}), ok`)
	eventually(t, "standard error has the line", func() bool {
		return strings.Contains(e.stderr.String(), `msg="a program has ended"`) && strings.Contains(e.stderr.String(), "status=4")
	})
}

// A journal that does not read gets what it has room for. Standard error has the others.
func TestJournaldThatDoesNotRead(t *testing.T) {
	n, j := newNode(t, nodeOptions{}), newJournal(t)
	e := j.run(t, n, "--log-level", "debug")
	j.wait(t, "node up")
	const programs = 600 // more than the socket's queue has room for
	e.expect(t, "ok", fmt.Sprintf(`[{ok, _} = e2e:call(E, {run, ["true"], #{}}) || _ <- lists:seq(1, %d)], ok`, programs))
	if err := e.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	e.exits(t, endTime)
	written := strings.Count(e.stderr.String(), `msg="a program has ended"`)
	read := 0
	for {
		f := j.next(t)
		if strings.HasPrefix(f["MESSAGE"], "a program has ended") {
			read++
		}
		if read+written == programs {
			break
		}
	}
	if written == 0 || read == 0 {
		t.Errorf("the journal has %d lines, standard error %d", read, written)
	}
}
