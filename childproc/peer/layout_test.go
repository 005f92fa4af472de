package peer

import (
	"testing"
	"unsafe"

	"erluv/wire/etf"
)

// TestLayout bounds the size of links and monitors, because a node may set up a million.
func TestLayout(t *testing.T) {
	for _, c := range []struct {
		what      string
		size, max uintptr
	}{
		{"a link", unsafe.Sizeof(entry[remote, struct{}]{}), 12},
		{"a monitor", unsafe.Sizeof(entry[monitorKey, etf.Atom]{}), 48},
		{"the observers of a process of ours", unsafe.Sizeof(Observers{}), 40},
	} {
		if c.size > c.max {
			t.Errorf("%s has %d bytes, more than %d", c.what, c.size, c.max)
		}
	}
}
