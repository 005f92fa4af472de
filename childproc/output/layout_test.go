package output

import (
	"testing"
	"unsafe"
)

// TestLayout bounds the size of two streams, because there are thousands of idle workers. Two
// streams are one allocation, and Go's allocator has size classes of 48 and 64 bytes.
func TestLayout(t *testing.T) {
	if size := unsafe.Sizeof([2]Stream{}); size > 48 {
		t.Errorf("stdout and stderr have %d bytes, more than 48: put what few need behind a pointer", size)
	}
}
