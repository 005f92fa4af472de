package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/ipc/counters"
	"erluv/relay/certtest"
	"erluv/sandbox"
	"erluv/wire/dist"
	mapper "erluv/wire/epmd"
	"erluv/wire/etf"

	"golang.org/x/sys/unix"
)

// A relay is an erluv_relay of the real binary, started through its stage. The test plays main and
// the child.
type relay struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr buffer
	up     *ipc.Conn
	log    *ipc.Conn
	near   net.Conn // the inner stream
	fd     int      // its descriptor
	far    int      // the relay's end of it
	count  *counters.Counters
	remark string
	buf    []byte // bytes read of frames
}

// toNode is the message that starts a relay which dials.
func toNode(min, max uint16) ipc.StartRelay {
	return ipc.StartRelay{ServerName: "127.0.0.1", Verify: true, MinVersion: min, MaxVersion: max, Depth: 2, TimeoutMS: uint32(startTime.Milliseconds())}
}

// startRelay starts a relay on a connection, which the relay takes over.
func startRelay(t *testing.T, conn net.Conn, m ipc.StartRelay, mat ipc.Material) *relay {
	t.Helper()
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	defer file.Close()
	up, theirs, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	parts, _, err := sandbox.Choose(sandbox.Auto)
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{t: t, up: up}
	r.cmd = exec.Command(executable, "stage", "relay", strconv.Itoa(int(workerID)), strconv.Itoa(int(groupID)),
		strconv.Itoa(os.Getpid()), strconv.Itoa(int(parts)))
	r.cmd.Env, r.cmd.Stderr = []string{}, &r.stderr
	conversation := os.NewFile(uintptr(theirs.FD()), "conversation") // owns it from now on
	r.cmd.ExtraFiles = []*os.File{conversation}
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	conversation.Close()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	r.fd, r.far = ends[0], ends[1]
	near := os.NewFile(uintptr(ends[0]), "near")
	if r.near, err = net.FileConn(near); err != nil { // a descriptor of its own
		t.Fatal(err)
	}
	if r.count, err = counters.New(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.up.Close()
		r.near.Close()
		near.Close()
		done := make(chan error, 1)
		go func() { done <- r.cmd.Wait() }() // ends with the relay
		select {
		case <-done:
		case <-time.After(endTime):
			t.Error("the relay does not end")
			_ = r.cmd.Process.Kill()
			<-done
		}
		_ = unix.Close(r.far)
		_ = r.count.Close()
		if t.Failed() {
			t.Logf("the relay (%s) wrote:\n%s", r.remark, r.stderr.String())
		}
	})
	if hello, ok := r.hear().(ipc.Hello); !ok || hello.Role != ipc.RoleRelay || hello.PID != uint32(r.cmd.Process.Pid) {
		t.Fatalf("it says %v", hello)
	}
	r.giveLog()
	memfd, err := mat.Pack(&m)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(memfd)
	// FD, not Fd: that would make the shared socket block.
	raw, err := file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		err = up.Send(ipc.Append(nil, m), startTime, int(fd), r.far, r.count.FD(), memfd)
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// hear returns the relay's next message.
func (r *relay) hear() ipc.Message {
	r.t.Helper()
	buf := make([]byte, ipc.MaxPacket)
	n, _, err := r.up.Recv(buf, 2*startTime)
	if err != nil {
		r.t.Fatal(err, r.stderr.String())
	}
	m, err := ipc.Decode(buf[:n])
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

// giveLog gives the relay a conversation for its log.
func (r *relay) giveLog() {
	r.t.Helper()
	ours, theirs, err := ipc.Pair()
	if err != nil {
		r.t.Fatal(err)
	}
	defer theirs.Close()
	r.log = ours
	r.t.Cleanup(func() { _ = ours.Close() })
	if err := r.up.Send(ipc.Append(nil, ipc.Logs{Level: slog.LevelDebug}), startTime, theirs.FD()); err != nil {
		r.t.Fatal(err)
	}
}

// answer waits for Ready, or returns the text of Failed.
func (r *relay) answer() (failed string) {
	r.t.Helper()
	switch m := r.hear().(type) {
	case ipc.Ready: // its log messages came before
		buf := make([]byte, ipc.MaxPacket)
		n, _, err := r.log.TryRecv(buf)
		if err != nil {
			r.t.Fatal(err)
		}
		line, err := ipc.Decode(buf[:n])
		if err != nil {
			r.t.Fatal(err)
		}
		r.remark = fmt.Sprint(line)
	case ipc.Failed:
		return m.Text
	default:
		r.t.Fatalf("it says %#v", m)
	}
	return ""
}

// ready waits until the relay is ready.
func (r *relay) ready() {
	r.t.Helper()
	if failed := r.answer(); failed != "" {
		r.t.Fatal(failed)
	}
}

// local is the test's own identity towards the node.
func local(name string) dist.Local {
	return dist.Local{Name: name, Creation: 7, Cookie: cookie, Flags: dist.Default, TLS: true}
}

// connect does the handshake of the distribution through the relay.
func (r *relay) connect(name, peer string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), startTime)
	defer cancel()
	if _, err := dist.Connect(ctx, r.near, local(name), peer); err != nil {
		r.t.Fatal(err)
	}
}

// message returns the next message that is not a tick.
func (r *relay) message() dist.Message {
	r.t.Helper()
	for {
		_ = r.near.SetReadDeadline(time.Now().Add(startTime))
		frame, n, err := dist.Next(r.buf, 64<<20)
		if err != nil {
			r.t.Fatal(err)
		}
		if n == 0 {
			piece := make([]byte, 256<<10)
			got, err := r.near.Read(piece)
			if err != nil {
				r.t.Fatal(err)
			}
			r.buf = append(r.buf, piece[:got]...)
			continue
		}
		r.buf = r.buf[n:]
		if len(frame) == 0 {
			if _, err := r.near.Write(dist.AppendTick(nil)); err != nil {
				r.t.Fatal(err)
			}
			continue
		}
		var m dist.Message
		if err := dist.Parse(frame, &m); err != nil {
			r.t.Fatal(err)
		}
		return m
	}
}

// send sends a term to a registered process of the node.
func (r *relay) send(from etf.Pid, to etf.Atom, term etf.Term) {
	r.t.Helper()
	b := dist.BeginRegSend(nil, from, to)
	b, err := etf.AppendTerm(b, term)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = r.near.SetWriteDeadline(time.Now().Add(2 * startTime))
	if _, err := r.near.Write(dist.End(b, 0)); err != nil {
		r.t.Fatal(err)
	}
}

// pki is an authority with the files of a node, and the test's own certificate.
type pki struct {
	ca         *certtest.Authority
	dir        string
	cert, key  []byte // ours
	caf, certf string // the node's files
}

func newPKI(t *testing.T, w certtest.Wish) *pki {
	t.Helper()
	p := &pki{ca: certtest.NewAuthority("the authority"), dir: t.TempDir()}
	// All users may look in there: t.TempDir is root's.
	for d := p.dir; d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := p.ca.Issue(w)
	p.caf, p.certf = filepath.Join(p.dir, "ca.pem"), filepath.Join(p.dir, "node.pem")
	if err := errors.Join(os.WriteFile(p.caf, p.ca.PEM, 0o644), os.WriteFile(p.certf, append(cert, key...), 0o644)); err != nil {
		t.Fatal(err)
	}
	p.cert, p.key = p.ca.Issue(certtest.Wish{})
	return p
}

func (p *pki) ours() ipc.Material { return ipc.Material{CA: p.ca.PEM, Cert: p.cert, Key: p.key} }

// node starts a node that speaks TLS, with more options of its server.
func (p *pki) node(t *testing.T, noise bool, options string) *node {
	t.Helper()
	optfile := filepath.Join(p.dir, "opts")
	text := fmt.Sprintf(`%% of a test
		[{server, [{certfile, %[1]q}, {cacertfile, %[2]q}, {verify, verify_peer}, {fail_if_no_peer_cert, true}, %[3]s]},
		 {client, [{certfile, %[1]q}, {cacertfile, %[2]q}, {verify, verify_peer}, %[3]s]}].`, p.certf, p.caf, options)
	if err := os.WriteFile(optfile, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	n := newNode(t, nodeOptions{noise: noise, args: []string{"-proto_dist", "inet_tls", "-ssl_dist_optfile", optfile}})
	n.eval(t, `
		register(echo, spawn(fun Loop() -> receive {P, sum, B} -> P ! erlang:md5(B); {P, B} -> P ! B end, Loop() end)), ok`)
	return n
}

// dial opens a connection to the port of a node.
func (n *node) dial(t *testing.T) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	name, host, _ := strings.Cut(n.name, "@")
	found, err := mapper.Lookup(ctx, epmd.String(), name)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(int(found.Port))))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

var versions = map[string]uint16{"tlsv1.2": tls.VersionTLS12, "tlsv1.3": tls.VersionTLS13}

// binary returns the next message to this process.
func (r *relay) binary(to etf.Pid) []byte {
	r.t.Helper()
	for {
		m := r.message()
		if (m.Op == dist.Send || m.Op == dist.SendSender) && m.To == to {
			term, err := etf.Decode(m.Payload)
			if err != nil {
				r.t.Fatal(err)
			}
			b, ok := term.(etf.Binary)
			if !ok {
				r.t.Fatalf("%v", term)
			}
			return b
		}
	}
}

// confined checks every thread of the process from outside.
func (r *relay) confined() {
	r.t.Helper()
	pid := r.cmd.Process.Pid
	uid := strconv.Itoa(int(workerID))
	want := map[string]string{
		"Uid": strings.Join([]string{uid, uid, uid, uid}, " "), "NoNewPrivs": "1", "Seccomp": "2",
		"CapEff": "0000000000000000", "CapPrm": "0000000000000000",
	}
	for _, tid := range threads(r.t, pid) {
		got := status(pid, tid)
		for key, value := range want {
			if got[key] != value {
				r.t.Errorf("thread %d: %s is %q, not %q", tid, key, got[key], value)
			}
		}
	}
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || string(comm) != "erluv_relay\n" {
		r.t.Errorf("it is %q, %v", comm, err)
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{2})
	_, _ = r.Read(b)
	return b
}
