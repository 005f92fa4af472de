package workers_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"erluv/workers"

	"golang.org/x/sys/unix"
)

// pidIn returns the process id that a program wrote as its i-th word.
func pidIn(t testing.TB, r *run, i int) int {
	t.Helper()
	f := strings.Fields(r.stdout())
	if len(f) <= i {
		t.Fatalf("no process id in %q", r.stdout())
	}
	pid, err := strconv.Atoi(f[i])
	if err != nil || pid <= 1 {
		t.Fatalf("no process id in %q", r.stdout())
	}
	return pid
}

// nobodyLeft fails the test if the program's group has a member.
func nobodyLeft(t testing.TB, r *run) {
	t.Helper()
	if pids := inGroup(r.PID()); len(pids) != 0 {
		t.Errorf("left in the group: %v", pids)
	}
}

const shortTimeout = 150 * time.Millisecond

func TestTreeKillAndWait(t *testing.T) {
	for _, c := range []struct {
		name    string
		tree    workers.Tree
		script  string // standard input is one line
		out     string
		timeout bool // it takes the kill timeout
	}{
		{"kill, nothing left", workers.TreeKill, "echo a", "a\n", false},
		{"kill", workers.TreeKill, "sleep 1000 & echo a", "a\n", false},
		{"kill, a family", workers.TreeKill, "for i in 1 2 3; do (sleep 1000 & sleep 1000 & wait) & done; echo a", "a\n", false},
		{"kill, deaf", workers.TreeKill, "trap '' TERM; sleep 1000 & echo a", "a\n", true},
		{"kill, stopped", workers.TreeKill, "sh -c 'kill -STOP $$' & until grep -q '^State:.T' /proc/$!/status; do :; done; echo a", "a\n", false},
		{"wait, nothing left", workers.TreeWait, "echo a", "a\n", false},
		{"wait", workers.TreeWait, "(head -n1 <&3; echo b) & echo a", "a\nx\nb\n", false},
		{"wait, another session", workers.TreeWait, "setsid sh -c 'head -n1 <&3; echo b' & echo a", "a\nx\nb\n", false},
		{"wait, streams closed", workers.TreeWait, "(exec >&- 2>&-; head -n1 <&3; sleep 0.1) & echo a", "a\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bothModes(t, func(t *testing.T, reports bool) {
				w := newWorld(t, reports)
				sp := shell("exec 3<&0; " + c.script + "; exit 3")
				sp.Tree = c.tree
				if c.timeout {
					sp.KillTimeout = shortTimeout
				}
				begin := time.Now()
				r := w.started(sp, "a\n")
				// The processes that wait read it after the leader's end.
				w.do(func() { _ = r.Write([]byte("x\n"), nil) })
				w.finish(r).want("exit 3")
				if c.timeout && r.at.Sub(begin) < shortTimeout {
					t.Errorf("over after %v", r.at.Sub(begin))
				}
				if r.stdout() != c.out {
					t.Errorf("wrote %q, want %q", r.stdout(), c.out)
				}
				nobodyLeft(t, r)
				if r.ended[workers.Stdout] != 1 || r.ended[workers.Stderr] != 1 {
					t.Errorf("streams ended %v times", r.ended)
				}
			})
		})
	}
}

// TestEndWhileWaiting checks that a worker which waits for its tree is ended like a running one.
func TestEndWhileWaiting(t *testing.T) {
	for name, script := range map[string]string{
		"in the group":    "sleep 1000 & echo $!",
		"deaf":            "trap '' TERM; sleep 1000 & echo $!",
		"another session": "setsid sleep 1000 & echo $!",
	} {
		for _, kill := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				bothModes(t, func(t *testing.T, reports bool) {
					w := newWorldWith(t, options{reports: reports, unclean: true})
					sp := shell(script + "; exit 4")
					sp.Tree, sp.KillTimeout = workers.TreeWait, shortTimeout
					r := w.start(sp)
					w.await("waiting", func() bool { return r.State() == workers.Waiting })
					w.await("the process id", func() bool { return strings.HasSuffix(r.stdout(), "\n") })
					var left int
					w.do(func() { left, _ = strconv.Atoi(strings.TrimSpace(r.stdout())) })
					w.do(func() {
						if kill {
							r.Kill()
						} else {
							r.Stop()
						}
					})
					w.finish(r).want("exit 4")
					nobodyLeft(t, r)
					// A process outside the group is not the worker's. The spawner ends it.
					if name != "another session" && !gone(left) {
						t.Errorf("process %d is left", left)
					}
				})
			})
		}
	}
}

// TestTreeLeave checks that a process left behind is left alone and delays nothing, even if it
// holds the streams or goes on writing.
func TestTreeLeave(t *testing.T) {
	for name, script := range map[string]string{
		"silent": "sleep 1000 & echo $!",
		"noisy":  "sh -c 'while :; do echo y; done' & echo $!; exec 2>&-",
		"reader": "sh -c 'while read x; do :; done; sleep 1000' & echo $!",
	} {
		t.Run(name, func(t *testing.T) {
			bothModes(t, func(t *testing.T, reports bool) {
				w := newWorldWith(t, options{reports: reports, unclean: true})
				sp := shell(script + "; exit 5")
				sp.Tree = workers.TreeLeave
				r := w.run(sp)
				r.want("exit 5")
				var left int
				for i, f := range strings.Fields(r.stdout()) {
					if f != "y" {
						left = pidIn(t, r, i)
						break
					}
				}
				if name == "noisy" {
					// Its output has no reader any more.
					w.alarm("the end of the noisy one", func() bool { return gone(left) })
					return
				}
				if gone(left) {
					t.Errorf("process %d is gone", left)
				}
				w.do(func() {
					if !w.starter.Idle() {
						t.Error("the starter still holds something")
					}
				})
			})
		})
	}
}

func TestStop(t *testing.T) {
	for _, c := range []struct {
		name, script, end, out string
		timeout                bool
	}{
		{"by the signal", "echo ready; exec sleep 1000", "signal SIGTERM, core false", "ready\n", false},
		{"its own way", "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done", "exit 7", "ready\nbye\n", false},
		{"deaf", "trap '' TERM; echo ready; while :; do sleep 1000; done", "signal SIGKILL, core false", "ready\n", true},
		{"deaf child", "(trap '' TERM; echo ready; sleep 1000; sleep 1000) & wait", "signal SIGTERM, core false", "ready\n", true},
		{"stopped", "echo ready; kill -STOP $$", "signal SIGTERM, core false", "ready\n", false},
		{"full pipe", "echo ready; exec cat /dev/zero", "signal SIGTERM, core false", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bothModes(t, func(t *testing.T, reports bool) {
				w := newWorld(t, reports)
				sp := shell(c.script)
				if c.timeout {
					sp.KillTimeout = shortTimeout
				}
				// The group gets signals with every tree option.
				for _, sp.Tree = range []workers.Tree{workers.TreeKill, workers.TreeWait, workers.TreeLeave} {
					if c.out == "" {
						w.do(func() { w.host.took = func(r *run) { r.out[workers.Stdout] = r.out[workers.Stdout][:0] } })
						r := w.start(sp)
						w.await("a flood", func() bool { return r.Worker != nil && r.Bytes(workers.Stdout) > 1<<20 })
						w.do(func() { r.Stop(); w.host.took = nil; r.out[workers.Stdout] = make([]byte, r.Bytes(workers.Stdout)) })
						w.finish(r).want(c.end)
						continue
					}
					r := w.started(sp, "ready\n")
					if c.name == "stopped" {
						w.alarm("state T", func() bool { return strings.HasPrefix(status(r.PID())["State"], "T") })
					}
					begin := time.Now()
					w.do(func() { r.Stop(); r.Stop() })
					w.finish(r).want(c.end)
					if took := r.at.Sub(begin); c.timeout != (took >= sp.KillTimeout) {
						t.Errorf("over after %v", took)
					}
					if r.stdout() != c.out {
						t.Errorf("wrote %q, want %q", r.stdout(), c.out)
					}
					nobodyLeft(t, r)
				}
			})
		})
	}
}

func TestStopSignalOfItsOwn(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		sp := command("sleep", "1000")
		sp.KillSignal = unix.SIGUSR2
		r := w.started(sp, "")
		w.do(r.Stop)
		w.finish(r).want("signal SIGUSR2, core false")
	})
}

// TestStopWithin checks that StopWithin shortens the time until SIGKILL, and never prolongs it,
// however often it is called.
func TestStopWithin(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		for _, again := range []bool{false, true} {
			sp := shell("trap '' TERM; echo ready; while :; do sleep 1000; done")
			sp.KillTimeout = time.Hour
			r := w.started(sp, "ready\n")
			begin := time.Now()
			w.do(func() {
				r.Stop()
				if !again {
					r.StopWithin(shortTimeout)
					r.StopWithin(time.Hour)
					return
				}
				var more func()
				more = func() {
					if !r.over() {
						r.StopWithin(shortTimeout)
						w.loop.After(shortTimeout/10, more)
					}
				}
				more()
			})
			w.finish(r).want("signal SIGKILL, core false")
			if d := r.at.Sub(begin); d < shortTimeout {
				t.Errorf("killed after %v", d)
			}
		}
	})
}

func TestKill(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		sp := shell(`trap '' TERM INT HUP
			i=0; while [ $i -lt 50 ]; do sleep 1000 & i=$((i+1)); done
			echo ready; while :; do sleep 0.001 & done`)
		for _, stopFirst := range []bool{false, true} {
			r := w.started(sp, "ready\n")
			w.do(func() {
				if stopFirst {
					r.Stop()
				}
				for range 100 {
					r.Kill()
				}
			})
			w.finish(r).want("signal SIGKILL, core false")
			nobodyLeft(t, r)
		}
		// After a quick end, no process that reuses the number is signalled.
		r := w.run(command("true"))
		w.do(func() { r.Kill(); r.Stop(); r.StopWithin(0); r.Resume() })
		r.want("exit 0")
	})
}

// TestEndBeforeTheStart stops workers before their programs have started.
func TestEndBeforeTheStart(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		for _, end := range []func(*workers.Worker){(*workers.Worker).Stop, (*workers.Worker).Kill} {
			const n = 100
			var runs [n]*run
			w.do(func() { // more than may be under way at once
				for i := range runs {
					r := &run{host: w.host}
					r.Worker = workers.New(w.host, w.starter, command("sleep", "1000"), r)
					runs[i] = r
					if i%2 == 0 {
						end(r.Worker)
					}
				}
			})
			w.do(func() { // in a later round, when some requests are under way
				for _, r := range runs {
					if !r.over() {
						end(r.Worker)
					}
				}
			})
			canceled, started := 0, 0
			for i, r := range runs {
				w.finish(r)
				if r.failed {
					canceled++
					r.want("failed 1 ECANCELED")
				} else if started++; i%2 == 0 {
					t.Errorf("program %d was started", i)
				} else if r.exit.Signal != unix.SIGTERM && r.exit.Signal != unix.SIGKILL {
					t.Errorf("program %d: %s", i, r)
				}
			}
			if canceled < n/2 || started == 0 {
				t.Errorf("%d of %d were started, %d were not", started, n, canceled)
			}
		}
	})
}

// TestSignals sends signals to the group, and to the program alone.
func TestSignals(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		sp := shell(`trap 'echo leader' USR1
			(trap 'echo child; exit' USR1; echo up; while :; do sleep 0.01; done) &
			while :; do wait && break; done; exit 6`)
		r := w.started(sp, "up\n")
		w.do(func() { _ = r.Signal(unix.SIGUSR1) })
		w.await("the leader", func() bool { return r.stdout() == "up\nleader\n" })
		w.do(func() { _ = r.SignalGroup(unix.SIGUSR1) })
		w.await("both", func() bool {
			return strings.Count(r.stdout(), "child") == 1 && strings.Count(r.stdout(), "leader") == 2
		})
		w.finish(r).want("exit 6")
	})
}
