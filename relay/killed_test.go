package relay

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// checker takes a stream and finds where it differs from the pattern.
type checker struct{ at uint64 }

func (c *checker) Write(b []byte) (int, error) {
	want := make([]byte, len(b))
	pattern(want, c.at)
	if !bytes.Equal(b, want) {
		return 0, fmt.Errorf("a byte from %d to %d is another one", c.at, c.at+uint64(len(b)))
	}
	c.at += uint64(len(b))
	return len(b), nil
}

// kills is how often TestKilled kills; doc/journal.md has a run with 1,600.
var kills = flag.Int("kills", 50, "children that TestKilled kills")

// TestKilled: children that write and read are killed at any moment, one after the other. Each
// begins at the position of the last one, as main has computed it. The node gets a stream without a
// gap, and so does main when it reads the child's remainder.
func TestKilled(t *testing.T) {
	s, node := up(t, nil)
	_ = s.node.SetDeadline(time.Time{})
	arrives := &checker{}
	received := make(chan error, 1)
	go func() { _, err := io.Copy(arrives, node); received <- err }() // received below
	go func() {                                                       // ends with the connection
		b := make([]byte, 50_000)
		for at := uint64(0); ; at += uint64(len(b)) {
			pattern(b, at)
			if _, err := node.Write(b); err != nil {
				return
			}
		}
	}()
	var written, read uint64
	torn := 0
	near, err := unix.Dup(int(s.near.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(near)
	for round := range *kills {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), fmt.Sprintf("TEST_CHILD=%d", written))
		child.ExtraFiles = []*os.File{s.near}
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		// It has begun when something has been written.
		for end := time.Now().Add(patience); ; {
			w, _, err := s.count.Position(near, s.far)
			if err == nil && w > written {
				break
			}
			if time.Now().After(end) {
				t.Fatal("the child does not write", err)
			}
		}
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
		_ = child.Process.Kill()
		_ = child.Wait() // all of its threads are gone
		now, nowRead, err := s.count.Position(near, s.far)
		if err != nil || now < written || nowRead < read {
			t.Fatal(now, nowRead, err)
		}
		if (now-written)%99_999 != 0 {
			torn++
		}
		written, read = now, nowRead
		if round%10 == 0 { // main reads on
			b := make([]byte, 10_000)
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(near), Events: unix.POLLIN}}, int(patience.Milliseconds()))
			n, err := unix.Read(near, b)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := (&checker{read}).Write(b[:n]); err != nil {
				t.Fatalf("round %d, from the node: %v", round, err)
			}
			read += uint64(n)
		}
	}
	_ = unix.Shutdown(near, unix.SHUT_WR)
	if err := <-received; err != nil {
		t.Fatalf("to the node: %v", err)
	}
	if arrives.at != written {
		t.Errorf("the node has got %d bytes, and %d were written", arrives.at, written)
	}
	t.Logf("%d bytes written, %d read; %d of %d children were killed within a write", written, read, torn, *kills)
	if torn == 0 {
		t.Error("no child was killed within a write")
	}
}
