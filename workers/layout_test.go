package workers

import (
	"testing"
	"unsafe"
)

// TestLayout: there are thousands of idle workers, and each byte is there as often.
// Go's allocator knows 320 and 352 bytes.
func TestLayout(t *testing.T) {
	if size := unsafe.Sizeof(Worker{}); size > 320 {
		t.Errorf("a worker has %d bytes, more than 320: put what few need behind a pointer", size)
	}
}
