package ipc

import (
	"fmt"
	"strings"
	"testing"

	"erluv/test/bench/measure"
)

// messages are the messages of the start and end of one program.
func messages() []Message {
	var env, added []string
	for i := range 100 {
		env = append(env, fmt.Sprintf("VARIABLE_%d=some value", i))
		added = append(added, Observer{Kind: ObserverLink, ID: uint32(i), Serial: 1, PeerID: 1, PeerSerial: 2, PeerCreation: 3}.Record())
	}
	small := Spawn{
		Seq: 1, Program: "cat", Args: []string{"cat", "-n"}, Env: env[:1], Dir: "/", Attributes: Attributes{Umask: 0o22},
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

// BenchmarkAppend writes the messages, BenchmarkDecode reads them.
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
	x := Observer{Kind: ObserverLink, ID: 1, Serial: 1, PeerID: 1, PeerSerial: 2, PeerCreation: 3}
	measure.Run(b, "link", 0, func() error { _, err := ReadObserver(x.Record()); return err })
}
