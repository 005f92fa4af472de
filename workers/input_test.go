package workers_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"erluv/ipc"
	"erluv/workers"

	"golang.org/x/sys/unix"
)

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(b)
	return b
}

// stopped is a cat that reads nothing until SIGCONT.
func stopped(w *world) *run { return stoppedBefore(w, "exec cat") }

func stoppedBefore(w *world, script string) *run {
	w.t.Helper()
	r := w.started(shell("kill -STOP $$; "+script), "")
	w.alarm("the program has stopped", func() bool { return status(r.PID())["State"] == "T (stopped)" })
	return r
}

// TestWriteIsAnsweredWhenInThePipe checks that each write is answered when all of it is in the
// pipe, in order.
func TestWriteIsAnsweredWhenInThePipe(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		r := stopped(w)
		data := noise(1 << 20)
		w.do(func() {
			for i, part := range [][]byte{data[:1000], data[1000:900_000], nil, data[900_000:]} {
				if err := r.Write(part, i); err != nil {
					t.Error(err)
				}
			}
			if len(r.wrote) != 1 || r.wrote[0] != (answer{0, nil}) {
				t.Errorf("answered %v, want the small one only", r.wrote)
			}
			// The pipe's pages decide how much of a write it takes.
			if got, least := r.Waiting(), len(data)-64<<10; got < least || got > least+4096 {
				t.Errorf("%d bytes wait, want %d or a little more", got, least)
			}
			r.CloseStdin()
			if err := r.Write([]byte("x"), 9); err != unix.EPIPE {
				t.Errorf("a write after close: %v", err)
			}
			_ = r.Signal(unix.SIGCONT)
		})
		w.finish(r).want("exit 0")
		if want := []answer{{0, nil}, {1, nil}, {2, nil}, {3, nil}}; fmt.Sprint(r.wrote) != fmt.Sprint(want) {
			t.Errorf("answered %v, want %v", r.wrote, want)
		}
		if !bytes.Equal(r.out[workers.Stdout], data) {
			t.Errorf("%d bytes came back, other than what was written", len(r.out[workers.Stdout]))
		}
		if r.Bytes(workers.Stdin) != uint64(len(data)) || r.Waiting() != 0 {
			t.Errorf("%d bytes counted, %d wait", r.Bytes(workers.Stdin), r.Waiting())
		}
	})
}

func TestWriteNobodyReads(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		t.Run("closed by the program", func(t *testing.T) {
			r := w.started(shell("exec <&-; echo ready; exec sleep 1000"), "ready")
			w.do(func() {
				if err := r.Write([]byte("x"), 1); err != unix.EPIPE || len(r.wrote) != 0 || r.Open(workers.Stdin) {
					t.Errorf("%v, answered %v, open: %v", err, r.wrote, r.Open(workers.Stdin))
				}
				r.Kill()
			})
			w.finish(r)
		})
		t.Run("closed while it waits", func(t *testing.T) {
			r := stoppedBefore(w, "exec <&-; exec sleep 1000")
			w.do(func() {
				for i := range 3 {
					if err := r.Write(make([]byte, 100_000), i); err != nil {
						t.Error(err)
					}
				}
				_ = r.Signal(unix.SIGCONT)
			})
			w.await("the answers", func() bool { return len(r.wrote) == 3 })
			w.do(func() {
				for i, a := range r.wrote {
					if a != (answer{i, unix.EPIPE}) {
						t.Errorf("answer %d: %v", i, a)
					}
				}
				if r.Waiting() != 0 || r.Pieces() != 0 {
					t.Errorf("%d bytes in %d pieces wait", r.Waiting(), r.Pieces())
				}
				r.Kill()
			})
			w.finish(r)
		})
		t.Run("the program ends", func(t *testing.T) {
			r := stopped(w)
			w.do(func() {
				_ = r.Write(make([]byte, 100_000), 1)
				_ = r.Command([]byte("x"))
				_ = r.Write([]byte("x"), 2)
				r.Kill()
			})
			w.finish(r)
			if fmt.Sprint(r.wrote) != fmt.Sprint([]answer{{1, unix.EPIPE}, {2, unix.EPIPE}}) || r.lost != 1 {
				t.Errorf("answered %v", r.wrote)
			}
		})
		t.Run("no pipe", func(t *testing.T) {
			sp := command("cat")
			sp.Streams[workers.Stdin].Kind = workers.Null
			r := w.start(sp)
			w.do(func() {
				if err := r.Write([]byte("x"), 1); err != unix.EPIPE {
					t.Errorf("before the start: %v", err)
				}
				if err := r.Command([]byte("x")); err != unix.EPIPE {
					t.Errorf("before the start: %v", err)
				}
				r.CloseStdin()
			})
			w.finish(r).want("exit 0")
			w.do(func() {
				if err := r.Write([]byte("x"), 1); err != unix.EPIPE {
					t.Errorf("after the end: %v", err)
				}
			})
		})
		t.Run("not started", func(t *testing.T) {
			r := &run{host: w.host}
			w.do(func() {
				r.Worker = workers.New(w.host, w.starter, command("/nonexistent"), r)
				_ = r.Write([]byte("x"), 1)
			})
			w.finish(r).want("failed 1 ENOENT")
			if fmt.Sprint(r.wrote) != fmt.Sprint([]answer{{1, unix.EPIPE}}) {
				t.Errorf("answered %v", r.wrote)
			}
		})
	})
}

// TestWriteBeforeTheStart checks that input which was written before the start arrives.
func TestWriteBeforeTheStart(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		for _, size := range []int{0, 1, 1000, 3 << 20} {
			data := noise(size)
			r := &run{host: w.host}
			w.do(func() {
				r.Worker = workers.New(w.host, w.starter, command("cat"), r)
				_ = r.Write(data[:size/2], 1)
				_ = r.Command(nil)
				_ = r.Write(data[size/2:], 2)
				r.CloseStdin()
				if len(r.wrote) != 0 {
					t.Errorf("answered %v before the start", r.wrote)
				}
			})
			w.finish(r).want("exit 0")
			if !bytes.Equal(r.out[workers.Stdout], data) || fmt.Sprint(r.wrote) != fmt.Sprint([]answer{{1, nil}, {2, nil}}) {
				t.Errorf("%d bytes of %d, answered %v", len(r.out[workers.Stdout]), size, r.wrote)
			}
		}
	})
}

// TestWaitingIsBounded writes to a program that does not read, in pieces of any size. The number of
// waiting bytes and pieces must stay bounded.
func TestWaitingIsBounded(t *testing.T) {
	w := newWorld(t, !ipc.PidfdsSuffice())
	for _, size := range []int{0, 1, 100, 4096, 100_000, 2 << 20} {
		for _, call := range []bool{false, true} {
			r := stopped(w)
			limit := workers.MaxCommands
			if call {
				limit = workers.MaxWrites
			}
			data, taken := noise(size), 0
			w.do(func() {
				// The pipe is full, and a command waits.
				_ = r.Command(make([]byte, 64<<10+1))
				for n := range 5_000_000 {
					var err error
					if call {
						err = r.Write(data, n)
					} else {
						err = r.Command(data)
					}
					if err == unix.EAGAIN {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
					taken += size
				}
				if r.Waiting() != taken+1 || r.Waiting() > limit {
					t.Errorf("pieces of %d, calls %v: %d bytes were taken, %d wait, the limit is %d", size, call, taken, r.Waiting(), limit)
				}
				if r.Pieces() > limit/workers.PieceCost+1 {
					t.Errorf("pieces of %d, calls %v: %d wait", size, call, r.Pieces())
				}
				if size > 0 && size < 5000 && taken < limit/workers.PieceCost*9/10 {
					t.Errorf("pieces of %d, calls %v: only %d bytes were taken", size, call, taken)
				}
				r.Kill()
			})
			w.finish(r)
			for _, a := range r.wrote {
				if a.err != unix.EPIPE {
					t.Fatalf("answered %v", a)
				}
			}
		}
	}
}

// TestALargeWriteAlone checks that a write of any size is accepted if no other waits.
func TestALargeWriteAlone(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		r := w.started(command("cat"), "")
		data := noise(3 * workers.MaxWrites)
		w.do(func() {
			if err := r.Write(data, 1); err != nil {
				t.Error(err)
			}
			if err := r.Write([]byte("x"), 2); err != unix.EAGAIN {
				t.Errorf("a second one: %v", err)
			}
			if err := r.Command([]byte("x")); err != unix.EAGAIN {
				t.Errorf("a command: %v", err)
			}
		})
		w.await("the answer", func() bool { return len(r.wrote) == 1 })
		w.do(func() {
			if err := r.Write([]byte("x"), 3); err != nil {
				t.Errorf("one after it: %v", err)
			}
			r.CloseStdin()
		})
		w.finish(r).want("exit 0")
		if !bytes.Equal(r.out[workers.Stdout], append(data, 'x')) {
			t.Errorf("%d bytes came back", len(r.out[workers.Stdout]))
		}
	})
}

// TestALargeWriteInRounds has a pipe that would take all of a large write at once. So does the pipe
// of a program that reads as fast as the child writes. Each round of the loop may write only a
// bounded part.
func TestALargeWriteInRounds(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		r := stopped(w)
		data := noise(1<<20 - workers.MaxPut/4) // the size of the pieces decides how much fits into the pages
		var rounds, most int
		w.do(func() {
			if n, err := unix.FcntlInt(r.InputFD(), unix.F_SETPIPE_SZ, 1<<20); err != nil || n < 1<<20 {
				t.Errorf("a pipe of %d bytes, %v", n, err)
			}
			before := uint64(0)
			w.loop.EachRound(func() {
				if n := int(r.Bytes(workers.Stdin) - before); n > 0 {
					rounds, most, before = rounds+1, max(most, n), r.Bytes(workers.Stdin)
				}
			})
			// In pieces that end within a round, and at its end.
			for i, part := range [][]byte{data[:3*workers.MaxPut/2], data[3*workers.MaxPut/2 : 2*workers.MaxPut], data[2*workers.MaxPut:]} {
				if err := r.Write(part, i); err != nil {
					t.Error(err)
				}
			}
		})
		w.await("the answers", func() bool { return len(r.wrote) == 3 })
		w.do(func() {
			if most > workers.MaxPut || rounds < len(data)/workers.MaxPut {
				t.Errorf("written in %d rounds, %d bytes in one", rounds, most)
			}
			r.CloseStdin()
			_ = r.Signal(unix.SIGCONT)
		})
		w.finish(r).want("exit 0")
		if !bytes.Equal(r.out[workers.Stdout], data) {
			t.Errorf("%d bytes came back, other than what was written", len(r.out[workers.Stdout]))
		}
	})
}
