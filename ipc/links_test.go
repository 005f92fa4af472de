package ipc

import (
	"math"
	"testing"
)

func TestMostLinks(t *testing.T) {
	for descriptors, want := range map[uint64]int{0: 0, 1024: 128, 8000: 1000, math.MaxUint64: 1000} {
		if got := MostLinks(descriptors); got != want {
			t.Errorf("with %d descriptors %d, want %d", descriptors, got, want)
		}
	}
}
