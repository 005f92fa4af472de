package peer

import (
	"errors"
	"testing"

	"erluv/ipc"
	"erluv/loop"
)

// TestLedgerAsksEachTimeItIsFull has main read before the loop notices, and then fills the socket
// again. If it were not asked again, main would never read.
func TestLedgerAsksEachTimeItIsFull(t *testing.T) {
	ours, theirs, err := ipc.Pair()
	must(t, err)
	defer ours.Close()
	defer theirs.Close()
	l, err := loop.New()
	must(t, err)
	defer l.Close()
	asked := false
	led := ledger{loop: l, conn: theirs, ring: func() { asked = true }}
	buf := make([]byte, ipc.MaxPacket)
	for turn := range 10 {
		for range 20_000 { // some 20 packets; the socket takes 5
			led.add(ipc.Observer{Kind: ipc.ObserverLink, ID: 1, PeerID: 2})
		}
		if led.told() {
			t.Fatalf("turn %d: the socket took everything", turn)
		}
		if !asked {
			t.Fatalf("turn %d: the socket is full, and main is not asked to read", turn)
		}
		asked = false
		for err = nil; err == nil; {
			_, _, err = ours.TryRecv(buf)
		}
		if !errors.Is(err, ipc.ErrEmpty) {
			t.Fatal(err)
		}
	}
}
