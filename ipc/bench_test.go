package ipc

import (
	"fmt"
	"strings"
	"testing"

	"erluv/test/bench/measure"

	"golang.org/x/sys/unix"
)

// BenchmarkCommit puts a record in force, as the child does before and after each
// write to the node.
func BenchmarkCommit(b *testing.B) {
	p := mapJournal(b, newJournal(b, nil, 0))
	r := Record{OutLen: 64 << 10, InLen: 100}
	b.ReportAllocs()
	for b.Loop() {
		r.OutPos += 64 << 10
		p.Commit(&r)
	}
}

// BenchmarkJournalOutput is the way of output through the journal, without the frame
// around it: read into the room, recorded, written from there (/dev/null takes no copy),
// recorded.
func BenchmarkJournalOutput(b *testing.B) {
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

// BenchmarkJournalRead reads a journal as main does after the child's end: the record,
// and copies of as many bytes of both rooms as it tells of.
func BenchmarkJournalRead(b *testing.B) {
	j := newJournal(b, nil, 0)
	p := mapJournal(b, j)
	for _, n := range []int{0, 64 << 10, 512 << 10, 8 << 20} {
		clear(p.Out[:n]) // or there would be no pages
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

// BenchmarkNewJournal makes and maps one, as each start of a child does.
func BenchmarkNewJournal(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		j, err := NewJournal(nil, 0)
		if err != nil {
			b.Fatal(err)
		}
		p, err := MapJournal(j.FD())
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

// messages are those that each start and end of a program takes.
func messages() []Message {
	var env, added []string
	for i := range 100 {
		env = append(env, fmt.Sprintf("VARIABLE_%d=some value", i))
		added = append(added, Watch{Kind: WatchLink, ID: uint32(i), Serial: 1, PeerID: 1, PeerSerial: 2, PeerCreation: 3}.Record())
	}
	small := Spawn{
		Seq: 1, Program: "cat", Args: []string{"cat", "-n"}, Env: env[:1], Dir: "/", Umask: 0o22,
		Streams: []Stream{{Source: SourceFD}, {Source: SourceFD, Write: true}, {Source: SourceFD, Write: true}},
	}
	large := small
	large.Env = env
	return []Message{
		&small, &large,
		Spawned{Seq: 1, PID: 2, OSPID: 3},
		Changed{PID: 1},
		Ledger{Serial: 1, Ticktime: 60, Added: added[:1]},
		Ledger{Serial: 1, Ticktime: 60, Added: added},
	}
}

func label(m Message, size int) string {
	_, name, _ := strings.Cut(fmt.Sprintf("%T", m), ".")
	return fmt.Sprintf("%s/size=%d", name, size)
}

// BenchmarkAppend writes them, BenchmarkDecode reads them.
func BenchmarkAppend(b *testing.B) {
	scratch := make([]byte, 0, MaxPacket)
	for _, m := range messages() {
		size := len(Append(nil, m))
		measure.Run(b, label(m, size), size, func() error { Append(scratch, m); return nil })
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, m := range messages() {
		packet := Append(nil, m)
		measure.Run(b, label(m, len(packet)), len(packet), func() error { _, err := Decode(packet); return err })
	}
}

// BenchmarkWatch writes and reads the record of a link.
func BenchmarkWatch(b *testing.B) {
	x := Watch{Kind: WatchLink, ID: 1, Serial: 1, PeerID: 1, PeerSerial: 2, PeerCreation: 3}
	measure.Run(b, "link", 0, func() error { _, err := ReadWatch(x.Record()); return err })
}
