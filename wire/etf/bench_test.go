package etf

import (
	"fmt"
	"testing"

	"erluv/test/bench/measure"
)

func size(n int) string { return fmt.Sprintf("size=%d", n) }

// encoded encodes a term for a benchmark.
func encoded(b *testing.B, t Term) []byte {
	enc, err := AppendTerm(nil, t)
	if err != nil {
		b.Fatal(err)
	}
	return enc
}

// BenchmarkAppendOutput writes {Worker, {stdout, Bin}} with the bytes. With size=0 it writes only
// the head: output is read from the pipe directly behind it.
func BenchmarkAppendOutput(b *testing.B) {
	scratch := make([]byte, 0, 512<<10)
	for _, n := range []int{0, 64, 4 << 10, 64 << 10, 256 << 10} {
		data := make([]byte, n)
		measure.Run(b, size(n), n, func() error { appendOutput(scratch, data); return nil })
	}
}

// BenchmarkReadCall reads the call of a write, like the dispatcher.
func BenchmarkReadCall(b *testing.B) {
	for _, n := range []int{64, 64 << 10} {
		call := genCall(make([]byte, n))
		measure.Run(b, size(n), len(call), func() error { _, _, _, _, err := readGenCall(call); return err })
	}
}

// BenchmarkRaw skips a term of any size without knowing it.
func BenchmarkRaw(b *testing.B) {
	ints := make(List, 10_000)
	var words List
	var many, few Map
	for i := range ints {
		ints[i] = int64(i)
	}
	for i := range 1000 {
		words = append(words, Tuple{Atom("word"), Binary(fmt.Sprint(i))})
		many = append(many, Pair{int64(i), Binary("value")})
	}
	deep := Term(Atom("end"))
	for range 100 {
		deep = Tuple{Atom("in"), deep}
	}
	for i := range fewKeys {
		few = append(few, Pair{int64(i), Atom("value")})
	}
	for _, c := range []struct {
		name string
		term Term
	}{
		{"integers", ints},
		{"tuples", words},
		{"nested", deep},
		{"map-of-32", few},
		{"map-of-1000", many},
	} {
		enc := encoded(b, c.term)
		measure.Run(b, c.name, len(enc), func() error { return passed(enc) })
	}
	call, binary := genCall(output[:64]), AppendBinary(nil, make([]byte, 1<<20))
	measure.Run(b, "call", len(call), func() error { return passed(call) })
	measure.Run(b, "binary", 0, func() error { return passed(binary) })
}

func passed(enc []byte) error {
	r := NewReader(enc)
	_, err := r.Raw()
	return err
}

// spawnRequest makes {spawn, Cmd, Opts} with an environment of env variables.
func spawnRequest(env int) Tuple {
	vars := Map{}
	for i := range env {
		vars = append(vars, Pair{Binary(fmt.Sprintf("VARIABLE_%d", i)), String("some value")})
	}
	return Tuple{
		Atom("spawn"),
		List{Binary("/bin/cat"), String("-n")},
		Map{
			{Atom("env"), vars},
			{Atom("stdin"), Tuple{Atom("file"), String("/dev/null")}},
			{Atom("owner"), worker},
			{Atom("packet"), Atom("line")},
			{Atom("rlimits"), Map{{Atom("nofile"), Tuple{int64(64), int64(128)}}}},
			{Atom("kill_timeout"), int64(1000)},
		},
	}
}

// BenchmarkDecode builds a spawn request with its options.
func BenchmarkDecode(b *testing.B) {
	for _, env := range []int{1, 100} {
		req := encoded(b, spawnRequest(env))
		measure.Run(b, fmt.Sprintf("spawn/env=%d", env), len(req), func() error { _, err := Decode(req); return err })
	}
}

// BenchmarkAppendTerm writes terms that are already built.
func BenchmarkAppendTerm(b *testing.B) {
	scratch := make([]byte, 0, 16<<10)
	for _, c := range []struct {
		name string
		term Term
	}{
		{"exit_status", Tuple{worker, Tuple{Atom("exit_status"), int64(0)}}},
		{"spawn", spawnRequest(100)},
	} {
		measure.Run(b, c.name, len(encoded(b, c.term)), func() error { _, err := AppendTerm(scratch, c.term); return err })
	}
}

// BenchmarkAppendIOData flattens iodata for a program. Integers are its slowest form.
func BenchmarkAppendIOData(b *testing.B) {
	ints := make(List, 1000)
	for i := range ints {
		ints[i] = int64(i % 256)
	}
	scratch := make([]byte, 0, 128<<10)
	for _, c := range []struct {
		name  string
		term  Term
		bytes int
	}{
		{"integers", ints, len(ints)},
		{"lines", List{Binary(output[:1000]), int64('\n'), String("line")}, 1005},
		{"binary", Binary(output), len(output)},
	} {
		enc := encoded(b, c.term)
		measure.Run(b, c.name, c.bytes, func() error { _, err := AppendIOData(scratch, enc, c.bytes); return err })
	}
}
