package peer

import (
	"testing"

	"erluv/wire/etf"
)

// TestFlowsAreForgotten checks that unused receivers are forgotten.
func TestFlowsAreForgotten(t *testing.T) {
	c := &Peer{flows: flows{all: map[etf.Pid]*receiver{}}}
	debt := func(id, serial uint32) *Debt {
		return c.Debt(etf.Pid{Node: "node@localhost", ID: id + 1, Serial: serial}, etf.Pid{}, Stdout, nil)
	}
	f := &c.flows
	for i := range uint32(10 * maxFlows) {
		if d := debt(i, 0); i%100 != 0 {
			d.Leave()
		}
	}
	if len(f.all) > maxFlows+10*maxFlows/100 {
		t.Errorf("%d are remembered", len(f.all))
	}
	for i := uint32(0); i < 10*maxFlows; i += 100 {
		if f.all[etf.Pid{Node: "node@localhost", ID: i + 1}] == nil {
			t.Fatalf("receiver %d is forgotten, and in use", i)
		}
	}
	// If many are in use, a new one does not cause a pass over all of them.
	looks, left := 0, f.left
	for i := range uint32(100 * maxFlows) {
		debt(i, 1)
		if f.left != left {
			looks, left = looks+1, f.left
		}
	}
	if len(f.all) < 100*maxFlows || looks > 10 {
		t.Errorf("%d are remembered, all were looked at %d times", len(f.all), looks)
	}
}
