package cluster

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestGuests: neighbours count if they are hidden and not Erlang VMs.
func TestGuests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("a~e2 a~e1 a~shell a-b a~mute b~e3")
		w.how = map[string]string{"e1": "foreign", "e2": "foreign", "e3": "foreign", "mute": "stopped"}
		guests, silent, err := Guests(t.Context(), w, string(client), time.Second)
		if err != nil || !slices.Equal(guests, []string{"e1", "e2"}) || !slices.Equal(silent, []string{"mute"}) {
			t.Errorf("%v, %v, %v", guests, silent, err)
		}
		w.err = errors.New("gone")
		if _, _, err := Guests(t.Context(), w, string(client), time.Second); err == nil {
			t.Error("without a connection there are guests")
		}
		w.err = nil
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := Guests(ctx, w, string(client), time.Second); err == nil {
			t.Error("without a context there are guests")
		}
	})
}
