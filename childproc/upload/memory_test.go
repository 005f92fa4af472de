package upload

import (
	"crypto/sha256"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMemory checks that a program counts as long as it is kept, and is read-only once it is
// complete.
func TestMemory(t *testing.T) {
	var b Budget
	m, err := NewMemory(&b)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"ab", "", "c"} {
		if err := m.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if m.Image.Live() {
		t.Error("it can be executed before it is whole")
	}
	if m.Sum() != sha256.Sum256([]byte("abc")) || b.Bytes() != 3 {
		t.Errorf("sum %x of %d bytes", m.Sum(), b.Bytes())
	}
	if err := m.Seal(); err != nil || !m.Image.Live() {
		t.Fatalf("it is not sealed: %v", err)
	}
	for what, err := range map[string]error{"written": m.Write([]byte("d")), "cut": unix.Ftruncate(m.fd, 1), "grown": unix.Ftruncate(m.fd, 9)} {
		if err != unix.EPERM {
			t.Errorf("%s: %v", what, err)
		}
	}
	got := make([]byte, 9)
	if n, err := unix.Pread(m.fd, got, 0); err != nil || string(got[:n]) != "abc" {
		t.Errorf("%q, %v", got[:n], err)
	}
	m.Close()
	if b.Bytes() != 0 || m.Image.Live() {
		t.Errorf("after its end %d bytes count", b.Bytes())
	}
}

// TestMemoryIsBounded checks the bound of all programs together.
func TestMemoryIsBounded(t *testing.T) {
	b := Budget{bytes: MaxMemory - 10}
	m, err := NewMemory(&b)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Write(make([]byte, 11)); err != unix.ENOSPC {
		t.Errorf("one byte too many: %v", err)
	}
	if err := m.Write(make([]byte, 10)); err != nil {
		t.Error(err)
	}
	m.Close()
	if b.Bytes() != MaxMemory-10 {
		t.Errorf("%d bytes count", b.Bytes())
	}
}

// TestMemoryThatNobodyMayExecute checks that vm.memfd_noexec causes the system's own error.
func TestMemoryThatNobodyMayExecute(t *testing.T) {
	setting, err := os.ReadFile("/proc/sys/vm/memfd_noexec")
	var b Budget
	m, made := NewMemory(&b)
	switch {
	case err == nil && string(setting) == "2\n":
		if made != unix.EACCES {
			t.Errorf("%v", made)
		}
	case made != nil:
		t.Error(made)
	default:
		m.Close()
	}
}
