package epmd_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"erluv/wire/epmd"
)

const aliveLength = 2 + 13 + len("node")

func TestRegister(t *testing.T) {
	for name, c := range map[string]struct {
		answer   string
		creation uint32
		want     string // "" is success
	}{
		"as it should be":          {"v\x00\x01\x02\x03\x04", 0x01020304, ""},
		"of OTP 22":                {"y\x00\x00\x03", 3, ""},
		"taken":                    {"v\x01\x00\x00\x00c", 0, "choose another name"},
		"taken, of OTP 22":         {"y\x01\x00c", 0, "choose another name"},
		"nothing":                  {"", 0, "before it had answered"},
		"breaks off in the result": {"v", 0, "before it had answered"},
		"breaks off":               {"v\x00\x01\x02\x03", 0, "before it had answered"},
		"taken and breaks off":     {"v\x01\x00\x00\x00", 0, "before it had answered"},
		"another type":             {"w\x00\x00\x00\x00\x00", 0, "type 119"},
		"junk":                     {"HTTP/1.1 400 Bad Request\r\n\r\n", 0, "type 72"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		addr := fake(t, aliveLength, c.answer, c.want != "")
		r, err := epmd.Register(ctx, addr, "node", 4000)
		cancel()
		if c.want == "" {
			if err != nil || r.Creation != c.creation {
				t.Errorf("%s: %+v, %v", name, r, err)
				continue
			}
			r.Close()
			r.Wait()
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), addr) {
			t.Errorf("%s: error %v, want one with %q and %s", name, err, c.want, addr)
		}
		if errors.Is(err, epmd.ErrTaken) != (c.want == "choose another name") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The request has exactly the documented bytes.
func TestRegisterRequest(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan string, 1)
	go func() { // ends with the connection, which the other side closes
		conn, err := l.Accept()
		if err != nil {
			close(got)
			return
		}
		defer conn.Close()
		b := make([]byte, aliveLength)
		_, _ = io.ReadFull(conn, b)
		_, _ = io.WriteString(conn, "v\x00\x00\x00\x00\x01")
		rest, _ := io.ReadAll(conn)
		got <- string(b) + string(rest)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := epmd.Register(ctx, l.Addr().String(), "node", 0x1234)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if b, want := <-got, "\x00\x11x\x12\x34H\x00\x00\x06\x00\x06\x00\x04node\x00\x00"; b != want {
		t.Errorf("sent %q, want %q", b, want)
	}
}

// A name that EPMD would refuse, as if it were taken, is not sent.
func TestRegisterBadName(t *testing.T) {
	for _, name := range []string{"", "node@host", strings.Repeat("x", 254), strings.Repeat("x", 1021), "\xff", "a\x00b"} {
		_, err := epmd.Register(t.Context(), "", name, 1)
		if err == nil || strings.Contains(err.Error(), "no EPMD") || errors.Is(err, epmd.ErrTaken) {
			t.Errorf("%.20q: %v", name, err)
		}
	}
	if _, err := epmd.Register(t.Context(), "", "node", 0); err == nil || !strings.Contains(err.Error(), "port 0") {
		t.Errorf("port 0: %v", err)
	}
}

func TestRegisterSilent(t *testing.T) {
	for n := range len("v\x00\x00\x00\x00\x01") {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := epmd.Register(ctx, fake(t, aliveLength, "v\x00\x00\x00\x00\x01"[:n], false), "node", 1)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("silent after %d bytes: %v", n, err)
		}
	}
}

// A real EPMD knows a registered node until its registration ends.
func TestRealRegister(t *testing.T) {
	addr := startEPMD(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	longest := strings.Repeat("\U0001f600", 253)
	for _, name := range []string{"node", longest} {
		r, err := epmd.Register(ctx, addr, name, 4000)
		if err != nil {
			t.Fatal(err)
		}
		if r.Creation < 4 { // nodes before OTP 23 cycle through these
			t.Errorf("creation %d of version 6", r.Creation)
		}
		if got, err := epmd.Lookup(ctx, addr, name); err != nil || got != (epmd.Node{Port: 4000, LowVersion: 6, HighVersion: 6}) {
			t.Errorf("%.20q: %+v, %v", name, got, err)
		}
		if _, err := epmd.Register(ctx, addr, name, 4001); !errors.Is(err, epmd.ErrTaken) {
			t.Errorf("%.20q a second time: %v", name, err)
		}
		r.Close()
		for err == nil { // see TestRealEPMD
			_, err = epmd.Lookup(ctx, addr, name)
		}
		if !errors.Is(err, epmd.ErrUnknown) {
			t.Errorf("%.20q after its end: %v", name, err)
		}
		again, err := epmd.Register(ctx, addr, name, 4000)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if again.Creation == r.Creation {
			t.Errorf("%.20q: creation %d twice", name, again.Creation)
		}
	}
}

// A node outlives its EPMD, and is registered with the next one at the same port.
func TestRealKeeper(t *testing.T) {
	port := freePort(t)
	first := startEPMDAt(t, port)
	told := make(chan error, 100) // more than Run sends
	ctx, cancel := context.WithCancel(t.Context())
	k := epmd.Keeper{Addr: first.addr, Name: "kept", Port: 4000, Tell: func(err error) { told <- err }}
	done := make(chan struct{})
	go func() { // ends with ctx
		defer close(done)
		k.Run(ctx)
	}()
	defer func() { cancel(); <-done }()
	want(t, told, "")
	first.kill()
	want(t, told, "EPMD has ended")
	second := startEPMDAt(t, port)
	// While there was no EPMD, Tell got only the end of the first one.
	want(t, told, "")
	if got, err := epmd.Lookup(ctx, second.addr, "kept"); err != nil || got.Port != 4000 {
		t.Errorf("after the restart: %+v, %v", got, err)
	}
	cancel()
	<-done
	var err error
	for err == nil {
		_, err = epmd.Lookup(t.Context(), second.addr, "kept")
	}
	if !errors.Is(err, epmd.ErrUnknown) {
		t.Errorf("after its end: %v", err)
	}
	if len(told) > 0 {
		t.Errorf("told %v besides", <-told)
	}
}

// want takes the next error from told, which must have this text, or be nil.
func want(t *testing.T, told <-chan error, text string) {
	t.Helper()
	select {
	case err := <-told:
		if (err == nil) != (text == "") || err != nil && !strings.Contains(err.Error(), text) {
			t.Fatalf("told %v, want %q", err, text)
		}
	case <-time.After(patience):
		t.Fatalf("not told %q", text)
	}
}

// Many nodes at one EPMD, as many as a machine may have.
func TestRealRegisterMany(t *testing.T) {
	addr := startEPMD(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i := range 100 {
		r, err := epmd.Register(ctx, addr, strings.Repeat("n", i+1), 4000)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
	}
	names, err := epmd.Names(ctx, addr)
	if err != nil || len(names) != 100 || !slices.Contains(names, epmd.Registered{Name: "n", Port: 4000}) {
		t.Errorf("%d names: %v", len(names), err)
	}
}
