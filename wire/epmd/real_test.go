package epmd_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"erluv/wire/epmd"
)

// program returns the path of a program of the OTP under test: beside $ERLUV_ERL if that is set, or
// else from PATH.
func program(t *testing.T, name string) string {
	t.Helper()
	if erl := os.Getenv("ERLUV_ERL"); erl != "" {
		path := filepath.Join(filepath.Dir(erl), name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("this test needs Erlang/OTP (ERLUV_ERL, or in PATH): %v", err)
	}
	return path
}

// startEPMD starts a real EPMD on a port of its own, and returns its address. EPMD ends with the
// test.
func startEPMD(t *testing.T) (addr string) {
	t.Helper()
	return startEPMDAt(t, freePort(t)).addr
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// daemon is a real EPMD.
type daemon struct {
	addr string
	kill func() // also waits for its end
}

// startEPMDAt starts a real EPMD, which ends with the test.
func startEPMDAt(t *testing.T, port string) daemon {
	t.Helper()
	// With two -d, EPMD reports on standard error when it listens.
	cmd := exec.Command(program(t, "epmd"), "-d", "-d", "-port", port, "-address", "127.0.0.1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that panics does not clean up
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan bool, 1), make(chan struct{})
	go func() { // ends with the program
		defer close(ended)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "entering the main select() loop") {
				ready <- true
			}
		}
		_ = cmd.Wait()
	}()
	d := daemon{net.JoinHostPort("127.0.0.1", port), func() {
		_ = cmd.Process.Kill()
		<-ended
	}}
	t.Cleanup(d.kill)
	select {
	case <-ready:
	case <-ended:
		t.Fatal("epmd ended at once")
	case <-time.After(patience):
		t.Fatal("epmd does not listen")
	}
	return d
}

// register registers a name like a node, with ALIVE2_REQ. The name stays as long as the connection.
func register(t *testing.T, addr, name string, port, low, high uint16) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	b := []byte{120}
	b = binary.BigEndian.AppendUint16(b, port)
	b = append(b, 77, 0)
	b = binary.BigEndian.AppendUint16(b, high)
	b = binary.BigEndian.AppendUint16(b, low)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(name))), name...)
	b = append(b, 0, 3, 'x', 'y', 'z')
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)); err != nil {
		t.Fatal(err)
	}
	var answer [4]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil || answer[1] != 0 {
		t.Fatalf("EPMD does not register %q: %v, %v", name, answer, err)
	}
	return conn
}

func TestRealEPMD(t *testing.T) {
	addr := startEPMD(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	if names, err := epmd.Names(ctx, addr); err != nil || len(names) != 0 {
		t.Errorf("at first: %v, %v", names, err)
	}
	if _, err := epmd.Lookup(ctx, addr, "node"); !errors.Is(err, epmd.ErrUnknown) {
		t.Errorf("at first: %v", err)
	}
	gone := register(t, addr, "node", 40000, 5, 6)
	register(t, addr, "other node \u00fc", 1, 6, 6)
	for name, want := range map[string]epmd.Node{
		"node":              {Port: 40000, LowVersion: 5, HighVersion: 6},
		"other node \u00fc": {Port: 1, LowVersion: 6, HighVersion: 6},
	} {
		if got, err := epmd.Lookup(ctx, addr, name); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", name, got, err, want)
		}
	}
	names, err := epmd.Names(ctx, addr)
	slices.SortFunc(names, func(a, b epmd.Registered) int { return strings.Compare(a.Name, b.Name) })
	if want := []epmd.Registered{{"node", 40000}, {"other node \u00fc", 1}}; err != nil || !slices.Equal(names, want) {
		t.Errorf("two registered: %v, %v", names, err)
	}

	// EPMD forgets a node that has ended when it reads the end of its connection. Each question is
	// one more round of its loop.
	gone.Close()
	for err = nil; err == nil; {
		_, err = epmd.Lookup(ctx, addr, "node")
	}
	if !errors.Is(err, epmd.ErrUnknown) {
		t.Errorf("after its end: %v", err)
	}
}

// A long list comes in several chunks.
func TestRealEPMDManyNames(t *testing.T) {
	addr := startEPMD(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	const many = 300
	for i := range many {
		register(t, addr, strings.Repeat("n", 200)+strconv.Itoa(i), uint16(1000+i), 6, 6)
	}
	names, err := epmd.Names(ctx, addr)
	if err != nil || len(names) != many {
		t.Errorf("%d names of %d: %v", len(names), many, err)
	}
	got, err := epmd.Lookup(ctx, addr, strings.Repeat("n", 200)+"299")
	if err != nil || got.Port != 1299 {
		t.Errorf("the last of them: %+v, %v", got, err)
	}
}
