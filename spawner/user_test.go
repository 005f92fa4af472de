package spawner

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestLookFor: a refused user exists or does not, by name and by number.
func TestLookFor(t *testing.T) {
	for name, want := range map[string]unix.Errno{
		"daemon": unix.EPERM, "1": unix.EPERM, "root": unix.EPERM, "0": unix.EPERM,
		"no such user": unix.ENOENT, "4711": unix.ENOENT, "-1": unix.ENOENT, "99999999999": unix.ENOENT,
	} {
		if got := lookFor(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
