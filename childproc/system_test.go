package childproc

import (
	"testing"

	"erluv/wire/etf"
)

// TestStateFormOf checks that stdlib's version tells which form sys:get_state/1 expects.
func TestStateFormOf(t *testing.T) {
	for version, want := range map[string]stateForm{
		"3.17": stateBare, "4.2": stateBare, "4.3.1.2": stateBare, "5.0": stateBare, "5.0.2": stateBare,
		"5.1": stateWrapped, "5.1.1": stateWrapped, "5.2.3.1": stateWrapped, "6.0": stateWrapped, "10.0": stateWrapped,
		"": stateWrapped, "x.1": stateWrapped,
	} {
		if got := stateFormOf(etf.Tuple{etf.Atom("ok"), etf.String(version)}); got != want {
			t.Errorf("%s: %d, want %d", version, got, want)
		}
	}
	for _, other := range []etf.Term{nil, etf.Atom("undefined"), etf.Tuple{etf.Atom("badrpc"), etf.Atom("timeout")}} {
		if got := stateFormOf(other); got != stateWrapped {
			t.Errorf("%v: %d", other, got)
		}
	}
}
