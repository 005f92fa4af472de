package workers_test

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strconv"
	"testing"

	"erluv/workers"

	"golang.org/x/sys/unix"
)

// TestEPIPEAtARandomByte runs ten thousand programs that read up to a random byte and end. More or
// fewer bytes are written to them, in pieces of any size, before and during the run. Each must read
// the written bytes. Each write is answered once, in order: with ok up to some point, and with
// EPIPE from there on.
func TestEPIPEAtARandomByte(t *testing.T) {
	bothModes(t, func(t *testing.T, reports bool) {
		w := newWorld(t, reports)
		data := noise(300_000)
		const atOnce = 10
		for done := 0; done < repeats(5000); done += atOnce {
			var all [atOnce]*broken
			for i := range all {
				all[i] = w.startBroken(data, rand.New(rand.NewPCG(uint64(done+i), 3)))
			}
			for i, b := range all {
				w.finish(b.run)
				if err := b.check(data); err != nil {
					t.Fatalf("program %d, %d bytes written and %d read: %v", done+i, b.writes, b.reads, err)
				}
			}
		}
	})
}

// broken is a program that reads only the first bytes.
type broken struct {
	*run
	reads, writes, status int
	ends                  []int // of the pieces that are answered
}

func (w *world) startBroken(data []byte, rng *rand.Rand) *broken {
	w.t.Helper()
	// Sizes that the pipe takes at once, and larger ones.
	size := []int{10, 5000, 65_536, 70_000, len(data)}[rng.IntN(5)]
	b := &broken{reads: rng.IntN(size + 1), writes: rng.IntN(size + 1), status: rng.IntN(256)}
	sp := command(prog, "read", strconv.Itoa(b.reads), strconv.Itoa(b.status))
	w.do(func() {
		b.run = &run{host: w.host}
		b.Worker = workers.New(w.host, w.starter, sp, b.run)
		b.write(w, data[:b.writes], 0, rng)
	})
	return b
}

// write writes some pieces now and the rest later.
func (b *broken) write(w *world, data []byte, from int, rng *rand.Rand) {
	for !b.over() {
		to := from + min(len(data)-from, []int{1, 1000, 4096, 100_000}[rng.IntN(4)])
		if rng.IntN(4) == 0 {
			_ = b.Command(data[from:to])
		} else if b.Write(data[from:to], len(b.ends)) == nil {
			b.ends = append(b.ends, to)
		}
		if from = to; from == len(data) {
			b.CloseStdin()
			return
		}
		if rng.IntN(4) == 0 {
			w.loop.After(0, func() { b.write(w, data, from, rng) })
			return
		}
	}
}

func (b *broken) check(data []byte) error {
	n := min(b.reads, b.writes)
	if want := fmt.Sprintf("exit %d", b.status); b.String() != want {
		return fmt.Errorf("%s, want %s", b.run, want)
	}
	if want := fmt.Sprintln(n, crc32.ChecksumIEEE(data[:n])); b.stdout() != want {
		return fmt.Errorf("it has read %q, want %q", b.stdout(), want)
	}
	if got := b.Bytes(workers.Stdin); got < uint64(n) || got > uint64(b.writes) {
		return fmt.Errorf("%d bytes were counted", got)
	}
	var answers []answer // without the reports of bytes that Commands have lost
	for _, a := range b.wrote {
		if a.token != nil {
			answers = append(answers, a)
		} else if a.err != unix.EPIPE {
			return fmt.Errorf("of a command %v is said", a.err)
		}
	}
	if b.Open(workers.Stdin) || len(answers) != len(b.ends) {
		return fmt.Errorf("%d of %d writes were answered", len(answers), len(b.ends))
	}
	var failed error
	for i, a := range answers {
		switch {
		case a.token != i:
			return fmt.Errorf("answer %d is to write %v", i, a.token)
		case a.err != nil && a.err != unix.EPIPE, a.err == nil && failed != nil:
			return fmt.Errorf("answer %d is %v after %v", i, a.err, failed)
		case a.err != nil && b.ends[i] <= n:
			return fmt.Errorf("answer %d is %v, and all of it was read", i, a.err)
		}
		failed = a.err
	}
	return nil
}
