package etf

import (
	"bytes"
	"runtime"
	"testing"
)

var (
	worker = Pid{Node: "erluv_1a2b3c4d@example", ID: 17, Serial: 3, Creation: 9}
	output = make([]byte, 64<<10)
)

// appendOutput appends {Worker, {stdout, Bin}}, the most frequent outgoing message.
func appendOutput(b, data []byte) []byte {
	b = AppendPid(AppendTupleHeader(b, 2), worker)
	b = AppendAtom(AppendTupleHeader(b, 2), "stdout")
	return AppendBinary(b, data)
}

// appendEverything calls every function that must not allocate memory.
func appendEverything(b []byte) []byte {
	b = AppendListHeader(b, 12)
	b = AppendMapHeader(b, 1)
	b = AppendInt(AppendAtom(b, "os_pid"), 1<<40)
	b = AppendInt(AppendInt(AppendInt(b, 5), -5), -1<<62)
	b = AppendUint64(b, 1<<63)
	b = AppendFloat(b, 0.5)
	b = append(AppendBinaryHeader(b, 2), "ab"...)
	b = AppendTupleHeader(AppendTupleHeader(b, 0), 0)
	b = AppendNewRef(b, worker.Node, worker.Creation, 1, 2, 3, 4, 5)
	b = AppendPid(b, worker)
	return AppendNil(AppendNil(b))
}

func TestNoAllocation(t *testing.T) {
	call := genCall(output)
	scratch := make([]byte, 0, 128<<10)
	everything := appendEverything(nil)
	if _, err := Decode(everything); err != nil {
		t.Fatal(err)
	}
	words := AppendListHeader(nil, 2)
	words = AppendBinary(AppendInt(words, 'x'), output)
	words = AppendNil(words)
	small := AppendMapHeader(nil, fewKeys)
	for i := range fewKeys {
		small = AppendNil(AppendInt(small, int64(i)))
	}
	update := Term(Tuple{worker, Tuple{Atom("exit_status"), int64(1000)}})

	for _, c := range []struct {
		name string
		f    func() error
	}{
		{"write output", func() error { appendOutput(scratch, output); return nil }},
		{"write everything", func() error { appendEverything(scratch); return nil }},
		{"AppendTerm", func() error { _, err := AppendTerm(scratch, update); return err }},
		{"read call", func() error { _, _, _, _, err := readGenCall(call); return err }},
		{"Raw of a call", func() error { r := NewReader(call); _, err := r.Raw(); return err }},
		{"Raw of everything", func() error { r := NewReader(everything); _, err := r.Raw(); return err }},
		{"Raw of a map", func() error { r := NewReader(small); _, err := r.Raw(); return err }},
		{"try one after another", func() error {
			r := NewReader(call)
			r.Atom()
			r.Int()
			r.Uint64()
			r.Pid()
			r.Binary()
			r.List()
			r.Map()
			r.Nil()
			_, err := r.Tuple()
			return err
		}},
		{"AppendIOData", func() error { _, err := AppendIOData(scratch, words, 128<<10); return err }},
		{"IODataSize", func() error { _, err := IODataSize(words, 128<<10); return err }},
	} {
		var err error
		if n := testing.AllocsPerRun(100, func() { err = c.f() }); n != 0 || err != nil {
			t.Errorf("%s: %v allocations, %v", c.name, n, err)
		}
	}
	if !bytes.Equal(appendOutput(nil, output), appendOutput(scratch, output)) {
		t.Error("a term depends on the bytes before it")
	}
}

// A sender of ever new atoms makes no memory grow.
func TestAtomsSeenAreBounded(t *testing.T) {
	name := bytes.Repeat([]byte("x"), maxSeen)
	flood := func() {
		for i := range 20_000 {
			copy(name, AppendUint64(nil, uint64(i)<<32))
			intern(name)
		}
	}
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := live()
	flood()
	bound := before + uint64(len(seen)*len(seen[0])*(maxSeen+33)) + slack
	if after := live(); after > bound {
		t.Errorf("from %d bytes to %d, more than %d", before, after, bound)
	}
}
