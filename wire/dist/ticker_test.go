package dist_test

import (
	"testing"
	"time"

	"erluv/wire/dist"
)

const second = time.Second

func TestTickerCheck(t *testing.T) {
	start := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		do    func(*dist.Ticker)
		after time.Duration
		want  dist.Due
	}{
		"at once":                   {nil, 0, dist.DueNothing},
		"before a quarter":          {nil, 15*second - 1, dist.DueNothing},
		"after a quarter":           {nil, 15 * second, dist.DueTick},
		"a tick not sent stays due": {nil, 70 * second, dist.DueTick},
		"before five quarters":      {nil, 75*second - 1, dist.DueTick},
		"after five quarters":       {nil, 75 * second, dist.DueSilent},
		"written":                   {func(k *dist.Ticker) { k.Wrote(start.Add(10 * second)) }, 25*second - 1, dist.DueNothing},
		"written a quarter ago":     {func(k *dist.Ticker) { k.Wrote(start.Add(10 * second)) }, 25 * second, dist.DueTick},
		"read does not count as written": {
			func(k *dist.Ticker) { k.Read(start.Add(10 * second)) }, 15 * second, dist.DueTick,
		},
		"written does not count as read": {
			func(k *dist.Ticker) { k.Wrote(start.Add(74 * second)) }, 75 * second, dist.DueSilent,
		},
		"read, silent since":   {func(k *dist.Ticker) { k.Read(start.Add(10 * second)) }, 85 * second, dist.DueSilent},
		"read, not so long":    {func(k *dist.Ticker) { k.Read(start.Add(10 * second)) }, 85*second - 1, dist.DueTick},
		"tick read":            {func(k *dist.Ticker) { k.ReadTick(start.Add(10 * second)) }, 85*second - 1, dist.DueTick},
		"tick, silent since":   {func(k *dist.Ticker) { k.ReadTick(start.Add(10 * second)) }, 85 * second, dist.DueSilent},
		"shorter: silent":      {func(k *dist.Ticker) { k.SetInterval(4 * second) }, 5 * second, dist.DueSilent},
		"shorter: tick":        {func(k *dist.Ticker) { k.SetInterval(4 * second) }, 1 * second, dist.DueTick},
		"longer: not yet":      {func(k *dist.Ticker) { k.SetInterval(400 * second) }, 99 * second, dist.DueNothing},
		"nonsense is a second": {func(k *dist.Ticker) { k.SetInterval(-5) }, second/4 - 1, dist.DueNothing},
	} {
		k := dist.NewTicker(start, dist.DefaultNetTicktime)
		if c.do != nil {
			c.do(&k)
		}
		if got := k.Check(start.Add(c.after)); got != c.want {
			t.Errorf("%s: %d is due, want %d", name, got, c.want)
		}
	}
}

// After any events, nothing is due before Next, and something is due at Next.
func TestTickerNext(t *testing.T) {
	start := time.Unix(1000, 0)
	for _, in := range []time.Duration{0, 1, 14 * second, 60 * second, 61 * second, 100 * second} {
		for _, out := range []time.Duration{0, 1, 14 * second, 60 * second, 61 * second, 100 * second} {
			k := dist.NewTicker(start, 60*second)
			k.Read(start.Add(in))
			k.Wrote(start.Add(out))
			next := k.Next()
			if got := k.Check(next.Add(-1)); got != dist.DueNothing {
				t.Errorf("read %v, wrote %v: %d is due before Next", in, out, got)
			}
			if got := k.Check(next); got == dist.DueNothing {
				t.Errorf("read %v, wrote %v: nothing is due at Next", in, out)
			}
		}
	}
}

// A node drops a peer after reading nothing from it for net_ticktime. It ticks four times in that
// time. This side assumes 60 s, and survives by answering. It must learn a longer net_ticktime.
func TestTickerFasterPeer(t *testing.T) {
	for _, peerTime := range []time.Duration{second, 4 * second, 60 * second, 600 * second} {
		start := time.Unix(1000, 0)
		k := dist.NewTicker(start, dist.DefaultNetTicktime)
		if peerTime > dist.DefaultNetTicktime {
			k.SetInterval(peerTime)
		}
		heard := start
		for n := range 40 {
			tick := start.Add(time.Duration(n+1) * peerTime / 4)
			for k.Next().Before(tick) { // the own ticks
				if k.Check(k.Next()) != dist.DueTick {
					t.Fatalf("net_ticktime %v: the peer, who ticks, counts as gone", peerTime)
				}
				heard = k.Next()
				k.Wrote(heard)
			}
			if silent := tick.Sub(heard); silent >= peerTime {
				t.Fatalf("net_ticktime %v: the peer hears nothing for %v", peerTime, silent)
			}
			if k.ReadTick(tick) {
				k.Wrote(tick)
				heard = tick
			}
		}
	}
}

// Two nodes that answer ticks with ticks must come to rest.
func TestTickerNoPingPong(t *testing.T) {
	now := time.Unix(1000, 0)
	a, b := dist.NewTicker(now, 60*second), dist.NewTicker(now, 60*second)
	const wire = 10 * time.Microsecond
	now = now.Add(15 * second)
	a.Wrote(now)
	rounds := 0
	for at, other := &b, &a; ; at, other = other, at {
		now = now.Add(wire)
		if !at.ReadTick(now) {
			break
		}
		at.Wrote(now)
		if rounds++; rounds > 2 {
			t.Fatalf("%d ticks were answered by ticks", rounds)
		}
	}
}
