package journal

import (
	"fmt"
	"testing"

	"erluv/test/bench/measure"

	"golang.org/x/sys/unix"
)

// BenchmarkCommit makes a record valid, as the child does before and after each write to the node.
func BenchmarkCommit(b *testing.B) {
	p := mapJournal(b, newJournal(b, nil, 0))
	r := Record{OutLen: 64 << 10, InLen: 100}
	b.ReportAllocs()
	for b.Loop() {
		r.OutPos += 64 << 10
		p.Commit(&r)
	}
}

// BenchmarkOutput moves output through the journal, without a frame: a read into the room, a
// record, a write from there, a record. The write to /dev/null copies nothing.
func BenchmarkOutput(b *testing.B) {
	p := mapJournal(b, newJournal(b, nil, 0))
	zero, null := open(b, "/dev/zero", unix.O_RDONLY), open(b, "/dev/null", unix.O_WRONLY)
	for _, n := range []int{64, 4 << 10, 64 << 10, 256 << 10} {
		var r Record
		measure.Run(b, fmt.Sprintf("size=%d", n), n, func() error {
			if _, err := unix.Read(zero, p.Out[:n]); err != nil {
				return err
			}
			r.OutLen = n
			p.Commit(&r)
			if _, err := unix.Write(null, p.Out[:n]); err != nil {
				return err
			}
			r.OutPos, r.OutLen = r.OutPos+uint64(n), 0
			p.Commit(&r)
			return nil
		})
	}
}

func open(b *testing.B, path string, flags int) int {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// BenchmarkRead reads a journal as main does after the child's end: the record, and copies of the
// bytes of both rooms.
func BenchmarkRead(b *testing.B) {
	j := newJournal(b, nil, 0)
	p := mapJournal(b, j)
	for _, n := range []int{0, 64 << 10, 512 << 10, 8 << 20} {
		clear(p.Out[:n]) // otherwise there would be no pages
		clear(p.In[:n])
		p.Commit(&Record{OutLen: n, InLen: n})
		measure.Run(b, fmt.Sprintf("size=%d", n), 2*n, func() error {
			r, err := j.Read()
			if err != nil {
				return err
			}
			if _, err := j.Out(r.OutOff, r.OutLen); err != nil {
				return err
			}
			_, err = j.In(r.InOff, r.InLen)
			return err
		})
	}
}

// BenchmarkNew makes and maps a journal, as each start of a child does.
func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		j, err := New(nil, 0)
		if err != nil {
			b.Fatal(err)
		}
		p, err := Map(j.FD())
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Close(); err != nil {
			b.Fatal(err)
		}
		if err := j.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
