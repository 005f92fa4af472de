package output

import (
	"testing"
	"unsafe"
)

// TestLayout: there are thousands of idle workers. Go's allocator knows 48 and 64 bytes, and
// two streams are one piece.
func TestLayout(t *testing.T) {
	if size := unsafe.Sizeof([2]Stream{}); size > 48 {
		t.Errorf("stdout and stderr have %d bytes, more than 48: put what few need behind a pointer", size)
	}
}
