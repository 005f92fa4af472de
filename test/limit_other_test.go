//go:build !amd64

package e2e

import (
	"testing"

	"golang.org/x/sys/unix"
)

// ownLimit sets a soft limit of a process, and returns the old value. It needs CAP_SYS_RESOURCE.
func ownLimit(t *testing.T, pid, resource int, soft uint64) (old uint64) {
	t.Helper()
	var limit, was unix.Rlimit
	if err := unix.Prlimit(pid, resource, nil, &was); err != nil {
		t.Fatal(err)
	}
	limit = was
	limit.Cur = soft
	if err := unix.Prlimit(pid, resource, &limit, nil); err != nil {
		t.Fatal(err)
	}
	return was.Cur
}
