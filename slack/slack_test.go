package slack

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// TestSlack checks that memory is returned once, after a burst and a pause, and not before.
func TestSlack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Slack{Worth: 256, After: Timers}
		forced := func(d time.Duration) uint32 {
			time.Sleep(d)
			synctest.Wait()
			var st runtime.MemStats
			runtime.ReadMemStats(&st)
			return st.NumForcedGC
		}
		before := forced(0)
		for range s.Worth - 1 {
			s.Happened()
		}
		if forced(3*Pause) != before {
			t.Errorf("%d are enough", s.Worth-1)
		}
		s.Happened()
		for range 3 {
			if forced(Pause*3/4) != before {
				t.Error("it does not wait for the last")
			}
			s.Happened()
		}
		if forced(Pause) != before+1 {
			t.Error("nothing is given back")
		}
		s.Happened()
		if forced(3*Pause) != before+1 {
			t.Error("it does not count anew")
		}
	})
}
