package spawner

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// TestSlack: memory is given back when there were many starts and there are no more.
func TestSlack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s slack
		forced := func() uint32 {
			time.Sleep(slackPause * 3 / 4)
			synctest.Wait()
			var st runtime.MemStats
			runtime.ReadMemStats(&st)
			return st.NumForcedGC
		}
		before := forced()
		for range slackWorth - 1 {
			s.started()
		}
		for range 2 {
			if forced() != before {
				t.Errorf("%d are enough", slackWorth-1)
			}
		}
		s.started()
		for range 3 {
			if forced() != before {
				t.Error("it does not wait for the last start")
			}
			s.started()
		}
		if forced() != before {
			t.Error("it does not wait for the last start")
		}
		if forced() != before+1 || s.starts.Load() != 0 {
			t.Error("nothing is given back")
		}
	})
}
