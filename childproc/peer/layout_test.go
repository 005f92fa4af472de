package peer

import (
	"testing"
	"unsafe"

	"erluv/wire/etf"
)

// TestLayout: a node may set up a million links and monitors.
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
