package dist_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"erluv/test/bench/measure"
	"erluv/wire/dist"
	"erluv/wire/etf"
)

// beginOutput begins the frame of {Worker, {stdout, <<...>>}}, up to the binary.
func beginOutput(b []byte) []byte {
	b = etf.AppendPid(etf.AppendTupleHeader(dist.BeginSend(b, alice), 2), bob)
	return etf.AppendAtom(etf.AppendTupleHeader(b, 2), "stdout")
}

// appendOutput completes the frame of {Worker, {stdout, <<...>>}}. The n bytes of output were read
// from the pipe directly into their place.
func appendOutput(b []byte, n int) []byte {
	start := len(b)
	b = etf.AppendBinaryHeader(beginOutput(b), 0)
	binary.BigEndian.PutUint32(b[len(b)-4:], uint32(n))
	return dist.End(b[:len(b)+n], start)
}

// BenchmarkOutput composes the frame around output, without touching the output's bytes.
func BenchmarkOutput(b *testing.B) {
	scratch := make([]byte, 0, 512<<10)
	for _, n := range []int{64, 4 << 10, 64 << 10, 256 << 10} {
		measure.Run(b, fmt.Sprintf("size=%d", n), 0, func() error { appendOutput(scratch, n); return nil })
	}
}

// BenchmarkLines composes a frame for each line of 64 KiB of output, and copies the line into it.
// Lines are as short as those of `seq`, or longer.
func BenchmarkLines(b *testing.B) {
	scratch := make([]byte, 0, 1<<20)
	for _, n := range []int{8, 80} {
		read := bytes.Repeat(append(bytes.Repeat([]byte("x"), n-1), '\n'), 64<<10/n)
		measure.Run(b, fmt.Sprintf("size=%d", n), len(read), func() error {
			out := scratch
			for rest := read; len(rest) > 0; {
				end := bytes.IndexByte(rest, '\n') + 1
				start := len(out)
				out = dist.End(etf.AppendBinary(beginOutput(out), rest[:end]), start)
				rest = rest[end:]
			}
			return nil
		})
	}
}

// BenchmarkCompose composes the other frames about a worker's life.
func BenchmarkCompose(b *testing.B) {
	scratch := make([]byte, 0, 4096)
	tag := etf.Raw(append(etf.AppendAtom(etf.AppendListHeader(nil, 1), "alias"), append(ref5, etf.AppendNil(nil)...)...))
	for _, c := range []struct {
		name string
		f    func() []byte
	}{
		{"reply", func() []byte {
			return dist.End(etf.AppendAtom(dist.BeginReply(scratch, bob, alice, tag), "ok"), 0)
		}},
		{"link", func() []byte { return dist.AppendLink(scratch, bob, alice) }},
		{"exit", func() []byte { return dist.AppendExit(scratch, bob, alice, bye) }},
		{"monitor-exit", func() []byte { return dist.AppendMonitorExit(scratch, bob, alice, ref5, bye) }},
	} {
		measure.Run(b, c.name, len(c.f()), func() error { c.f(); return nil })
	}
}

// BenchmarkParse parses messages of a node.
func BenchmarkParse(b *testing.B) {
	command := etf.Tuple{alice, etf.Tuple{etf.Atom("command"), etf.Binary(make([]byte, 64))}}
	call := etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{alice, etf.Improper{Elems: []etf.Term{etf.Atom("alias")}, Tail: ref5}}, command}
	spawn := etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{alice, ref5}, etf.Tuple{
		etf.Atom("spawn"),
		etf.List{etf.Binary("/bin/cat")},
		etf.Map{{Key: etf.Atom("packet"), Value: etf.Atom("line")}, {Key: etf.Atom("kill_timeout"), Value: int64(1000)}},
	}}
	large := make(etf.List, 10_000)
	for i := range large {
		large[i] = int64(i)
	}
	to := etf.Tuple{int64(dist.Send), etf.Atom(""), bob}
	for _, c := range []struct {
		name    string
		control etf.Tuple
		payload etf.Term
	}{
		{"command", to, command},
		{"call", to, call},
		{"spawn", etf.Tuple{int64(dist.RegSend), alice, etf.Atom(""), etf.Atom("erluv")}, spawn},
		{"unknown-large", to, large},
		{"link", etf.Tuple{int64(dist.Link), alice, bob}, nil},
		{"exit", etf.Tuple{int64(dist.PayloadExit), alice, bob}, bye},
		{"exit2", etf.Tuple{int64(dist.PayloadExit2), alice, bob}, etf.Atom("kill")},
		{"monitor", etf.Tuple{int64(dist.MonitorP), alice, bob, ref5}, nil},
		{"unlink", etf.Tuple{int64(dist.UnlinkID), int64(1), alice, bob}, nil},
	} {
		var payload etf.Raw
		if c.payload != nil {
			var err error
			if payload, err = etf.AppendTerm(nil, c.payload); err != nil {
				b.Fatal(err)
			}
		}
		var m dist.Message
		f := frame(b, c.control, payload)
		measure.Run(b, c.name, len(f), func() error { return dist.Parse(f, &m) })
	}
}

// framesOf fills 512 KiB with frames, each with n bytes of output. That is as much as waits for a
// node that does not read.
func framesOf(n int) []byte {
	b := make([]byte, 0, 1<<20)
	for len(b) < 512<<10 {
		b = appendOutput(b, n)
	}
	return b
}

// BenchmarkNext takes one frame after another from 512 KiB of received bytes.
func BenchmarkNext(b *testing.B) {
	for _, n := range []int{64, 64 << 10} {
		all := framesOf(n)
		measure.Run(b, fmt.Sprintf("size=%d", n), 0, func() error {
			for rest := all; len(rest) > 0; {
				_, n, err := dist.Next(rest, 1<<20)
				if err != nil {
					return err
				}
				rest = rest[n:]
			}
			return nil
		})
	}
}

// BenchmarkWhole walks over the frames that a crashed child has left, like main.
func BenchmarkWhole(b *testing.B) {
	for _, n := range []int{64, 64 << 10} {
		all := framesOf(n)
		measure.Run(b, fmt.Sprintf("size=%d", n), 0, func() error { _, err := dist.Whole(all); return err })
	}
}
