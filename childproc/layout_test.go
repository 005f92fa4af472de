package childproc

import (
	"testing"
	"unsafe"
)

// TestLayout bounds the size of a program, because there are thousands of idle ones. Go's allocator
// has size classes of 256 and 288 bytes.
func TestLayout(t *testing.T) {
	for _, c := range []struct {
		what      string
		size, max uintptr
	}{
		{"a worker as a process", unsafe.Sizeof(program{}), 256},
	} {
		if c.size > c.max {
			t.Errorf("%s has %d bytes, more than %d: put what few need behind a pointer", c.what, c.size, c.max)
		}
	}
}
