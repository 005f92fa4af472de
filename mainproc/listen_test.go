package mainproc

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"erluv/config"
	"erluv/mainproc/link"
	"erluv/wire/dist"
	"erluv/wire/dist/disttest"
	"erluv/wire/epmd"
)

// listeningConfig is a configuration that accepts nodes and dials none.
func listeningConfig(t *testing.T) *config.Config {
	t.Helper()
	cfg := newNode(t).config()
	cfg.Node, cfg.Targets, cfg.Address = "", nil, ""
	cfg.Name, cfg.Listen, cfg.AllowNodes, cfg.EPMDPort = "us", config.Listen{Host: config.ListenLocal}, []string{"foo@*"}, 1
	return cfg
}

// TestRunListens: a node that connects to erluv is served, and erluv is up without one. Two nodes
// of the same name, one after the other, are the same node.
func TestRunListens(t *testing.T) {
	cfg := listeningConfig(t)
	port := freePorts(t, 1)
	cfg.Listen.Low, cfg.Listen.High = port, port
	r := run(t, cfg)
	select {
	case <-r.up:
	case err := <-r.done:
		t.Fatal(err)
	case <-time.After(waitBound):
		t.Fatal("it is not up")
	}
	connect := func(name string) (net.Conn, disttest.Host, error) {
		t.Helper()
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(waitBound))
		host, err := disttest.Caller{Name: name, Cookie: testCookie, Creation: 9, Challenge: 3}.Connect(conn)
		return conn, host, err
	}
	if _, host, _ := connect("bar@h"); host.Status != dist.StatusNotAllowed {
		t.Errorf("who is not allowed is answered %q", host.Status)
	}
	if _, host, _ := connect("foo@control"); host.Status != dist.StatusNotAllowed {
		t.Errorf("who has the name of an operator is answered %q", host.Status)
	}
	conn, host, err := connect("foo@h")
	if err != nil || host.Name != "us@127.0.0.1" {
		t.Fatalf("%+v, %v", host, err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var first report
	if err := json.Unmarshal([]byte(line), &first); err != nil {
		t.Fatal(err)
	}
	if first.Link.Target != "foo@h" || first.Link.Node != "us@127.0.0.1" || !first.Start.Stays {
		t.Errorf("%+v, stays: %v", first.Link, first.Start.Stays)
	}
	if _, host, _ := connect("foo@h"); host.Status != dist.StatusAlive {
		t.Errorf("a second one is answered %q", host.Status)
	}
	if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
		t.Errorf("the first connection ends with %q, %v", rest, err)
	}
	r.stop(errors.New("enough"))
	if err := r.wait(t); err != nil {
		t.Error(err)
	}
	if !strings.Contains(r.log.String(), "nodes find this one only if they know its port") {
		t.Errorf("it does not say that there is no EPMD")
	}
	if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err != nil {
		t.Errorf("its port is not free again: %v", err)
	} else {
		_ = l.Close()
	}
}

// freePorts returns the first of count free ports in a row.
func freePorts(t *testing.T, count int) int {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		first := portOf(l)
		_ = l.Close()
		free := first+count <= 65535
		for port := first; free && port < first+count; port++ {
			l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if free = err == nil; free {
				_ = l.Close()
			}
		}
		if free {
			return first
		}
	}
	t.Fatal("no ports are free")
	return 0
}

// TestListeners: erluv listens at the configured addresses, at one port, and reports why it cannot.
func TestListeners(t *testing.T) {
	at := func(listen config.Listen, host string) ([]string, int, error) {
		t.Helper()
		open, err := listeners(t.Context(), &config.Config{Listen: listen, Host: host})
		var hosts []string
		port := 0
		for _, l := range open {
			hosts = append(hosts, l.Addr().(*net.TCPAddr).IP.String())
			if port > 0 && portOf(l) != port {
				t.Errorf("%v: ports %d and %d", listen, port, portOf(l))
			}
			port = portOf(l)
			_ = l.Close()
		}
		return hosts, port, err
	}
	hosts, _, err := at(config.Listen{Host: config.ListenLocal}, "localhost")
	if err != nil || hosts[0] != "127.0.0.1" || len(hosts) > 1 && hosts[1] != "::1" {
		t.Errorf("local is %v, %v", hosts, err)
	}
	hosts, _, err = at(config.Listen{Host: config.ListenLocal}, "127.0.1.1")
	if err != nil || hosts[len(hosts)-1] != "127.0.1.1" {
		t.Errorf("local, with a host of the loopback, is %v, %v", hosts, err)
	}
	for host, want := range map[string]string{"127.0.0.3": "127.0.0.3", "0.0.0.0": "0.0.0.0", "::": "::", "localhost": "127.0.0.1"} {
		if hosts, _, err := at(config.Listen{Host: host}, "h"); err != nil || len(hosts) != 1 || hosts[0] != want && hosts[0] != "::1" {
			t.Errorf("%s is %v, %v", host, hosts, err)
		}
	}
	first := freePorts(t, 3)
	taken, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(first)))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, port, err := at(config.Listen{Host: "127.0.0.1", Low: first, High: first + 2}, "h"); err != nil || port != first+1 {
		t.Errorf("of a range it takes %d, %v; want %d", port, err, first+1)
	}
	for want, listen := range map[string]config.Listen{
		"the port is taken":             {Host: "127.0.0.1", Low: first, High: first},
		"is no address of this machine": {Host: "192.0.2.1"},
		"is not known":                  {Host: "no.such.host.invalid"},
	} {
		if _, _, err := at(listen, "h"); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v; want %q", listen, err, want)
		}
	}
	second, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(first+1)))
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	_, _, err = at(config.Listen{Host: "127.0.0.1", Low: first, High: first + 1}, "h")
	if want := fmt.Sprintf("all ports from %d to %d are taken", first, first+1); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v; want %q", err, want)
	}
}

// TestWords: other errors that prevent listening.
func TestWords(t *testing.T) {
	for want, err := range map[string]error{"the port is root's": accessError{}, "cannot listen: test": errTest} {
		if got := words(err, &config.Config{}).Error(); !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestListenAll: a missing address is skipped if the others are enough. Otherwise no listener is
// left open.
func TestListenAll(t *testing.T) {
	missing := place{network: "tcp4", host: "192.0.2.1"} // for documentation (RFC 5737)
	spare := missing
	spare.spare = true
	local := place{network: "tcp4", host: "127.0.0.1"}
	open, err := listenAll(t.Context(), []place{spare, local}, 0)
	if err != nil || len(open) != 1 {
		t.Fatalf("%d are open, %v", len(open), err)
	}
	port := portOf(open[0])
	_ = open[0].Close()
	if _, err := listenAll(t.Context(), []place{local, missing}, port); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Error(err)
	}
	l, err := net.Listen("tcp4", net.JoinHostPort(local.host, strconv.Itoa(port)))
	if err != nil {
		t.Fatalf("it was left open: %v", err)
	}
	_ = l.Close()
}

// TestSettle: a name that EPMD already has is drawn again if it is random. Otherwise it is an
// error.
func TestSettle(t *testing.T) {
	cfg := listeningConfig(t)
	cfg.EPMDPort = fakeEPMD(t, "us", 4711)
	began := time.Now()
	_, err := settle(t.Context(), cfg, link.NewSelf(cfg))
	if err == nil || !strings.Contains(err.Error(), "has a node of that name, at port 4711") || time.Since(began) < takenBound {
		t.Errorf("%v, after %v", err, time.Since(began))
	}
	if _, err := Listens(t.Context(), cfg); err == nil {
		t.Error("it does not say beforehand that the name is taken")
	}
	if err := run(t, cfg).wait(t); err == nil || ExitStatus(err) != 1 {
		t.Errorf("it runs: %v", err)
	}
	cfg.Name = ""
	self := link.NewSelf(cfg)
	taken := self.Proposed()
	cfg.EPMDPort = fakeEPMD(t, alive(taken), 4711)
	name, err := settle(t.Context(), cfg, self)
	if err != nil || name == taken || self.Proposed() != name {
		t.Errorf("%s, %v; %s was taken", name, err, taken)
	}
}

// TestListensBeforehand: Listens reports what would keep erluv from listening.
func TestListensBeforehand(t *testing.T) {
	cfg := listeningConfig(t)
	if warnings, err := Listens(t.Context(), cfg); err != nil || len(warnings) > 0 {
		t.Errorf("%v, %v", err, warnings)
	}
	cfg.Host = "192.0.2.1"
	if warnings, err := Listens(t.Context(), cfg); err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "192.0.2.1, is not the loopback") {
		t.Errorf("%v, %v", err, warnings)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg.Listen = config.Listen{Host: "127.0.0.1", Low: portOf(l), High: portOf(l)}
	if _, err := Listens(t.Context(), cfg); err == nil {
		t.Error("a port that is taken")
	}
	if err := run(t, cfg).wait(t); err == nil || ExitStatus(err) != 1 {
		t.Errorf("it runs: %v", err)
	}
	cfg.Listen = config.Listen{}
	if warnings, err := Listens(t.Context(), cfg); err != nil || len(warnings) > 0 {
		t.Errorf("%v, %v", err, warnings)
	}
	if _, err := Ping(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "no node to ask") {
		t.Errorf("ping: %v", err)
	}
}

// TestRegistered: the state of the registration with EPMD is logged.
func TestRegistered(t *testing.T) {
	for want, err := range map[string]error{
		`level=INFO msg="registered with EPMD" node=us@h`: nil,
		"level=ERROR msg=\"nodes do not find this one\"":  epmd.ErrTaken,
		"level=WARN msg=\"nodes find this one only if":    errTest,
	} {
		var log bytes.Buffer
		g := guard{name: "us@h", log: slog.New(slog.NewTextHandler(&log, nil))}
		g.registered(err)
		if !strings.Contains(log.String(), want) {
			t.Errorf("%v: %q, want %q", err, log.String(), want)
		}
	}
}

type accessError struct{}

func (accessError) Error() string        { return "access" }
func (accessError) Is(target error) bool { return target == error(syscall.EACCES) }
