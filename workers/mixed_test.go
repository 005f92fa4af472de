package workers_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"erluv/ipc"
	"erluv/workers"
)

var mixed = flag.Int("mixed", 3000, "workers of all kinds, one after the other, of which none may see another's data")

// TestNobodyReadsAnothersWords starts and ends workers with pipes and terminals, a dozen at a time.
// Each writes and reads a word that no other worker has. They end at the end of their input, by
// themselves, or by force, so descriptors are closed and reused all the time. No worker may read
// the word of another.
func TestNobodyReadsAnothersWords(t *testing.T) {
	begin := time.Now()
	w := newWorld(t, !ipc.PidfdsSuffice())
	rng := rand.New(rand.NewPCG(5, 6))
	var talkers [12]*talker
	for i := range *mixed {
		old := &talkers[i%len(talkers)]
		if *old != nil {
			(*old).finish(w)
		}
		*old = w.startTalker(i, rng)
	}
	for _, k := range talkers {
		k.finish(w)
	}
	t.Logf("%d workers in %v", *mixed, time.Since(begin))
}

// talker is a worker with a word that no other has.
type talker struct {
	*run
	word  string
	lines int    // lines that it writes by itself
	sent  int    // lines that are written to it
	end   string // how it ends: an END of prog talk, or stop, or kill
	held  bool   // its output is not read until later
	tty   bool
}

func (w *world) startTalker(i int, rng *rand.Rand) *talker {
	w.t.Helper()
	k := &talker{
		word: fmt.Sprintf("%d.%s", i, strings.Repeat("x", rng.IntN(60))), lines: 1 + rng.IntN(40),
		sent: rng.IntN(40), end: []string{"eof", "eof", "exit", "shut", "stop", "kill"}[rng.IntN(6)],
		held: rng.IntN(4) == 0, tty: rng.IntN(3) == 0,
	}
	end := k.end
	if end == "stop" || end == "kill" {
		end = "eof"
	}
	sp := command(prog, "talk", k.word, strconv.Itoa(k.lines), end)
	switch {
	case k.tty && rng.IntN(2) == 0:
		on(sp, raw()...)
	case k.tty:
		on(sp, "echo", false, "opost", false)
	case rng.IntN(3) == 0:
		sp.Streams[workers.Stderr].Kind = workers.ToStdout
	case rng.IntN(3) == 0:
		sp.Extra = []workers.Extra{{FD: 3}, {FD: 4, Input: true}}
	}
	sp.Tree = workers.Tree(rng.IntN(3))
	later := time.Duration(rng.IntN(2000)) * time.Microsecond
	w.do(func() {
		k.run = &run{host: w.host}
		k.Worker = workers.New(w.host, w.starter, sp, k.run)
		k.Hold(workers.Stdout, k.held)
		for range k.sent {
			_ = k.Write([]byte(k.word+"\n"), 1)
		}
		w.loop.After(later, k.goOn)
	})
	return k
}

func (k *talker) about() string {
	return fmt.Sprintf("%s, %d and %d lines, end %s, held: %v, terminal: %v", k.word, k.lines, k.sent, k.end, k.held, k.tty)
}

// goOn does the later actions on a talker that may have ended meanwhile.
func (k *talker) goOn() {
	if k.over() {
		return
	}
	k.Hold(workers.Stdout, false)
	k.Resume()
	switch k.end {
	case "eof":
		k.CloseStdin()
	case "stop":
		k.Stop()
	case "kill":
		k.Kill()
	}
}

func (k *talker) finish(w *world) {
	w.t.Helper()
	w.finish(k.run)
	forced := k.end == "stop" || k.end == "kill"
	if got := k.String(); got != "exit 0" && !(forced && (strings.HasPrefix(got, "signal") || got == "failed 1 ECANCELED")) {
		w.t.Fatalf("%s: %s, %q", k.about(), got, k.stdout())
	}
	lines := 0
	for _, out := range k.out {
		lines += strings.Count(string(out), "\n")
		rest := strings.ReplaceAll(string(out), k.word+"\n", "")
		if k.tty {
			rest = strings.ReplaceAll(rest, k.word+"\r\n", "")
		}
		if rest != "" && !(forced && strings.HasPrefix(k.word, rest)) {
			w.t.Fatalf("%s has said %q", k.about(), rest)
		}
	}
	// stdout and stderr, and its echo.
	least := 2 * k.lines
	if k.end == "eof" {
		least += k.sent
	}
	if lines < least && !forced || lines > 2*k.lines+k.sent {
		w.t.Fatalf("%s has said %d lines", k.about(), lines)
	}
}
