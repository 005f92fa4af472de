package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ergo-services/ergo"
	ergoetf "github.com/ergo-services/ergo/etf"
	"github.com/ergo-services/ergo/gen"
	ergonode "github.com/ergo-services/ergo/node"
	"github.com/ergo-services/ergo/proto/dist"

	ours "erluv/wire/dist"
	"erluv/wire/etf"
)

// The second implementation of a node is ergo v1.999.224. Its handshake, frames, terms, links,
// monitors and calls share no line with ours or OTP's. erluv cannot serve it unchanged
// (TestErgoIsRefused), so an adapter stands between them. These are ergo's limits, and what the
// adapter or the test does about each:
//
//   - ergo lacks the capabilities UNLINK_ID and EXIT_PAYLOAD. The adapter adds them to ergo's
//     challenge. It turns the messages with a payload, which ergo ignores, into the old EXIT and
//     MONITOR_P_EXIT. UNLINK without an id passes through, since erluv accepts it.
//   - ergo reads and writes only frames with a distribution header, whichever flags the other side
//     has sent. The adapter changes the heads of the frames.
//   - Exit reasons become strings in ergo: {exit_status, 3} arrives as "[exit_status 3]".
//   - ergo has no exit/2: it ignores EXIT2, and never sends it. A worker ends by a call of stop, or
//     with a linked process.
//   - ergo cannot be hidden. Its net_kernel does not answer pings, but it can ping.
//   - ergo panics at [] on its own, so no request here has such an answer (workers, without a worker).
//   - With several handlers on a connection, ergo reorders the messages of one sender. Here it has one
//     handler.
//   - ergo drops messages that its bounded mailboxes cannot hold, and cannot tell how many wait, so no
//     worker floods it here.
type ergoNode struct {
	ergonode.Node
	port    string
	server  gen.Process
	mailbox chan ergoetf.Term // messages that its process has received
}

// ergoServer is the process on the node that makes calls and receives messages.
type ergoServer struct {
	gen.Server
	mailbox chan ergoetf.Term
}

// mailboxSize is more than the number of messages of any test.
const mailboxSize = 1000

func (s *ergoServer) HandleInfo(_ *gen.ServerProcess, message ergoetf.Term) gen.ServerStatus {
	s.mailbox <- message
	return gen.ServerStatusOK
}

// A direct request is a function that the process calls.
func (s *ergoServer) HandleDirect(p *gen.ServerProcess, _ ergoetf.Ref, request any) (any, gen.DirectStatus) {
	return request.(func(*gen.ServerProcess) (any, error))(p)
}

func startErgo(t *testing.T) *ergoNode {
	t.Helper()
	port := freePort(t)
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	listener := ergonode.DefaultListener()
	listener.ListenBegin, listener.ListenEnd = uint16(number), uint16(number)
	listener.Handshake = dist.CreateHandshake(dist.HandshakeOptions{Version: dist.HandshakeVersion6})
	options := ergonode.DefaultProtoOptions()
	options.NumHandlers = 1
	n := &ergoNode{port: port, mailbox: make(chan ergoetf.Term, mailboxSize)}
	n.Node, err = ergo.StartNode(fmt.Sprintf("g%d@127.0.0.1", serial.Add(1)), cookie, ergonode.Options{
		StaticRoutesOnly: true, // no EPMD
		Listeners:        []ergonode.Listener{listener},
		Proto:            dist.CreateProto(options),
		System:           ergonode.System{DisableAnonMetrics: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.Stop()
		if err := n.WaitWithTimeout(endTime); err != nil {
			t.Errorf("ergo does not stop: %v", err)
		}
	})
	n.server = n.spawn(t)
	return n
}

// spawn starts a process that puts incoming messages into the mailbox of n.
func (n *ergoNode) spawn(t *testing.T) gen.Process {
	t.Helper()
	p, err := n.Spawn("", gen.ProcessOptions{MailboxSize: mailboxSize}, &ergoServer{mailbox: n.mailbox})
	if err != nil {
		t.Fatal(err)
	}
	p.SetTrapExit(true)
	return p
}

// call is gen_server's call, made by a process of ergo.
func (n *ergoNode) call(t *testing.T, p gen.Process, to any, request ergoetf.Term) ergoetf.Term {
	t.Helper()
	bound := int(evalTime / time.Second)
	answer, err := p.DirectWithTimeout(func(p *gen.ServerProcess) (any, error) {
		return p.CallWithTimeout(to, request, bound)
	}, bound)
	if err != nil {
		t.Fatalf("%v is not answered: %v", request, err)
	}
	return answer
}

// next is the next message to a process of the node.
func (n *ergoNode) next(t *testing.T) ergoetf.Term {
	t.Helper()
	select {
	case message := <-n.mailbox:
		return message
	case <-time.After(evalTime):
		t.Fatal("no message comes")
		return nil
	}
}

func (n *ergoNode) expect(t *testing.T, want ...ergoetf.Term) {
	t.Helper()
	for _, want := range want {
		if got := n.next(t); fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
			t.Errorf("got  %#v\nwant %#v", got, want)
		}
	}
}

// down monitors a process that is gone, and returns what that says. Ergo notes a monitor only after it
// has sent the request, and drops an answer that is faster. So the request is repeated.
func (n *ergoNode) down(t *testing.T, monitor func() ergoetf.Ref) (m gen.MessageDown) {
	t.Helper()
	var refs []ergoetf.Ref
	if !until(evalTime, func() bool {
		refs = append(refs, monitor())
		select {
		case message := <-n.mailbox:
			var ok bool
			if m, ok = message.(gen.MessageDown); !ok || !slices.Contains(refs, m.Ref) {
				t.Fatalf("%#v", message)
			}
			return true
		case <-time.After(5 * time.Second):
			return false
		}
	}) {
		t.Fatal("no monitor says anything")
	}
	return m
}

// ours returns the harness's node for ergo, for run.
func (n *ergoNode) ours(t *testing.T) *node {
	t.Helper()
	home, err := newHome(cookie)
	if err != nil {
		t.Fatal(err)
	}
	return &node{name: n.Name(), home: home, env: environment(home)}
}

// Without the adapter, erluv names the capabilities that ergo lacks.
func TestErgoIsRefused(t *testing.T) {
	g := startErgo(t)
	n := g.ours(t)
	c := exec.Command(executable, "ping", "--node", n.name, "--host", "127.0.0.1", "--address", "127.0.0.1:"+g.port, n.cookieFile())
	c.Env, c.Dir = n.env, n.home
	c.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	out, _ := c.CombinedOutput()
	if c.ProcessState.ExitCode() == 0 || !strings.Contains(string(out), "it lacks the capabilities EXIT_PAYLOAD UNLINK_ID") {
		t.Errorf("%v: %s", c.ProcessState, out)
	}
}

// erluv serves a node that is not OTP's. It connects, answers pings and calls, starts programs,
// reports output and ends, links and monitors.
func TestErgo(t *testing.T) {
	g := startErgo(t)
	n := g.ours(t)
	name := fmt.Sprintf("e%d@127.0.0.1", serial.Add(1))
	e, err := n.run(nil, "run", "--node", n.name, "--host", "127.0.0.1", "--name", name[:strings.Index(name, "@")],
		"--address", adapt(t, g.port), n.cookieFile())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("erluv wrote:\n%s", e.stderr.String())
		}
	})
	if !until(startTime, func() bool { return slices.Contains(g.Nodes(), name) }) {
		t.Fatalf("ergo is connected with %v; erluv wrote:\n%s", g.Nodes(), e.stderr.String())
	}
	at := func(registered string) gen.ProcessID { return gen.ProcessID{Name: registered, Node: name} }
	request := func(request ...ergoetf.Term) ergoetf.Term {
		t.Helper()
		return g.call(t, g.server, at("erluv"), ergoetf.Tuple(request))
	}
	if got := g.call(t, g.server, at("net_kernel"), ergoetf.Tuple{ergoetf.Atom("is_auth"), ergoetf.Atom(n.name)}); got != ergoetf.Atom("yes") {
		t.Errorf("ping: %#v", got)
	}
	if got := request(ergoetf.Atom("info"), ergoetf.Atom("target")); got != ergoetf.Atom(n.name) {
		t.Errorf("target: %#v", got)
	}
	if got := fmt.Sprint(request(ergoetf.Atom("nonsense"))); got != "[error [bad_request [nonsense]]]" {
		t.Errorf("nonsense: %s", got)
	}
	ran := request(ergoetf.Atom("run"), program("sh", "-c", "cat; echo err >&2; exit 3"), ergoetf.Map{ergoetf.Atom("input"): []byte("in")})
	if got := fmt.Sprintf("%s", ran); !strings.Contains(got, "stdout:in") || !strings.Contains(got, "stderr:err\n") || !strings.Contains(got, "[exit_status %!s(int=3)]") {
		t.Errorf("run: %s", got)
	}
	spawn := func(p gen.Process, opts ergoetf.Map, command ...string) ergoetf.Pid {
		t.Helper()
		answer := g.call(t, p, at("erluv"), ergoetf.Tuple{ergoetf.Atom("spawn"), program(command...), opts})
		ok, _ := answer.(ergoetf.Tuple)
		if len(ok) != 2 || ok[0] != ergoetf.Atom("ok") {
			t.Fatalf("spawn: %#v", answer)
		}
		return ok[1].(ergoetf.Pid)
	}

	t.Run("output and end", func(t *testing.T) {
		w := spawn(g.server, ergoetf.Map{}, "sh", "-c", "cat; exit 3")
		ref := g.server.MonitorProcess(w)
		if got := g.call(t, g.server, w, ergoetf.Tuple{ergoetf.Atom("write"), []byte("said")}); got != ergoetf.Atom("ok") {
			t.Errorf("write: %#v", got)
		}
		told := func(what ...ergoetf.Term) ergoetf.Term { return ergoetf.Tuple{w, ergoetf.Tuple(what)} }
		g.expect(t, told(ergoetf.Atom("stdout"), []byte("said")))
		// The port protocol, by a plain message.
		if err := g.server.Send(w, ergoetf.Tuple{g.server.Self(), ergoetf.Tuple{ergoetf.Atom("command"), []byte("more")}}); err != nil {
			t.Fatal(err)
		}
		g.expect(t, told(ergoetf.Atom("stdout"), []byte("more")))
		if got := g.call(t, g.server, w, ergoetf.Tuple{ergoetf.Atom("close"), ergoetf.Atom("stdin")}); got != ergoetf.Atom("ok") {
			t.Errorf("close: %#v", got)
		}
		var ends []string
		for range 5 {
			switch m := g.next(t).(type) {
			case gen.MessageDown:
				if m.Ref != ref || m.Pid != w {
					t.Errorf("down: %#v", m)
				}
				ends = append(ends, "down "+m.Reason)
			case gen.MessageExit:
				if m.Pid != w {
					t.Errorf("exit: %#v", m)
				}
				ends = append(ends, "exit "+m.Reason)
			default:
				ends = append(ends, fmt.Sprint(m.(ergoetf.Tuple)[1]))
			}
		}
		slices.Sort(ends[:2]) // either stream may end first
		slices.Sort(ends[3:]) // the link's or the monitor's message may come first
		if got := strings.Join(ends, ", "); got != "[stderr eof], [stdout eof], [exit_status 3], down [exit_status 3], exit [exit_status 3]" {
			t.Errorf("the end is %s", got)
		}
	})
	t.Run("monitor of one that is gone", func(t *testing.T) {
		w := spawn(g.server, ergoetf.Map{ergoetf.Atom("owner"): ergoetf.Atom("none"), ergoetf.Atom("link"): ergoetf.Atom("false")}, "cat")
		if got := fmt.Sprint(g.call(t, g.server, w, ergoetf.Atom("stop"))); !strings.HasPrefix(got, "[ok ") {
			t.Errorf("stop: %s", got)
		}
		if m := g.down(t, func() ergoetf.Ref { return g.server.MonitorProcess(w) }); m.Pid != w || m.Reason != "noproc" {
			t.Errorf("a worker that has ended: %#v", m)
		}
		if m := g.down(t, func() ergoetf.Ref { return g.server.MonitorProcess(at("nobody")) }); m.ProcessID != at("nobody") || m.Reason != "noproc" {
			t.Errorf("a name that is not there: %#v", m)
		}
	})
	t.Run("a linked process ends", func(t *testing.T) {
		none := ergoetf.Map{ergoetf.Atom("owner"): ergoetf.Atom("none"), ergoetf.Atom("link"): ergoetf.Atom("false")}
		linked, unlinked := spawn(g.server, none, "cat"), spawn(g.server, none, "cat")
		p := g.spawn(t)
		for _, w := range []ergoetf.Pid{linked, unlinked} {
			g.server.MonitorProcess(w)
			if err := p.Link(w); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Unlink(unlinked); err != nil {
			t.Fatal(err)
		}
		// erluv has dealt with all of it when it answers.
		_ = g.call(t, p, unlinked, ergoetf.Atom("info"))
		p.Kill()
		if m, ok := g.next(t).(gen.MessageDown); !ok || m.Pid != linked || m.Reason != "kill" {
			t.Errorf("the linked worker: %#v", m)
		}
		if got := fmt.Sprint(g.call(t, g.server, unlinked, ergoetf.Atom("stop"))); !strings.HasPrefix(got, "[ok ") {
			t.Errorf("the other one: %s", got)
		}
		if m, ok := g.next(t).(gen.MessageDown); !ok || m.Pid != unlinked {
			t.Errorf("the unlinked worker: %#v", m)
		}
	})
	t.Run("an owner ends", func(t *testing.T) {
		p := g.spawn(t)
		w := spawn(p, ergoetf.Map{}, "cat")
		g.server.MonitorProcess(w)
		// The answer shows that erluv has handled the earlier link: it watches p.
		_ = g.call(t, g.server, w, ergoetf.Atom("info"))
		p.Kill()
		for {
			if m, ok := g.next(t).(gen.MessageDown); ok {
				if m.Pid != w {
					t.Errorf("down: %#v", m)
				}
				return
			}
		}
	})
}

// program is a command of erluv in ergo's terms.
func program(words ...string) ergoetf.List {
	var list ergoetf.List
	for _, w := range words {
		list = append(list, []byte(w))
	}
	return list
}

// adapt listens for erluv and passes its bytes on to ergo in ergo's frames, with the changes that
// the comment of ergoNode lists. It returns its address.
func adapt(t *testing.T, port string) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	over := make(chan struct{})
	all.Go(func() { // ends with the listener
		for {
			erluv, err := l.Accept()
			if err != nil {
				return
			}
			ergo, err := net.Dial("tcp4", "127.0.0.1:"+port)
			if err != nil { // it is stopping
				erluv.Close()
				continue
			}
			ended := make(chan error, 2)
			all.Go(func() { ended <- toErgo(ergo, erluv) })   // ends with either connection
			all.Go(func() { ended <- fromErgo(erluv, ergo) }) // likewise
			all.Go(func() {                                   // likewise, or with the test
				select {
				case err := <-ended:
					if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
						t.Errorf("the adapter: %v", err)
					}
				case <-over:
				}
				erluv.Close()
				ergo.Close()
			})
		}
	})
	t.Cleanup(func() {
		close(over)
		l.Close()
		all.Wait()
	})
	return l.Addr().String()
}

// message reads a message after its length, which has size bytes.
func message(from io.Reader, size int) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(from, length[4-size:]); err != nil {
		return nil, err
	}
	m := make([]byte, binary.BigEndian.Uint32(length[:]))
	_, err := io.ReadFull(from, m)
	return m, err
}

// toErgo passes on two messages of the handshake, then frames.
func toErgo(ergo io.Writer, erluv io.Reader) error {
	for range 2 {
		m, err := message(erluv, 2)
		if err != nil {
			return err
		}
		if _, err := ergo.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...)); err != nil {
			return err
		}
	}
	for {
		frame, err := message(erluv, 4)
		if err != nil {
			return err
		}
		if len(frame) > 0 { // no tick
			if frame, err = headed(frame); err != nil {
				return err
			}
		}
		if _, err := ergo.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)); err != nil {
			return err
		}
	}
}

// headed turns a frame into ergo's form: a header of no atoms, and terms without a version.
func headed(frame []byte) ([]byte, error) {
	var m ours.Message
	if err := ours.Parse(frame, &m); err != nil {
		return nil, err
	}
	out := []byte{131, 68, 0}
	switch m.Op {
	case ours.PayloadExit:
		out = etf.AppendInt(etf.AppendTupleHeader(out, 4), int64(ours.Exit))
		return append(etf.AppendPid(etf.AppendPid(out, m.From), m.To), m.Reason...), nil
	case ours.PayloadMonitorPExit:
		out = etf.AppendInt(etf.AppendTupleHeader(out, 5), int64(ours.MonitorPExit))
		if m.HasName {
			out = etf.AppendAtom(out, m.Name)
		} else {
			out = etf.AppendPid(out, m.From)
		}
		return append(append(etf.AppendPid(out, m.To), m.Ref...), m.Reason...), nil
	}
	r := etf.NewReader(frame[2:])
	control, err := r.Raw()
	if err != nil {
		return nil, err
	}
	out = append(out, control...)
	if rest := r.Rest(); len(rest) > 0 {
		out = append(out, rest[1:]...)
	}
	return out, nil
}

// fromErgo passes on three messages of the handshake, then frames. It adds capabilities to the
// challenge.
func fromErgo(erluv io.Writer, ergo io.Reader) error {
	for i := range 3 {
		m, err := message(ergo, 2)
		if err != nil {
			return err
		}
		if i == 1 {
			flags := ours.Flags(binary.BigEndian.Uint64(m[1:])) | ours.FlagUnlinkID | ours.FlagExitPayload
			binary.BigEndian.PutUint64(m[1:], uint64(flags))
		}
		if _, err := erluv.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...)); err != nil {
			return err
		}
	}
	for {
		frame, err := message(ergo, 4)
		if err != nil {
			return err
		}
		if len(frame) > 0 {
			if frame, err = headless(frame); err != nil {
				return err
			}
		}
		if _, err := erluv.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)); err != nil {
			return err
		}
	}
}

// headless turns a frame of ergo's into our form.
func headless(frame []byte) ([]byte, error) {
	if len(frame) < 3 || string(frame[:3]) != "\x83D\x00" {
		return nil, fmt.Errorf("a frame of ergo that begins with %x", frame[:min(len(frame), 8)])
	}
	r := etf.NewReader(frame[3:])
	control, err := r.Raw()
	if err != nil {
		return nil, err
	}
	out := append([]byte{112, 131}, control...)
	if rest := r.Rest(); len(rest) > 0 {
		out = append(append(out, 131), rest...)
	}
	return out, nil
}
