package workers_test

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"erluv/workers"

	"golang.org/x/sys/unix"
)

var sessions = flag.Int("sessions", 200, "short sessions on terminals, none of which may lose a byte")

// TestTerminalSessions checks that no output to a terminal is lost at the end of the program,
// although the kernel has several buffers.
func TestTerminalSessions(t *testing.T) {
	w := newWorld(t, false)
	rng := rand.New(rand.NewPCG(1, 2))
	missing, total := 0, 0
	for done := 0; done < *sessions; {
		const atOnce = 20
		var runs [atOnce]*run
		var want [atOnce]int
		for i := range runs {
			want[i] = []int{1, 100, 4095, 4096, 20_000, 100_000}[rng.IntN(6)] - rng.IntN(2)
			sp := command(prog, "out", strconv.Itoa(i), strconv.Itoa(want[i]), "0", "5")
			sp.Tree = workers.Tree(rng.IntN(3))
			runs[i] = w.start(on(sp, raw()...))
		}
		for i, r := range runs {
			w.finish(r).want("exit 5")
			missing += want[i] - len(r.stdout())
			total += want[i]
			if r.stdout() != w.expected(i, want[i]) {
				t.Fatalf("session %d: %d bytes, want %d", done+i, len(r.stdout()), want[i])
			}
		}
		done += atOnce
	}
	t.Logf("%d bytes of %d are missing", missing, total)
}

// expected returns prog's output for a seed.
func (w *world) expected(seed, n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return string(b)
}

// TestTerminalLeftBehind checks that a process which still holds the terminal, or goes on writing,
// delays nothing and takes no output away.
func TestTerminalLeftBehind(t *testing.T) {
	for name, c := range map[string]struct {
		left   string
		lost   bool // it ends with the terminal
		before string
	}{
		"silent": {"exec sleep 1000", false, "trap '' HUP; "},
		"reader": {"cat; exec sleep 1000 <&- >&- 2>&-", false, "trap '' HUP; "},
		"noisy":  {"while echo y; do :; done", true, "trap '' HUP; "},
		"not deaf to the hang-up at the leader's end": {"exec sleep 1000", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bothModes(t, func(t *testing.T, reports bool) {
				w := newWorldWith(t, options{reports: reports, unclean: true})
				const size = 15_000 // as much as one write finds room for
				sp := on(shell(c.before+`(`+c.left+`) & echo $!; exec `+prog+` out 1 `+strconv.Itoa(size)+` 0 5`), raw()...)
				sp.Tree = workers.TreeLeave
				r := w.run(sp)
				r.want("exit 5")
				// The noisy process writes in between.
				left := pidIn(t, r, slices.IndexFunc(strings.Fields(r.stdout()), func(s string) bool { return s != "y" }))
				out := strings.ReplaceAll(r.stdout(), "y\n", "")
				want := strings.ReplaceAll(w.expected(1, size), "y\n", "")
				if name != "noisy" && !strings.HasSuffix(out, want) || len(out) < len(want) {
					t.Errorf("%d bytes, want %d at the end", len(out), len(want))
				}
				if c.lost {
					w.alarm("the end of what was left", func() bool { return gone(left) })
				} else if gone(left) {
					t.Errorf("process %d is gone", left)
				}
			})
		})
	}
}

// TestTerminalTrees checks that remaining processes are ended or waited for, as without a terminal.
func TestTerminalTrees(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		for _, c := range []struct {
			tree workers.Tree
			want string
		}{
			{workers.TreeKill, "first\r\n"},
			{workers.TreeWait, "first\r\nlast\r\n"},
		} {
			sp := on(shell("trap '' HUP; (sleep 0.3; echo last) & echo first; exit 4"))
			sp.Tree = c.tree
			r := w.run(sp)
			r.want("exit 4")
			if r.stdout() != c.want {
				t.Errorf("tree %d: %q, want %q", c.tree, r.stdout(), c.want)
			}
			nobodyLeft(t, r)
		}
	})
}

// TestTerminalHeld checks that held output delays the end, and that nothing else does.
func TestTerminalHeld(t *testing.T) {
	w := newWorldWith(t, options{unclean: true})
	for _, c := range []struct {
		n    int
		left string
	}{
		{0, ""}, {10_000, ""}, {0, "trap '' HUP; sleep 1000 & "}, {10_000, "trap '' HUP; sleep 1000 & "},
	} {
		sp := on(shell(c.left+"exec "+prog+" out 1 "+strconv.Itoa(c.n)+" 0 5"), raw()...)
		if c.left != "" {
			sp.Tree = workers.TreeLeave
		}
		r := w.start(sp)
		w.do(func() { r.Hold(workers.Stdout, true) })
		if c.n > 0 {
			w.await("the drain", func() bool { return r.State() == workers.Draining })
			w.do(func() {
				if r.Bytes(workers.Stdout) > 0 {
					t.Error("it was read")
				}
				// Held again as soon as all of it has been read.
				w.host.took = func(r *run) {
					if len(r.stdout()) == c.n {
						r.Hold(workers.Stdout, true)
					}
				}
				r.Hold(workers.Stdout, false)
				r.Resume()
			})
		}
		w.finish(r).want("exit 5")
		w.do(func() { w.host.took = nil })
		if r.stdout() != w.expected(1, c.n) || r.ended[workers.Stdout] != 1 {
			t.Errorf("%d bytes, want %d; ended %d times", len(r.stdout()), c.n, r.ended[workers.Stdout])
		}
	}
}

// TestTerminalIsKept checks that a program which closes its terminal is not hung up, because it may
// open the terminal again. Writes get EPIPE meanwhile.
func TestTerminalIsKept(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		r := w.start(on(shell(`trap 'exit 9' USR1; echo ready; exec <&- >&- 2>&-; while :; do sleep 0.01; done`)))
		w.await("the end of the output", func() bool { return r.ended[workers.Stdout] == 1 })
		w.do(func() {
			if err := r.Write([]byte("x"), 1); err != unix.EPIPE {
				t.Errorf("a write: %v", err)
			}
			r.CloseStdin()
			if err := r.Resize(10, 10); err != nil {
				t.Error(err)
			}
			_ = r.Signal(unix.SIGUSR1)
		})
		w.finish(r).want("exit 9")
	})
}

// TestTerminalStopped stops and kills a program whose terminal is full both ways.
func TestTerminalStopped(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		for end, want := range map[string]string{"stop": "signal SIGTERM, core false", "kill": "signal SIGKILL, core false"} {
			r := w.started(on(shell("echo ready; exec yes"), raw()...), "ready")
			w.do(func() {
				r.Hold(workers.Stdout, true)
				_ = r.Write(make([]byte, 1<<20), 1)
				r.CloseStdin()
			})
			w.do(func() {
				if end == "stop" {
					r.Stop()
				} else {
					r.Kill()
				}
				r.Hold(workers.Stdout, false)
			})
			w.finish(r).want(want)
			if !slices.Equal(r.wrote, []answer{{1, unix.EPIPE}}) {
				t.Errorf("answered %v", r.wrote)
			}
			nobodyLeft(t, r)
		}
	})
}

// TestTerminalHungUp checks that a stop closes the terminal, but not before all output was read.
func TestTerminalHungUp(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		waits := filepath.Join(t.TempDir(), "waits")
		sp := on(shell(`trap 'echo bye; sleep 1; >` + waits + `; cat; exit 7' HUP; trap '' TERM; echo ready; while :; do sleep 0.01; done`))
		sp.KillTimeout = time.Hour
		r := w.started(sp, "ready")
		w.do(func() {
			r.Hold(workers.Stdout, true)
			r.Stop()
		})
		w.await("the end of the signal's handler", func() bool {
			_, err := os.Stat(waits)
			return err == nil
		})
		w.do(func() { r.Hold(workers.Stdout, false) })
		w.finish(r).want("exit 7")
		if !strings.Contains(r.stdout(), "bye\r\n") || r.ended[workers.Stdout] != 1 {
			t.Errorf("%q, ended %d times", r.stdout(), r.ended[workers.Stdout])
		}
		nobodyLeft(t, r)
	})
}
