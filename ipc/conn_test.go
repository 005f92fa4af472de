package ipc

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func pair(t *testing.T) (a, b *Conn) {
	t.Helper()
	a, b, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = a.Close()
		_ = b.Close()
	})
	return a, b
}

func openFDs(t *testing.T) int {
	t.Helper()
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// pipes makes n descriptors to send.
func pipes(t *testing.T, n int) (fds []int) {
	t.Helper()
	for range n {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		fds = append(fds, p[1])
		_ = unix.Close(p[0])
	}
	t.Cleanup(func() { CloseAll(fds) })
	return fds
}

func TestPackets(t *testing.T) {
	a, b := pair(t)
	buf := make([]byte, MaxPacket)
	for _, size := range []int{1, 2, 1000, MaxPacket} {
		sent := bytes.Repeat([]byte{byte(size)}, size)
		if err := a.TrySend(sent); err != nil {
			t.Fatal(err)
		}
		n, fds, err := b.TryRecv(buf)
		if err != nil || len(fds) > 0 || !bytes.Equal(buf[:n], sent) {
			t.Errorf("%d bytes: read %d, descriptors %v, %v", size, n, fds, err)
		}
	}
	if err := a.TrySend(nil); err == nil {
		t.Error("an empty packet was sent: it reads as the end of file")
	}
	if err := a.TrySend(make([]byte, MaxPacket+1)); err == nil {
		t.Error("a packet beyond MaxPacket was sent")
	}
	if err := a.TrySend([]byte{1}, make([]int, MaxFDs+1)...); err == nil {
		t.Error("more than MaxFDs descriptors were sent")
	}
}

// TestDescriptors: each descriptor arrives in its place, close-on-exec, and open although the
// sender has closed its own.
func TestDescriptors(t *testing.T) {
	a, b := pair(t)
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	others := pipes(t, MaxFDs-1)
	if err := a.TrySend([]byte("x"), append([]int{p[1]}, others...)...); err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(p[1])
	_, fds, err := b.TryRecv(make([]byte, 10))
	if err != nil || len(fds) != MaxFDs {
		t.Fatalf("%v, %v", fds, err)
	}
	defer CloseAll(fds)
	for _, fd := range fds {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d: flags %d, %v", fd, flags, err)
		}
	}
	if _, err := unix.Write(fds[0], []byte("through")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 10)
	n, err := unix.Read(p[0], got)
	if err != nil || string(got[:n]) != "through" {
		t.Errorf("%q, %v", got[:n], err)
	}
	_ = unix.Close(p[0])

	// A packet without descriptors has none, also after one with them.
	if err := a.TrySend([]byte("y")); err != nil {
		t.Fatal(err)
	}
	if _, fds, err := b.TryRecv(got); err != nil || len(fds) > 0 {
		t.Errorf("%v, %v", fds, err)
	}
}

// TestRefusedDescriptors: a refused packet leaves no descriptor behind.
func TestRefusedDescriptors(t *testing.T) {
	a, b := pair(t)
	fds := pipes(t, 2*MaxFDs)
	before := openFDs(t)
	if err := a.TrySend(make([]byte, 100), fds[:3]...); err != nil {
		t.Fatal(err)
	}
	if _, got, err := b.TryRecv(make([]byte, 50)); err == nil || !strings.Contains(err.Error(), "more than 50 bytes") || got != nil {
		t.Errorf("a packet larger than the buffer: %v, %v", got, err)
	}
	for _, n := range []int{MaxFDs + 1, 2 * MaxFDs} { // as many as the control data holds, and more
		if err := unix.Sendmsg(a.FD(), []byte{1}, unix.UnixRights(fds[:n]...), nil, 0); err != nil {
			t.Fatal(err)
		}
		if _, got, err := b.TryRecv(make([]byte, 50)); err == nil || !strings.Contains(err.Error(), "descriptors") || got != nil {
			t.Errorf("%d descriptors: %v, %v", n, got, err)
		}
	}
	if after := openFDs(t); after != before {
		t.Errorf("%d descriptors, before %d", after, before)
	}
	if err := a.TrySend([]byte("next")); err != nil {
		t.Fatal(err)
	}
	if n, _, err := b.TryRecv(make([]byte, 50)); err != nil || n != 4 {
		t.Errorf("after refusals: %d bytes, %v", n, err)
	}
}

func TestFullEmptyEnd(t *testing.T) {
	a, b := pair(t)
	buf := make([]byte, MaxPacket)
	if _, _, err := b.TryRecv(buf); !errors.Is(err, ErrEmpty) {
		t.Errorf("nothing sent: %v", err)
	}
	sent := 0
	var err error
	for err == nil && sent < 10_000 {
		if err = a.TrySend(buf); err == nil {
			sent++
		}
	}
	if !errors.Is(err, ErrFull) || sent == 0 {
		t.Fatalf("after %d packets: %v", sent, err)
	}
	if err := a.Send(buf, 20*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Send to a full socket: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	for range sent { // packets from before the end are read before it
		if n, _, err := b.TryRecv(buf); err != nil || n != MaxPacket {
			t.Fatalf("%d bytes, %v", n, err)
		}
	}
	if _, _, err := b.TryRecv(buf); err != io.EOF {
		t.Errorf("TryRecv at the end: %v", err)
	}
	if _, _, err := b.Recv(buf, time.Minute); err != io.EOF {
		t.Errorf("Recv at the end: %v", err)
	}
	if err := b.TrySend(buf); !errors.Is(err, unix.EPIPE) {
		t.Errorf("TrySend to nobody: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

// TestUnreadEnd: the other side closes with a packet of ours unread, which the kernel reports as a
// reset once. For readers and for writers it is the end.
func TestUnreadEnd(t *testing.T) {
	for name, c := range map[string]struct {
		call func(a *Conn) error
		want error
	}{
		"reads": {func(a *Conn) error {
			_, _, err := a.TryRecv(make([]byte, 10))
			return err
		}, io.EOF},
		"writes": {func(a *Conn) error { return a.TrySend([]byte("x")) }, unix.EPIPE},
	} {
		a, b := pair(t)
		if err := a.TrySend([]byte("unread")); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := c.call(a); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		}
	}
}

// TestLastWords: the last packets before such an end are read, by each way of reading.
func TestLastWords(t *testing.T) {
	for name, recv := range map[string]func(a *Conn, buf []byte) (int, []int, error){
		"never waits":       (*Conn).TryRecv,
		"waits":             func(a *Conn, buf []byte) (int, []int, error) { return a.Recv(buf, time.Minute) },
		"waits without end": func(a *Conn, buf []byte) (int, []int, error) { return a.Recv(buf, 0) },
	} {
		a, b := pair(t)
		for from, words := range map[*Conn][]string{a: {"unread"}, b: {"last", "words"}} {
			for _, word := range words {
				if err := from.TrySend([]byte(word)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 10)
		for _, want := range []string{"last", "words"} {
			if n, _, err := recv(a, buf); err != nil || string(buf[:n]) != want {
				t.Errorf("%s: %q, %v, want %q", name, buf[:n], err, want)
			}
		}
		if _, _, err := recv(a, buf); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v after the last words", name, err)
		}
	}
}

func TestWaiting(t *testing.T) {
	a, b := pair(t)
	buf := make([]byte, MaxPacket)
	start := time.Now()
	if _, _, err := b.Recv(buf, 20*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Recv of nothing: %v", err)
	}
	if d := time.Since(start); d < 20*time.Millisecond || d > 10*time.Second {
		t.Errorf("Recv of nothing waited %v", d)
	}
	for _, timeout := range []time.Duration{0, time.Minute} {
		got := make(chan error)
		go func() {
			_, _, err := b.Recv(buf, timeout)
			got <- err
		}()
		if err := a.Send([]byte("x"), timeout); err != nil {
			t.Error(err)
		}
		if err := <-got; err != nil {
			t.Errorf("Recv with the bound %v: %v", timeout, err)
		}

		var err error
		for err == nil { // until it is full
			err = a.TrySend(buf)
		}
		go func() { got <- a.Send([]byte("y"), timeout) }()
		for last := 0; last != 1; {
			if last, _, err = b.Recv(buf, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-got; err != nil {
			t.Errorf("Send with the bound %v: %v", timeout, err)
		}
	}
}

func TestFromFD(t *testing.T) {
	a, b := pair(t)
	fd, err := unix.Dup(b.FD())
	if err != nil {
		t.Fatal(err)
	}
	c, err := FromFD(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %d, %v", flags, err)
	}
	if err := a.TrySend([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, _, err := c.TryRecv(make([]byte, 10)); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}

	stream, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer CloseAll(stream[:])
	for _, fd := range []int{stream[0], pipes(t, 1)[0], -1} {
		if _, err := FromFD(fd); err == nil {
			t.Errorf("descriptor %d was taken for a conversation", fd)
		}
	}
	if _, err := unix.FcntlInt(uintptr(stream[0]), unix.F_GETFD, 0); err != nil {
		t.Errorf("a refused descriptor was closed: %v", err)
	}
}

// TestNoDescriptors: an end that takes no descriptors gets none, whether the kernel refuses to send
// them or drops them.
func TestNoDescriptors(t *testing.T) {
	for _, dropped := range []bool{false, true} {
		a, b := pair(t)
		b.NoDescriptors()
		if dropped { // as before SO_PASSRIGHTS: if the kernel has it, the test allows them again
			_ = unix.SetsockoptInt(b.FD(), unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 1)
		}
		fds := pipes(t, MaxFDs)
		before := openFDs(t)
		for _, n := range []int{1, MaxFDs} {
			for _, packet := range [][]byte{[]byte("x"), make([]byte, 100)} {
				err := a.TrySend(packet, fds[:n]...)
				if errors.Is(err, unix.EPERM) && !dropped {
					continue // nothing was sent
				}
				if err != nil {
					t.Fatal(err)
				}
				if _, got, err := b.TryRecv(make([]byte, 50)); err == nil || errors.Is(err, io.EOF) || got != nil {
					t.Errorf("%d descriptors: %v, %v", n, got, err)
				}
			}
		}
		// An empty packet brings none either, and must not pass for the end.
		if err := unix.Sendmsg(a.FD(), nil, unix.UnixRights(fds[0]), nil, 0); err == nil {
			if _, got, err := b.TryRecv(make([]byte, 50)); err == nil || errors.Is(err, io.EOF) || got != nil {
				t.Errorf("an empty packet: %v, %v", got, err)
			}
		} else if dropped {
			t.Error(err)
		}
		if after := openFDs(t); after != before {
			t.Errorf("%d descriptors, before %d", after, before)
		}
		if err := a.TrySend([]byte("next")); err != nil {
			t.Fatal(err)
		}
		if n, _, err := b.TryRecv(make([]byte, 50)); err != nil || n != 4 {
			t.Errorf("afterwards: %d bytes, %v", n, err)
		}
	}
}
