package workers

import (
	"testing"
	"unsafe"
)

// TestLayout bounds the size of a worker, because there are thousands of idle ones. Go's allocator
// has size classes of 320 and 352 bytes.
func TestLayout(t *testing.T) {
	if size := unsafe.Sizeof(Worker{}); size > 320 {
		t.Errorf("a worker has %d bytes, more than 320: put what few need behind a pointer", size)
	}
}
