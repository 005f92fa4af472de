package workers_test

import (
	"strings"
	"testing"
	"time"

	"erluv/workers"
)

// stubborn are programs that are hard to end. They print their process ids.
var stubborn = []string{
	"echo $$; exec sleep 1000",
	"trap '' TERM INT HUP; echo $$; while :; do sleep 1000; done",
	"echo $$; kill -STOP $$",
	"(trap '' TERM; sleep 1000 & echo $$ $!; wait)",
	// In another session, with an ended parent.
	"trap '' TERM HUP; (setsid sh -c 'echo $$; exec sleep 1000' &); sleep 1000",
	// The leader and the processes between have ended.
	"x=$( (setsid sh -c '(setsid sh -c \"echo \\$\\$; exec >&-; exec sleep 1000\" &)' &) ); echo $x",
}

// startStubborn starts them and returns all process ids.
func startStubborn(w *world) []int {
	w.t.Helper()
	var pids []int
	for _, script := range stubborn {
		sp := shell(script)
		sp.Tree = workers.TreeLeave
		r := w.started(sp, "\n")
		w.do(func() {
			for i := range strings.Fields(r.stdout()) {
				pids = append(pids, pidIn(w.t, r, i))
			}
			if !r.over() {
				pids = append(pids, r.PID())
			}
		})
	}
	return pids
}

// TestTheChildEnds checks that no program outlives the child. The spawner ends all processes that
// it started, including those that left their group and session, and then itself.
func TestTheChildEnds(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		o := options{reports: reports, unclean: true}
		w := newWorldWith(t, o)
		pids := startStubborn(w)
		if len(pids) < len(stubborn) {
			t.Fatalf("%d processes", len(pids))
		}
		begin := time.Now()
		w.close(o) // waits for the spawner
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		for _, pid := range pids {
			if !gone(pid) {
				t.Errorf("process %d is left", pid)
			}
		}
		if status := w.spawner.ProcessState.ExitCode(); status != 0 {
			t.Errorf("the spawner's exit status is %d: %s", status, w.stderr.String())
		}
	})
}

// TestTheSpawnerIsKilled checks that the programs do not outlive the spawner.
func TestTheSpawnerIsKilled(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorldWith(t, options{reports: reports, unclean: true})
		var runs [5]*run
		for i := range runs {
			runs[i] = w.started(shell("trap '' TERM HUP; exec sleep 1000"), "")
		}
		if err := w.spawner.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		w.await("lost", func() bool { return len(w.lost) > 0 })
		for _, r := range runs {
			w.alarm("the program's end", func() bool { return gone(r.PID()) })
		}
		// Later workers wait for another spawner, and the running ones end with the first.
		later := w.start(command("true"))
		w.replace(options{reports: reports})
		for _, r := range runs {
			w.finish(r).want("signal SIGKILL, core false")
		}
		w.finish(later).want("exit 0")
		w.do(func() {
			if len(w.lost) != 1 {
				t.Errorf("lost %d times", len(w.lost))
			}
		})
	})
}

// replace waits for the end of a killed spawner, and provides another one.
func (w *world) replace(o options) {
	w.t.Helper()
	_ = w.spawner.Wait()
	_ = w.up.Close()
	w.startSpawner(o)
	w.do(func() {
		if err := w.starter.Replace(w.conn); err != nil {
			w.t.Error(err)
		}
	})
}
