package upload

import (
	"strings"
	"testing"
)

// lifeTable has the next state and the deeds for every state and event. A dot means no change.
const lifeTable = `
             opened      commit              sealed  end          kill         over
opening      open/grant  .                   .       ending/stop  ending/halt  gone/decline
open         .           committing/publish  .       ending/stop  ending/halt  gone/bury
committing   .           .                   kept    ending/stop  ending/halt  gone/bury
kept         .           .                   .       ending/stop  ending/halt  gone/bury
ending       .           .                   .       .            ending/halt  gone/bury
unopened     .           .                   .       .            ending/halt  gone/decline
gone         .           .                   .       .            .            .
`

var deedNames = map[string]Deeds{"": 0, "grant": Grant, "publish": Publish, "stop": Stop, "halt": Halt, "decline": Decline, "bury": Bury}

// TestEveryStateAndEvent plays the table. An upload that is ended before it is open is "unopened".
func TestEveryStateAndEvent(t *testing.T) {
	lines := strings.Split(strings.Trim(lifeTable, "\n"), "\n")
	for i, name := range strings.Fields(lines[0]) {
		if name != Event(i).String() {
			t.Fatalf("column %d is %s, not %s", i, name, Event(i))
		}
	}
	for i, line := range lines[1:] {
		cells := strings.Fields(line)
		if len(cells) != int(NumEvents)+1 {
			t.Fatalf("%q has %d cells", line, len(cells))
		}
		before := stateOf(t, cells[0])
		for e := range NumEvents {
			l := Life{State: before, granted: i > 0 && cells[0] != "unopened"}
			after, deed, _ := strings.Cut(cells[1+e], "/")
			if after == "." {
				after = before.String()
			}
			if did := l.Step(e); l.State != stateOf(t, after) || did != deedNames[deed] {
				t.Errorf("%s, %s: %s with deeds %b, not %s/%s", cells[0], e, l.State, did, after, deed)
			}
		}
	}
}

func stateOf(t *testing.T, name string) State {
	t.Helper()
	if name == "unopened" {
		return Ending
	}
	for s := range NumStates {
		if s.String() == name {
			return s
		}
	}
	t.Fatalf("no state %s", name)
	return 0
}
