package link

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"erluv/ipc"
)

// lingering is a relay that ends only when it has to hurry.
type lingering struct {
	gone chan struct{}
	now  *atomic.Int32 // how many there are
}

func (l *lingering) Why(time.Duration) string { return "" }

func (l *lingering) Close(hurry <-chan struct{}) <-chan struct{} {
	go func() { // ends with hurry
		<-hurry
		l.now.Add(-1)
		close(l.gone)
	}()
	return l.gone
}

// TestSecureIsBounded: guests never have more relays at once than the maximum. The next guest
// displaces the oldest, and gets its relay when nothing of the oldest is left. That holds during
// TLS's handshake, and while a relay ends slowly.
func TestSecureIsBounded(t *testing.T) {
	var now, worst, ready atomic.Int32
	shakes := func(ctx context.Context, _ ipc.StartRelay, fds ...int) (Relay, error) {
		defer ipc.CloseAll(fds)
		worst.Store(max(worst.Load(), now.Add(1)))
		defer now.Add(-1)
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	relays := func(_ context.Context, _ ipc.StartRelay, fds ...int) (Relay, error) {
		defer ipc.CloseAll(fds)
		worst.Store(max(worst.Load(), now.Add(1)))
		ready.Add(1)
		return &lingering{make(chan struct{}), &now}, nil
	}
	for name, start := range map[string]StartRelay{"shakes hands": shakes, "ends slowly": relays} {
		now.Store(0)
		worst.Store(0)
		const most, crowd = 2, 7
		s := NewSecure(tlsConfig(""), start, most)
		s.pace.burst = crowd // no guest waits for the rate
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, crowd)
		for range crowd {
			here, there := tcpPair(t)
			_, _ = there.Write([]byte{tlsHandshake})
			g := newGuest(ctx, here)
			go func() { // ends with ctx
				conn, _, err := s.Carry(g)
				if err == nil { // it is refused in the distribution's handshake
					_ = conn.Close()
					err = context.Cause(g.ctx)
				}
				g.end()
				ended <- err
			}()
		}
		for range crowd - most {
			if err := <-ended; !errors.Is(err, errCrowded) {
				t.Errorf("%s: %v", name, err)
			}
		}
		cancel(errTest)
		for range most {
			if err := <-ended; !errors.Is(err, errTest) {
				t.Errorf("%s: of the last: %v", name, err)
			}
		}
		if n := worst.Load(); n > most || len(s.lobby.guests) > 0 {
			t.Errorf("%s: there were %d relays at once, %d guests are left", name, n, len(s.lobby.guests))
		}
	}
	if ready.Load() == 0 {
		t.Error("no relay was ready")
	}
}
