package childproc

import (
	"testing"

	"erluv/wire/dist"
	"erluv/wire/etf"
	"erluv/wire/gen"
)

// sent returns the frame of a message to a worker.
func sent(pl *played, msg etf.Term) []byte {
	return dist.End(gen.Append(dist.BeginSend(nil, pl.p.pid), msg), 0)[dist.HeaderSize:]
}

// called returns the frame of a call, with a tag as in OTP.
func called(pl *played, req etf.Term) []byte {
	tag := etf.Raw(etf.AppendNewRef(nil, testTarget, 9, 1, 2, 3, 4, 5))
	return sent(pl, etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{pl.self, tag}, req})
}

// TestAllocations checks that frequent messages allocate no more than they need.
func TestAllocations(t *testing.T) {
	for _, tt := range []struct {
		name  string
		frame func(pl *played) []byte
		most  float64
	}{
		{"write", func(pl *played) []byte { return called(pl, etf.Tuple{etf.Atom("write"), etf.Binary("x")}) }, 3}, // tag, caller, bytes
		{"read", func(pl *played) []byte {
			return called(pl, etf.Tuple{etf.Atom("read"), etf.Atom("stdout"), int64(100)})
		}, 8},
		{"command", func(pl *played) []byte {
			return sent(pl, etf.Tuple{pl.self, etf.Tuple{etf.Atom("command"), etf.Binary("x")}})
		}, 0},
		{"unlinked", func(pl *played) []byte { return dist.AppendUnlinkIDAck(nil, 1, pl.self, pl.p.pid)[dist.HeaderSize:] }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pl := play(t, flow(etf.Atom("false")))
			frame := tt.frame(pl)
			if got := testing.AllocsPerRun(500, func() {
				pl.c.Frame(frame)
				if tt.name == "read" {
					pl.output([]byte("y"), 1)
				}
			}); got > tt.most {
				t.Errorf("%v allocations, more than %v", got, tt.most)
			}
		})
	}
}
