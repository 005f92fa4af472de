package childproc

import (
	"runtime"
	"testing"
	"time"

	"erluv/loop/looptest"
)

// TestSlack: memory is given back when many workers have started or ended and no more
// do, and not before.
func TestSlack(t *testing.T) {
	l, err := looptest.New()
	must(t, err)
	defer l.Close()
	m := &manager{after: l.After}
	forced := func() uint32 {
		var st runtime.MemStats
		runtime.ReadMemStats(&st)
		return st.NumForcedGC
	}
	for range slackWorth - 1 {
		m.changed()
	}
	if m.slack.timer != nil {
		t.Fatalf("%d are enough", slackWorth-1)
	}
	before := forced()
	m.changed()
	l.After(slackPause/2, m.changed)
	l.After(slackPause*3/2, func() {
		if m.slack.timer == nil || forced() != before {
			t.Error("it does not wait for those who still start")
		}
	})
	l.After(slackPause*5/2, func() {
		if m.slack != (slack{}) {
			t.Error("it waits, and nothing starts any more")
		}
		l.Stop()
	})
	must(t, l.Run())
	for end := time.Now().Add(patience); forced() == before; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("nothing is given back")
		}
	}
}
