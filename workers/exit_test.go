package workers_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"erluv/workers"

	"golang.org/x/sys/unix"
)

func TestEveryExitStatus(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		var all [256]*run
		for i := range all {
			all[i] = w.start(command(prog, "exit", strconv.Itoa(i)))
		}
		for i, r := range all {
			w.finish(r).want(fmt.Sprintf("exit %d", i))
		}
	})
}

// ending has the signals that end a process by default, and whether they dump core (signal(7)).
var ending = map[unix.Signal]bool{
	unix.SIGHUP: false, unix.SIGINT: false, unix.SIGQUIT: true, unix.SIGILL: true, unix.SIGTRAP: true,
	unix.SIGABRT: true, unix.SIGBUS: true, unix.SIGFPE: true, unix.SIGKILL: false, unix.SIGUSR1: false,
	unix.SIGSEGV: true, unix.SIGUSR2: false, unix.SIGPIPE: false, unix.SIGALRM: false, unix.SIGTERM: false,
	unix.SIGSTKFLT: false, unix.SIGXCPU: true, unix.SIGXFSZ: true, unix.SIGVTALRM: false,
	unix.SIGPROF: false, unix.SIGIO: false, unix.SIGPWR: false, unix.SIGSYS: true,
}

func TestEverySignal(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		dir := t.TempDir()
		_ = os.Chmod(dir, 0o777)
		for sig, core := range ending {
			for _, limit := range []string{"0", "unlimited"} {
				sp := shell("ulimit -c " + limit + "; echo ready; exec sleep 1000")
				sp.Dir = dir
				r := w.started(sp, "ready")
				w.do(func() {
					if err := r.Signal(sig); err != nil {
						t.Error(err)
					}
				})
				w.finish(r).want(fmt.Sprintf("signal %s, core %v", unix.SignalName(sig), core && limit != "0"))
				w.do(func() {
					if err := r.Signal(sig); err != unix.ESRCH {
						t.Errorf("a signal to nobody: %v", err)
					}
					if err := r.SignalGroup(sig); err != unix.ESRCH {
						t.Errorf("a signal to an empty group: %v", err)
					}
				})
				cores, _ := filepath.Glob(filepath.Join(dir, "core*"))
				for _, c := range cores {
					_ = os.Remove(c)
				}
			}
		}
		// Real-time signals have numbers only.
		for _, sig := range []unix.Signal{34, 64} {
			r := w.started(command("sleep", "1000"), "")
			w.do(func() { _ = r.SignalGroup(sig) })
			if w.finish(r); r.exit.Signal != sig {
				t.Errorf("signal %d: %+v", sig, r.exit)
			}
		}
	})
}

func TestSignalThatIsNone(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		r := w.started(command("sleep", "1000"), "")
		w.do(func() {
			if err := r.Signal(65); err != unix.EINVAL {
				t.Errorf("signal 65: %v", err)
			}
			_ = r.SignalGroup(65)
			r.Kill()
		})
		w.finish(r).want("signal SIGKILL, core false")
	})
}

// outputOf returns the output of "prog out".
func outputOf(seed, stdout, stderr int) (out, err []byte) {
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	out, err = make([]byte, stdout), make([]byte, stderr)
	_, _ = rng.Read(out)
	_, _ = rng.Read(err)
	return out, err
}

// many runs n programs, at most atOnce at a time, and checks all of their output.
func many(w *world, n, atOnce, size int) {
	w.t.Helper()
	rng := rand.New(rand.NewPCG(uint64(n), uint64(size)))
	runs := make([]*run, n)
	sizes := make([][2]int, n)
	check := func(i int) {
		r := w.finish(runs[i])
		r.want(fmt.Sprintf("exit %d", i%256))
		out, err := outputOf(i, sizes[i][0], sizes[i][1])
		if !bytes.Equal(r.out[workers.Stdout], out) || !bytes.Equal(r.out[workers.Stderr], err) {
			w.t.Errorf("program %d wrote %d and %d bytes, %d and %d other ones arrived",
				i, len(out), len(err), len(r.out[workers.Stdout]), len(r.out[workers.Stderr]))
		}
		if r.ended[workers.Stdout] != 1 || r.ended[workers.Stderr] != 1 {
			w.t.Errorf("program %d: streams ended %v times", i, r.ended)
		}
		runs[i] = nil
	}
	for i := range runs {
		if i >= atOnce {
			check(i - atOnce)
		}
		sizes[i] = [2]int{size - rng.IntN(size/8+1), rng.IntN(size/8 + 1)}
		runs[i] = w.start(command(prog, "out", strconv.Itoa(i), strconv.Itoa(sizes[i][0]), strconv.Itoa(sizes[i][1]), strconv.Itoa(i%256)))
	}
	for i := n - atOnce; i < n; i++ {
		check(i)
	}
}

func TestOutputIsComplete(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		for _, c := range []struct{ n, atOnce, size int }{
			{repeats(100), 1, 100}, {repeats(400), 8, 4096}, {repeats(500), 500, 10}, {repeats(200), 8, 1 << 20},
		} {
			t.Run(fmt.Sprintf("%d, %d at once, %d bytes", c.n, c.atOnce, c.size), func(t *testing.T) {
				many(newWorld(t, reports), c.n, min(c.n, c.atOnce), c.size)
			})
		}
	})
}
