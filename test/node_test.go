package e2e

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"erluv/test/lan"
)

const evalTime = 4 * time.Minute // the default bound of an evaluation

var serial atomic.Int64 // makes names unique

// A node is a real Erlang node. Source is evaluated in fresh processes on it, or
// in sessions. All methods may be called at once.
type node struct {
	name   string
	home   string
	env    []string // for erl and erluv
	cmd    *exec.Cmd
	output buffer
	noise  bool // the errors it logs are expected
	killed bool // by the test

	mu      sync.Mutex // guards writing to in, and the map
	in      *os.File
	waiting map[int]chan answer
	done    chan struct{} // closed when no more answers can come
}

type answer struct{ status, text string }

// nodeOptions: the zero value is a node with a long name.
type nodeOptions struct {
	name   string       // before the @; random if empty
	short  bool         // name@localhost
	host   string       // after the @, if not 127.0.0.1
	listen string       // address, if not 127.0.0.1
	args   []string     // for erl
	cookie string       // if not the cookie of all tests
	noise  bool         // the errors it logs are expected
	erl    string       // of another release
	on     *lan.Machine // where it runs, under its address, if not here
}

func newNode(t *testing.T, o nodeOptions) *node {
	t.Helper()
	n, err := startNode(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !n.noise && !n.killed {
			n.expect(t, "[]", "e2e_server:errors()")
		}
		if err := n.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s", n.name, n.output.String())
		}
	})
	return n
}

func startNode(o nodeOptions) (*node, error) {
	kind, host := "-name", "127.0.0.1"
	if o.short {
		kind, host = "-sname", "localhost"
	}
	if o.on != nil {
		host, o.listen = o.on.Address, o.on.Address
	}
	host = cmp.Or(o.host, host)
	if o.cookie == "" {
		o.cookie = cookie
	}
	if o.name == "" {
		o.name = fmt.Sprintf("n%d", serial.Add(1))
	}
	n := &node{
		name:    o.name + "@" + host,
		noise:   o.noise,
		waiting: map[int]chan answer{},
		done:    make(chan struct{}),
	}
	var err error
	if n.home, err = newHome(o.cookie); err != nil {
		return nil, err
	}
	n.env = environment(n.home)
	args := []string{
		kind, n.name, "-noinput", "+pc", "unicode", "-start_epmd", "false", "-pa", dir, "-s", "e2e_server",
		"-kernel", "inet_dist_use_interface", "{" + strings.ReplaceAll(cmp.Or(o.listen, "127.0.0.1"), ".", ",") + "}",
	}
	args = append(args, o.args...)
	args = append(args, "-kernel", "net_setuptime", "60") // the machine may be busy; the first such flag counts
	n.cmd = commandOn(o.on, cmp.Or(o.erl, erl), args...)
	n.cmd.Env, n.cmd.Dir = n.env, n.home
	n.cmd.Stdout, n.cmd.Stderr = &n.output, &n.output
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	requests, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	answers, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	n.in, n.cmd.ExtraFiles = in, []*os.File{requests, out}
	err = n.cmd.Start()
	requests.Close()
	out.Close()
	if err != nil {
		return nil, err
	}
	go n.read(answers) // ends with the node, which stop waits for
	if _, err := n.try("node()", "-", startTime); err != nil {
		return nil, errors.Join(fmt.Errorf("%s does not start: %v\n%s", n.name, err, n.output.String()), n.stop())
	}
	return n, nil
}

// environment is the whole environment of erl and erluv.
func environment(home string) []string {
	env := []string{
		"HOME=" + home, "PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8",
		"ERL_EPMD_PORT=" + epmd.port, "ERL_EPMD_ADDRESS=" + epmd.host, "ERL_CRASH_DUMP_BYTES=0",
		// Suites that run in parallel have the same names for their erluvs.
		"ERLUV_CONF=none", "ERLUV_CONTROL=off",
	}
	if workerName != "" {
		env = append(env, "ERLUV_USER="+workerName)
	}
	return env
}

// newHome makes a home directory that belongs to the user who runs erl and erluv.
func newHome(cookie string) (string, error) {
	home, err := os.MkdirTemp(dir, "home-")
	if err != nil {
		return "", err
	}
	file := filepath.Join(home, ".erlang.cookie")
	if err := os.WriteFile(file, []byte(cookie), 0o400); err != nil {
		return "", err
	}
	if credential == nil {
		return home, nil
	}
	uid, gid := int(credential.Uid), int(credential.Gid)
	return home, errors.Join(os.Chown(home, uid, gid), os.Chown(file, uid, gid))
}

// cookieFile is the flag with the cookie file of the node.
func (n *node) cookieFile() string {
	return "--cookie-file=" + filepath.Join(n.home, ".erlang.cookie")
}

// stop ends the node and waits until it is gone.
func (n *node) stop() error {
	n.mu.Lock()
	n.in.Close()
	n.mu.Unlock()
	select {
	case <-n.done:
	case <-time.After(endTime):
		_ = n.cmd.Process.Kill()
		<-n.done
		_ = n.cmd.Wait()
		return fmt.Errorf("%s had to be killed", n.name)
	}
	if err := n.cmd.Wait(); err != nil && !n.killed {
		return fmt.Errorf("%s: %v", n.name, err)
	}
	return nil
}

// read hands each answer to the caller that waits for it.
func (n *node) read(answers *os.File) {
	defer close(n.done)
	defer answers.Close()
	for {
		var size [4]byte
		if _, err := io.ReadFull(answers, size[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(answers, frame); err != nil {
			return
		}
		head, text, _ := strings.Cut(string(frame), "\n")
		id, status, _ := strings.Cut(head, " ")
		key, _ := strconv.Atoi(id)
		n.mu.Lock()
		waiter := n.waiting[key]
		delete(n.waiting, key)
		n.mu.Unlock()
		if waiter != nil {
			waiter <- answer{status, text}
		}
	}
}

// try evaluates source in a session, or - for a fresh process.
func (n *node) try(source, session string, timeout time.Duration) (string, error) {
	source = strings.TrimSpace(source)
	if !strings.HasSuffix(source, ".") {
		source += "."
	}
	id, waiter := int(serial.Add(1)), make(chan answer, 1)
	body := fmt.Sprintf("%d %s %d\n%s", id, session, timeout.Milliseconds(), source)
	frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	n.mu.Lock()
	n.waiting[id] = waiter
	_, err := n.in.Write(frame)
	n.mu.Unlock()
	if err != nil {
		return "", fmt.Errorf("%s: %v", n.name, err)
	}
	select {
	case a := <-waiter:
		if a.status != "ok" {
			return "", fmt.Errorf("%s evaluates\n%s\n%s", n.name, source, a.text)
		}
		return a.text, nil
	case <-n.done:
		return "", fmt.Errorf("%s has ended", n.name)
	case <-time.After(timeout + startTime):
		return "", fmt.Errorf("%s does not answer", n.name)
	}
}

// bind gives variables to source. Strings become binaries, atoms and source stay unchanged, and
// other values are printed.
type (
	bind   map[string]any
	atom   string
	source string
)

func (b bind) String() string {
	var s strings.Builder
	for _, name := range slices.Sorted(maps.Keys(b)) {
		switch value := b[name].(type) {
		case string:
			fmt.Fprintf(&s, "%s = <<%q/utf8>>, ", name, value)
		case atom:
			fmt.Fprintf(&s, "%s = '%s', ", name, value)
		default:
			fmt.Fprintf(&s, "%s = %v, ", name, value)
		}
	}
	return s.String()
}

// eval returns the printed value of the last expression of source. It ends the test on an error.
func (n *node) eval(t *testing.T, source string, binds ...bind) string {
	t.Helper()
	return n.in1(t, "-", source, binds...)
}

func (n *node) in1(t *testing.T, session, source string, binds ...bind) string {
	t.Helper()
	var all strings.Builder
	for _, b := range binds {
		all.WriteString(b.String())
	}
	value, err := n.try(all.String()+source, session, evalTime)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// expect evaluates source and compares the printed value.
func (n *node) expect(t *testing.T, want, source string, binds ...bind) {
	t.Helper()
	if got := n.eval(t, source, binds...); got != want {
		t.Errorf("%s\ngot  %s\nwant %s", source, got, want)
	}
}

// A session is a process of a node that keeps its bindings and its mailbox.
type session struct {
	node *node
	name string
}

// session starts a session. It ends with the test, and so do its workers.
func (n *node) session(t *testing.T) session {
	t.Helper()
	s := session{n, fmt.Sprintf("session%d", serial.Add(1))}
	t.Cleanup(func() {
		// The node may be gone.
		_, _ = n.try("catch exit(whereis("+s.name+"), kill)", "-", endTime)
	})
	return s
}

func (s session) eval(t *testing.T, source string, binds ...bind) string {
	t.Helper()
	return s.node.in1(t, s.name, source, binds...)
}

func (s session) expect(t *testing.T, want, source string, binds ...bind) {
	t.Helper()
	if got := s.eval(t, source, binds...); got != want {
		t.Errorf("%s\ngot  %s\nwant %s", source, got, want)
	}
}

// buffer collects output.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
