package workers_test

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"erluv/loop"
	"erluv/workers"
)

// TestRoomNowAndThen has a host with little room now and then. Without room, the host pauses the
// group, or lets the worker ask again. No byte may be lost or doubled.
func TestRoomNowAndThen(t *testing.T) {
	for name, later := range map[string]func(w *world, stalled *[]*run){
		"group": func(w *world, _ *[]*run) {
			w.group.Pause()
			w.loop.After(time.Millisecond, w.group.Resume)
		},
		"group, then those that drain": func(w *world, stalled *[]*run) {
			w.group.Pause()
			w.loop.After(time.Millisecond, func() {
				w.group.Resume()
				all := *stalled
				*stalled = nil
				for _, r := range all {
					r.Resume()
				}
			})
		},
		"the worker alone": func(w *world, stalled *[]*run) {
			w.loop.After(time.Millisecond/4, func() {
				all := *stalled
				*stalled = nil
				for _, r := range all {
					r.Resume()
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			bothModes(t, func(t *testing.T, reports bool) {
				w := newWorld(t, reports)
				rng := rand.New(rand.NewPCG(1, 2))
				var stalled []*run
				refused, whileDraining := 0, 0
				w.do(func() {
					w.host.room = func(r *run, _ workers.Stream) []byte {
						// All output of every other program is still in the pipes at its end.
						n := rng.IntN(4)
						if r.PID()%2 == 0 && r.State() != workers.Draining {
							n = 0
						}
						switch n {
						case 0:
							refused++
							if r.State() == workers.Draining {
								whileDraining++
							}
							stalled = append(stalled, r)
							later(w, &stalled)
							return nil
						case 1:
							return w.host.buf[:0] // no room either
						}
						return w.host.buf[:1+rng.IntN(5000)]
					}
				})
				const n = 40
				var runs [n]*run
				for i := range runs {
					runs[i] = w.start(command(prog, "out", strconv.Itoa(i), strconv.Itoa(1000*i), strconv.Itoa(30_000-700*i), "0"))
				}
				for i, r := range runs {
					w.finish(r).want("exit 0")
					out, err := outputOf(i, 1000*i, 30_000-700*i)
					if !bytes.Equal(r.out[workers.Stdout], out) || !bytes.Equal(r.out[workers.Stderr], err) || r.ended != (perStream{0, 1, 1}) {
						t.Errorf("program %d: %d and %d bytes of %d and %d, streams ended %v times", i,
							len(r.out[workers.Stdout]), len(r.out[workers.Stderr]), len(out), len(err), r.ended)
					}
				}
				w.do(func() {
					if refused < n || whileDraining == 0 {
						t.Errorf("refused %d times, %d of them while draining", refused, whileDraining)
					}
				})
			})
		})
	}
}

// TestPausedGroup checks that a worker of a paused group delivers nothing and does not end.
func TestPausedGroup(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		r := w.started(command("cat"), "")
		w.do(func() {
			w.group.Pause()
			_ = r.Write([]byte("some words"), 1)
			r.CloseStdin()
		})
		w.alarm("the end of cat", func() bool { return gone(r.PID()) })
		w.do(func() {
			// The spawner's report of the end does not go through the group. So the worker may be
			// draining, and drain asks for room, which there is.
			if !reports && (r.over() || len(r.out[workers.Stdout]) > 0) {
				t.Errorf("%s, wrote %q", r, r.stdout())
			}
			w.group.Resume()
		})
		w.finish(r).want("exit 0")
		if r.stdout() != "some words" {
			t.Errorf("wrote %q", r.stdout())
		}
	})
}

// TestEndFromWithinTook ends the worker within Took, as a host does when there is too much output.
func TestEndFromWithinTook(t *testing.T) {
	for name, end := range map[string]func(*workers.Worker){"stop": (*workers.Worker).Stop, "kill": (*workers.Worker).Kill} {
		for _, sp := range []*workers.Spec{
			shell("exec cat /dev/zero"),
			shell("cat /dev/zero & exit 1"),
			shell("setsid cat /dev/zero & exit 1"),
			shell("echo; exit 1"),
		} {
			t.Run(name+" "+sp.Args[2], func(t *testing.T) {
				bothModes(t, func(t *testing.T, reports bool) {
					for _, sp.Tree = range []workers.Tree{workers.TreeKill, workers.TreeWait, workers.TreeLeave} {
						w := newWorldWith(t, options{reports: reports, unclean: true})
						w.do(func() { w.host.took = func(r *run) { end(r.Worker) } })
						r := w.run(sp)
						if r.failed || r.ended != (perStream{0, 1, 1}) {
							t.Errorf("%s, streams ended %v times", r, r.ended)
						}
						w.do(func() {
							if !w.starter.Idle() {
								t.Error("the starter still holds something")
							}
						})
					}
				})
			})
		}
	}
}

// TestNewBeforeTheLoopRuns checks that the first round of the loop sends earlier requests.
func TestNewBeforeTheLoopRuns(t *testing.T) {
	w := newWorldWith(t, options{fake: true})
	l, err := loop.New()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	g, err := l.NewGroup()
	if err != nil {
		t.Fatal(err)
	}
	s, err := workers.NewStarter(l, w.conn, true, 100, func(error) { t.Error("lost") })
	if err != nil {
		t.Fatal(err)
	}
	sp := command("true")
	for i := range sp.Streams {
		sp.Streams[i].Kind = workers.Null
	}
	w.group = g
	r := &run{host: w.host}
	r.Worker = workers.New(w.host, s, sp, r)
	done := make(chan error, 1)
	go func() { done <- l.Run() }() // ends by Stop, below
	if m := w.asked(); m.Program != "true" {
		t.Errorf("asked for %+v", m)
	}
	l.Stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestHold checks that output stays in the pipe of a held stream, also after the program's end. The
// other stream must be delivered, and the loop must sleep.
func TestHold(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		for _, held := range []workers.Stream{workers.Stdout, workers.Stderr} {
			other := workers.Stdout + workers.Stderr - held
			r := &run{host: w.host}
			rounds := 0
			w.do(func() {
				w.host.room = func(r *run, s workers.Stream) []byte {
					if s == held && r.State() != workers.Draining {
						t.Error("room is asked for a stream that is held")
					}
					return w.host.buf[:1000]
				}
				r.Worker = workers.New(w.host, w.starter, command(prog, "out", "1", "50000", "50000", "0"), r)
				r.Hold(held, true)
				r.Hold(held, true)
			})
			w.await("the other stream", func() bool { return r.ended[other] == 1 && r.State() == workers.Draining })
			w.do(func() {
				w.loop.EachRound(func() { rounds++ })
				if r.over() || len(r.out[held]) > 0 {
					t.Errorf("%s, %d bytes of the stream that is held", r, len(r.out[held]))
				}
			})
			begin := time.Now()
			w.alarm("some time", func() bool { return time.Since(begin) > 50*time.Millisecond })
			w.do(func() {
				if rounds > 100 {
					t.Errorf("%d rounds while nothing happened", rounds)
				}
				r.Hold(held, false)
				r.Resume()
			})
			w.finish(r).want("exit 0")
			out, err := outputOf(1, 50_000, 50_000)
			if !bytes.Equal(r.out[workers.Stdout], out) || !bytes.Equal(r.out[workers.Stderr], err) || r.ended != (perStream{0, 1, 1}) {
				t.Errorf("%d and %d bytes, streams ended %v times", len(r.out[workers.Stdout]), len(r.out[workers.Stderr]), r.ended)
			}
		}
	})
}

// TestHoldFromWithinTook holds and releases a stream within Took, so one piece is read at a time.
func TestHoldFromWithinTook(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		w.do(func() {
			w.host.room = func(*run, workers.Stream) []byte { return w.host.buf[:5000] }
			w.host.took = func(r *run) {
				for _, s := range []workers.Stream{workers.Stdout, workers.Stderr} {
					if r.Open(s) {
						r.Hold(s, true)
						w.loop.After(0, func() { r.Hold(s, false); r.Resume() })
					}
				}
			}
		})
		r := w.run(command(prog, "out", "1", "150000", "150000", "0"))
		r.want("exit 0")
		out, err := outputOf(1, 150_000, 150_000)
		if !bytes.Equal(r.out[workers.Stdout], out) || !bytes.Equal(r.out[workers.Stderr], err) || r.ended != (perStream{0, 1, 1}) {
			t.Errorf("%d and %d bytes, streams ended %v times", len(r.out[workers.Stdout]), len(r.out[workers.Stderr]), r.ended)
		}
	})
}
