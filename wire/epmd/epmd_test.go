package epmd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"erluv/wire/epmd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for an event that must come.
const patience = 2 * time.Minute

// fake is an EPMD that reads a request of the given size and always gives the same answer. Then it
// ends the connection, or leaves it open.
func fake(t *testing.T, request int, answer string, end bool) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends with the listener
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(conn, make([]byte, request))
			_, _ = io.WriteString(conn, answer)
			if !end {
				_, _ = conn.Read(make([]byte, 1)) // until the client goes
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

const (
	lookupRequest = 2 + 1 + len("node")
	namesRequest  = 2 + 1
	nodeAnswer    = "w\x00\x9c\x40M\x00\x00\x06\x00\x05\x00\x04node\x00\x00" // port 40000, versions 5 to 6
)

func TestLookup(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		want   string // "" is success
	}{
		"as it should be":         {nodeAnswer, ""},
		"with something extra":    {nodeAnswer[:len(nodeAnswer)-2] + "\x00\x03xyz", ""},
		"no extra at all":         {nodeAnswer[:len(nodeAnswer)-2], ""},
		"hidden":                  {strings.Replace(nodeAnswer, "M", "H", 1), ""},
		"unknown":                 {"w\x01", "is it running, and under that name"},
		"nothing":                 {"", "before it had answered"},
		"one byte":                {"w", "before it had answered"},
		"breaks off in the ports": {nodeAnswer[:9], "before it had answered"},
		"breaks off in the name":  {nodeAnswer[:14], "before it had answered"},
		"another type":            {"v\x00" + nodeAnswer[2:], "type 118"},
		"port 0":                  {"w\x00\x00\x00" + nodeAnswer[4:], "port 0"},
		"another protocol":        {strings.Replace(nodeAnswer, "M\x00", "M\x01", 1), "protocol 1"},
		"another node":            {strings.Replace(nodeAnswer, "node", "mode", 1), "another node"},
		"a longer name":           {strings.Replace(nodeAnswer, "\x04node", "\xff\xffnode", 1), "another node"},
		"junk":                    {"HTTP/1.1 400 Bad Request\r\n\r\n", "type 72"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		addr := fake(t, lookupRequest, c.answer, true)
		node, err := epmd.Lookup(ctx, addr, "node")
		cancel()
		if c.want == "" {
			if want := (epmd.Node{Port: 40000, LowVersion: 5, HighVersion: 6}); err != nil || node != want {
				t.Errorf("%s: %+v, %v; want %+v", name, node, err, want)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), addr) {
			t.Errorf("%s: error %v, want one with %q and %s", name, err, c.want, addr)
		}
		if errors.Is(err, epmd.ErrUnknown) != (name == "unknown") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Lookup returns when the answer is complete. It does not wait for the end of the connection.
func TestLookupOpenEnd(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := epmd.Lookup(ctx, fake(t, lookupRequest, nodeAnswer, false), "node"); err != nil {
		t.Error(err)
	}
	if _, err := epmd.Lookup(ctx, fake(t, lookupRequest, "w\x01", false), "node"); !errors.Is(err, epmd.ErrUnknown) {
		t.Error(err)
	}
}

func TestLookupBadName(t *testing.T) {
	for _, name := range []string{"", "node@host", "@", strings.Repeat("x", 1021)} {
		// Lookup must not use the address, which is not valid.
		if _, err := epmd.Lookup(t.Context(), "", name); err == nil || strings.Contains(err.Error(), "no EPMD") {
			t.Errorf("%.20q: %v", name, err)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	want := fmt.Sprintf("no EPMD at %s: is an Erlang node running there?", addr)
	if _, err = epmd.Lookup(t.Context(), addr, "node"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Lookup: %v", err)
	}
	if _, err = epmd.Names(t.Context(), addr); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Names: %v", err)
	}
}

// A host that does not resolve is not reported as a missing EPMD.
func TestUnknownHost(t *testing.T) {
	_, err := epmd.Lookup(t.Context(), "host.invalid:4369", "node")
	if err == nil || strings.Contains(err.Error(), "no EPMD") || !strings.Contains(err.Error(), "cannot find the host of") {
		t.Errorf("Lookup: %v", err)
	}
}

// A silent peer is waited for until the context ends, by its deadline or earlier.
func TestSilent(t *testing.T) {
	for n := range lookupRequest + 1 { // also after n bytes of a list
		answer := "\x00\x00\x10\x11name a at port 1\n"[:n]
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := epmd.Names(ctx, fake(t, namesRequest, answer, false))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("silent after %d bytes: %v", n, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // ends with the connection, which the lookup ends
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.ReadFull(conn, make([]byte, lookupRequest))
		cancel()
		_, _ = conn.Read(make([]byte, 1))
	}()
	if _, err := epmd.Lookup(ctx, l.Addr().String(), "node"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestNames(t *testing.T) {
	const head = "\x00\x00\x10\x11"
	for name, c := range map[string]struct {
		answer string
		names  []epmd.Registered
		want   string // "" is success
	}{
		"none": {head, nil, ""},
		"two":  {head + "name a at port 1\nname b at port 65535\n", []epmd.Registered{{"a", 1}, {"b", 65535}}, ""},
		"nasty names": {
			head + "name a at port 1 at port 2\nname \u00fc b at port 3\n",
			[]epmd.Registered{{"a at port 1", 2}, {"\u00fc b", 3}},
			"",
		},
		"no head":                {"\x00\x00", nil, "before it had answered"},
		"breaks off":             {head + "name a at port 1", nil, "breaks off"},
		"no port":                {head + "name a at port \n", nil, `"name a at port "`},
		"port 0":                 {head + "name a at port 0\n", nil, "should be"},
		"port too large":         {head + "name a at port 65536\n", nil, "should be"},
		"port with a sign":       {head + "name a at port +1\n", nil, "should be"},
		"no name":                {head + "name  at port 1\n", nil, "should be"},
		"another line":           {head + "name a at port 1\nhello\n", nil, `"hello"`},
		"an empty line":          {head + "\n", nil, "should be"},
		"a long name":            {head + "name " + strings.Repeat("x", 1021) + " at port 1\n", nil, "should be"},
		"more than a daemon has": {head + strings.Repeat("name a at port 1\n", 1<<16), nil, "longer than 1048576 bytes"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		names, err := epmd.Names(ctx, fake(t, namesRequest, c.answer, true))
		cancel()
		if c.want == "" && err != nil || fmt.Sprint(names) != fmt.Sprint(c.names) {
			t.Errorf("%s: %v, %v; want %v", name, names, err, c.names)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

func TestSpeaks(t *testing.T) {
	node := epmd.Node{LowVersion: 5, HighVersion: 6}
	for version, want := range map[uint16]bool{4: false, 5: true, 6: true, 7: false} {
		if node.Speaks(version) != want {
			t.Errorf("5 to 6 speaks %d: %t", version, !want)
		}
	}
}
