package childproc

import (
	"fmt"
	"strings"
	"testing"

	"erluv/ipc"
)

// hostTable has every state and event. A cell is the next state with the deeds: t tells the
// controllers, k tells main, d drains. A dot means no change, and "no" a request that is not
// allowed. The states launching and connecting have a row for each last request.
const hostTable = `
                    served    alone       ready              standby              stopped              empty      leave
launching           ready     connecting  no                 no                   no                   .          leaving
launching+standby   standby   connecting  no                 no                   no                   .          leaving
launching+stopped   stopping  connecting  no                 no                   no                   .          leaving
connecting          ready     .           ./k                connecting+standby/k connecting+stopped/kd .         leaving
connecting+standby  standby   .           connecting/k       ./k                  connecting+stopped/kd .         leaving
connecting+stopped  stopping  .           connecting/k       connecting+standby/k ./kd                 .          leaving
ready               .         connecting  .                  standby/tk           stopping/tkd         .          leaving
standby             .         connecting  ready/tk           .                    stopping/tkd         .          leaving
stopping            .         connecting  no                 no                   .                    stopped/t  leaving
stopped             .         connecting  ready/tk           standby/tk           .                    .          leaving
leaving             .         .           no                 no                   no                   .          .
`

var hostNames = map[string]hostState{
	"launching": hoLaunching, "connecting": hoConnecting, "ready": hoReady, "standby": hoStandby,
	"stopping": hoStopping, "stopped": hoStopped, "leaving": hoLeaving,
}

// settled are the requests of the states that can have only one.
var settled = map[hostState]ipc.Wish{hoStandby: ipc.WishStandby, hoStopping: ipc.WishStopped, hoStopped: ipc.WishStopped}

func hostAt(t *testing.T, name string) hostLife {
	t.Helper()
	state, wish, _ := strings.Cut(name, "+")
	h := hostLife{state: hostNames[state]}
	h.wish = settled[h.state]
	switch wish {
	case "standby":
		h.wish = ipc.WishStandby
	case "stopped":
		h.wish = ipc.WishStopped
	}
	if _, ok := hostNames[state]; !ok {
		t.Fatalf("no state %s", name)
	}
	return h
}

func TestEveryHostStateAndEvent(t *testing.T) {
	lines := strings.Split(strings.Trim(hostTable, "\n"), "\n")
	heads := strings.Fields(lines[0])
	if len(heads) != int(heLeave)+1 {
		t.Fatalf("%d events", len(heads))
	}
	seen := map[hostState]bool{}
	for _, line := range lines[1:] {
		f := strings.Fields(line)
		before := hostAt(t, f[0])
		seen[before.state] = true
		for e := heServed; e <= heLeave; e++ {
			cell, marks, _ := strings.Cut(f[1+int(e)], "/")
			want := before
			if cell != "." && cell != "no" {
				want = hostAt(t, cell)
			}
			if e == heAlone || e == heLeave || e == heServed {
				want.wish = before.wish // these events change no request
			}
			var deeds hostDeeds
			for _, m := range marks {
				deeds |= map[rune]hostDeeds{'t': hdTell, 'k': hdKeep, 'd': hdDrain}[m]
			}
			after := before
			do, allowed := after.step(e)
			if after != want || do != deeds || allowed != (cell != "no") {
				t.Errorf("%s, %s: %+v, deeds %b, allowed %v; want %+v, %b", f[0], heads[e], after, do, allowed, want, deeds)
			}
		}
	}
	for name, state := range hostNames {
		if !seen[state] {
			t.Errorf("%s is not in the table", name)
		}
	}
}

// TestHostNames checks the six names of states that a node knows.
func TestHostNames(t *testing.T) {
	for state, want := range map[hostState]string{
		hoLaunching: "launching", hoConnecting: "connecting", hoReady: "ready", hoStandby: "standby",
		hoStopping: "stopping", hoStopped: "stopped", hoLeaving: "stopping",
	} {
		if got := fmt.Sprint(state); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
