package crew

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/sandbox"

	"golang.org/x/sys/unix"
)

// playRelay is a relay that does what its ServerName says.
func playRelay() error {
	if err := sandbox.NotDumpable(); err != nil {
		return err
	}
	conn, err := ipc.FromFD(conversation)
	if err != nil {
		return err
	}
	msg, _, _, err := ipc.Greet(conn, ipc.RoleRelay, ipc.RelayFDs, waitBound)
	if err != nil {
		return err
	}
	how := msg.(ipc.StartRelay).ServerName
	say := func(m ipc.Message) { _ = conn.Send(ipc.Append(nil, m), waitBound) }
	switch how {
	case "fails":
		say(ipc.Failed{Text: "no\nTLS"})
		return nil
	case "is slow":
		<-time.After(time.Hour)
	}
	say(ipc.Ready{})
	switch how {
	case "ends":
		say(ipc.Stopped{Cause: ipc.CauseAsked, Text: "the connection has ended"})
		return nil
	case "loses":
		say(ipc.Stopped{Cause: ipc.CauseDisconnected, Text: "the node is gone"})
		return nil
	case "says more":
		say(ipc.Drain{})
	case "is deaf":
		<-time.After(time.Hour)
	}
	buf := make([]byte, ipc.MaxPacket)
	for beats := 0; ; beats++ {
		if _, _, err := conn.Recv(buf, 0); err != nil {
			return nil
		}
		say(ipc.Beat{})
		if how == "answers once" && beats == 0 {
			say(ipc.Stopped{Cause: ipc.CauseDisconnected, Text: "answered"})
			return nil
		}
	}
}

// TestRelays: main learns why a relay ends, in all ways. The child's end of the inner stream ends
// with it, and nothing is left.
func TestRelays(t *testing.T) {
	for how, test := range map[string]struct {
		kill  bool
		close bool
		hurry bool
		fails string // of the start
		why   string
	}{
		"fails":        {fails: "no?TLS"},
		"is slow":      {fails: "context deadline exceeded"},
		"ends":         {},
		"loses":        {why: "the node is gone"},
		"serves":       {kill: true, why: "killed: killed"},
		"says more":    {why: "sent a forbidden message"},
		"answers once": {why: "answered"},
		"is closed":    {close: true, why: "has ended with status 0"},
		"is deaf":      {close: true, why: "killed: killed"},
		"is hurried":   {hurry: true, why: "killed: killed"},
		"is hung":      {why: "did not answer"},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			r, err := NewRelays(testID(), 0)
			if err != nil {
				t.Fatal(err)
			}
			ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(ends[0])
			defer unix.Close(ends[1])
			ctx, cancel := context.WithTimeout(context.Background(), waitBound)
			if how == "is slow" {
				ctx, cancel = context.WithTimeout(context.Background(), 200*time.Millisecond)
			}
			defer cancel()
			null, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			defer null.Close()
			name := how
			if how == "is hung" || how == "is hurried" {
				name = "is deaf"
			}
			relay, err := r.Start(ctx, ipc.StartRelay{ServerName: name}, copies(ends[1], ends[1], int(null.Fd()), int(null.Fd()))...)
			if test.fails != "" {
				wantError(t, how, err, test.fails)
				if said := (*RelayError)(nil); errors.As(err, &said) != (how == "fails") {
					t.Errorf("%#v", err)
				}
				r.Close()
				if len(r.starter.relays) > 0 {
					t.Error("it counts as a relay")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			// Another relay may have ended by now.
			if stays := test.kill || test.close || test.hurry || how == "is hung"; stays && !r.starter.isRelay(relay.p.pid) {
				t.Error("it does not count as a relay")
			}
			if test.kill {
				if why := relay.Why(0); why != "" {
					t.Error(why)
				}
				relay.p.kill()
			}
			if test.close {
				relay.Close(nil)
			}
			if test.hurry {
				relay.Close(ctx.Done())
				cancel()
			}
			// The far end is open here too, so only main can end the stream.
			if n, err := unix.Read(ends[0], make([]byte, 1)); n != 0 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
			why := relay.Why(waitBound)
			if test.why == "" && why != "" {
				t.Errorf("%q", why)
			} else if test.why != "" {
				wantError(t, how, errors.New(why), test.why)
			}
			<-relay.Close(nil)
			relay.Close(nil)
			r.Close()
			if r.starter.isRelay(relay.p.pid) {
				t.Error("it still counts as a relay")
			}
		})
	}
}

// TestRelaysAreSpared: a relay is not a program, so endOrphans spares it.
func TestRelaysAreSpared(t *testing.T) {
	r, err := NewRelays(testID(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	relay, end := startRelay(t, r)
	defer end()
	c := &Crew{starter: r.starter}
	if err := endOrphans(r.id.UID, c.spared()); err != nil {
		t.Error(err)
	}
	reapOrphans(c.spared())
	if relay.p.ended(0) {
		t.Fatal("it was ended")
	}
	if !c.spared(4711)(4711) || c.spared()(4711) {
		t.Error("others are spared")
	}
}

// copies duplicates descriptors.
func copies(fds ...int) []int {
	for i, fd := range fds {
		fds[i], _ = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	}
	return fds
}

// startRelay starts a relay that serves.
func startRelay(t *testing.T, r *Relays) (relay *Relay, end func()) {
	t.Helper()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), waitBound)
	defer cancel()
	if relay, err = r.Start(ctx, ipc.StartRelay{ServerName: "serves"}, copies(ends[1], ends[1], ends[1], ends[1])...); err != nil {
		t.Fatal(err)
	}
	return relay, func() {
		relay.Close(nil)
		_ = unix.Close(ends[0])
		_ = unix.Close(ends[1])
	}
}
