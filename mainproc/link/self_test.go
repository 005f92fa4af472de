package link

import (
	"testing"

	"erluv/wire/gen"
)

// TestSelfName: a random name is drawn again until a node accepts it, and never afterwards.
func TestSelfName(t *testing.T) {
	s := NewSelf(testConfig())
	first, settled := s.proposed()
	s.Redraw(first)
	second, settled2 := s.proposed()
	if first == second || settled || settled2 || s.creation < 4 {
		t.Errorf("%q (settled %v), %q (settled %v), creation %d", first, settled, second, settled2, s.creation)
	}
	if s.settle(first) {
		t.Error("a name was accepted that another had taken the place of")
	}
	s.Redraw(first) // by a second dialer that found it taken
	if name, _ := s.proposed(); name != second {
		t.Errorf("%q was drawn in place of %q, which nobody has refused", name, second)
	}
	if !s.settle(second) {
		t.Error("the name that was proposed cannot be ours")
	}
	s.Redraw(second)
	if name, settled := s.proposed(); name != second || !settled {
		t.Errorf("%q is not kept but %q, settled %v", second, name, settled)
	}
	cfg := testConfig()
	cfg.Name = "fixed"
	if name, settled := NewSelf(cfg).proposed(); name != "fixed@127.0.0.1" || !settled {
		t.Errorf("a fixed name: %q, settled %v", name, settled)
	}
}

// TestSelfSerial: the next child's serial is after the latest that any connection knows, also where
// serials begin again.
func TestSelfSerial(t *testing.T) {
	s := &Self{}
	const last = 1<<gen.SerialBits - 1
	for _, step := range []struct{ used, next uint32 }{
		{0, 1}, {5, 6}, {3, 6}, {6, 7}, {3000, 3001}, {6000, 6001}, {last, 0}, {last - 1, 0}, {0, 1}, {last, 1},
	} {
		if s.used(step.used); s.next() != step.next {
			t.Fatalf("after %d: %d, want %d", step.used, s.next(), step.next)
		}
	}
}
