package ipc

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestHandles: HandlesOf takes a list apart again, only with the values of the Spawn.
func TestHandles(t *testing.T) {
	for _, want := range []Handles{
		{Process: 3},
		{Process: 3, Terminal: []int{4, 5}},
		{Process: 3, Logs: []int{4}},
		{Process: 3, Notify: []int{4}},
		{Process: 3, Terminal: []int{4, 5}, Logs: []int{6, 7}, Notify: []int{8}},
	} {
		list := want.List()
		if !slices.IsSorted(list) {
			t.Errorf("%+v is sent as %v", want, list)
		}
		terminal, logs, notify := len(want.Terminal) > 0, len(want.Logs), len(want.Notify) > 0
		got, ok := HandlesOf(list, terminal, logs, notify)
		if !ok || !cmp.Equal(got.List(), list) || len(got.Terminal) != len(want.Terminal) || len(got.Logs) != logs {
			t.Errorf("%v is taken for %+v, %v", list, got, ok)
		}
		for _, other := range [][]int{nil, list[:len(list)-1], append(list[:len(list):len(list)], 9)} {
			if got, ok := HandlesOf(other, terminal, logs, notify); ok {
				t.Errorf("%v is taken for %+v", other, got)
			}
		}
	}
}
