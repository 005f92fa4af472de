package childproc

import (
	"strings"
	"testing"
)

// lifeTable is the whole life of a program as a process. For each state and event it has the next
// state and the deeds, or a dot if there are none.
//
//	F answer that there is no process  W only its caller hears of it  O monitor the owner
//	P start the proxy  I present it  T report to the owner  R report that it is ready
//	S stop the program  K kill it  U end the pause  H check whether its words are sent
//	B request a start  X end the process  G let the output go on
//
// A state may have marks that make a difference: quiet, paired, or an earlier event.
const lifeTable = `
                       started     refused  ready       paired        unpaired    over        again      last     waited  heard         end           kill          fault
starting               running/IG  gone/F   .           .             .           .           .          .        .       .             +told/SG      +told/KG      .
starting+quiet         unready/O   gone/F   .           .             .           .           .          .        .       .             +told/WSG     +told/WKG     .
starting+paired        pairing/P   gone/F   .           .             .           .           .          .        .       .             +told/SG      +told/KG      .
starting+quiet+paired  unready/O   gone/F   .           .             .           .           .          .        .       .             +told/WSG     +told/WKG     .
starting+told          running/IG  gone/F   .           .             .           .           .          .        .       .             /SG           /KG           .
starting+quiet+told    unready/O   gone/F   .           .             .           .           .          .        .       .             /SG           /KG           .
starting+paired+told   pairing/P   gone/F   .           .             .           .           .          .        .       .             /SG           /KG           .
unready+quiet          .           .        running/IG  .             .           draining/G  .          .        .       .             +told/WSG     +told/WKG     /S
unready+quiet+paired   .           .        pairing/P   .             .           draining/G  .          .        .       .             +told/WSG     +told/WKG     /S
unready+quiet+told     .           .        .           .             .           draining/G  .          .        .       .             /SG           /KG           /S
pairing+paired         .           .        +shown      running/IG    unready/W   awaiting    .          .        .       .             +told/SG      +told/KG      /S
pairing+quiet+paired   .           .        .           running/IG    unready/W   awaiting    .          .        .       .             +told/SG      +told/KG      /S
pairing+paired+shown   .           .        .           running/IRG   unready/W   awaiting    .          .        .       .             +told/SG      +told/KG      /S
pairing+paired+told    .           .        .           running/IG    unready/W   awaiting    .          .        .       .             /SG           /KG           /S
awaiting+paired        .           .        .           draining/IG   draining/W  .           .          .        .       .             +told/SG      +told/KG      .
awaiting+paired+shown  .           .        .           draining/IRG  draining/W  .           .          .        .       .             +told/SG      +told/KG      .
awaiting+paired+told   .           .        .           draining/IG   draining/W  .           .          .        .       .             /SG           /KG           .
running                .           .        /R          .             .           draining/G  .          .        .       .             +told/SG      +told/KG      /S
running+told           .           .        .           .             .           draining/G  .          .        .       .             /SG           /KG           /S
draining               .           .        .           .             .           .           paused/T   gone/TX  .       .             +told/SG      +told/KG      .
draining+told          .           .        .           .             .           .           gone/TX    gone/TX  .       .             /SG           /KG           .
paused                 .           .        .           .             .           .           .          .        due/H   .             gone+told/UX  gone+told/UX  .
due                    .           .        .           .             .           .           .          .        .       restarting/B  gone+told/UX  gone+told/UX  .
restarting             running/T   .        .           .             .           .           paused/T   gone/TX  .       .             +told/SG      +told/KG      .
restarting+told        running/T   .        .           .             .           .           gone/TX    gone/TX  .       .             /SG           /KG           .
gone                   .           .        .           .             .           .           .          .        .       .             .             .             .
`

// lifeMarks are the marks that a state can have.
var lifeMarks = []struct {
	name string
	of   func(*life) *bool
}{
	{"quiet", func(l *life) *bool { return &l.quiet }},
	{"paired", func(l *life) *bool { return &l.paired }},
	{"told", func(l *life) *bool { return &l.told }},
	{"shown", func(l *life) *bool { return &l.shown }},
}

func TestEveryStateAndEvent(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(lifeTable), "\n")
	heads := strings.Fields(lines[0])
	if len(heads) != int(numEvents) {
		t.Fatalf("the table has %d events of %d", len(heads), numEvents)
	}
	seen := map[state]bool{}
	for _, line := range lines[1:] {
		f := strings.Fields(line)
		if len(f) != 1+len(heads) {
			t.Fatalf("a line of %d cells: %s", len(f), line)
		}
		before := lifeAt(t, f[0])
		seen[before.state] = true
		for e := range numEvents {
			if heads[e] != e.String() {
				t.Fatalf("column %d is %q, the event is %q", e, heads[e], e)
			}
			after := before
			todo := after.step(e)
			if got := showStep(before, after, todo); got != f[1+e] {
				t.Errorf("%s: %s: %s, want %s", f[0], e, got, f[1+e])
			}
		}
	}
	if len(seen) != int(numStates) {
		t.Errorf("the table has %d states of %d", len(seen), numStates)
	}
}

// lifeAt is the life that the head of a line stands for.
func lifeAt(t *testing.T, head string) (l life) {
	t.Helper()
	parts := strings.Split(head, "+")
	for l.state = 0; l.state.String() != parts[0]; l.state++ {
		if l.state+1 == numStates {
			t.Fatalf("no state is called %q", parts[0])
		}
	}
	for _, name := range parts[1:] {
		known := false
		for _, m := range lifeMarks {
			if m.name == name {
				*m.of(&l), known = true, true
			}
		}
		if !known {
			t.Fatalf("nothing is called %q in %q", name, head)
		}
	}
	return l
}

func showStep(before, after life, todo deeds) string {
	var b strings.Builder
	if after.state != before.state {
		b.WriteString(after.state.String())
	}
	for _, m := range lifeMarks {
		if *m.of(&after) != *m.of(&before) {
			b.WriteString("+" + m.name)
		}
	}
	if todo != 0 {
		b.WriteByte('/')
	}
	for i := range 16 {
		if todo&(1<<i) != 0 {
			b.WriteByte("FWOPITRSKUHBXG"[i])
		}
	}
	if b.Len() == 0 {
		return "."
	}
	return b.String()
}

// TestEveryLife goes all ways that events can lead. A process is presented at most once, ends once,
// is not restarted after a request to end it, and can end after any events.
func TestEveryLife(t *testing.T) {
	type walk struct {
		life
		presented bool
	}
	seen := map[walk]bool{}
	var from func(w walk)
	from = func(w walk) {
		if seen[w] {
			return
		}
		seen[w] = true
		for e := range numEvents {
			next := w
			todo := next.step(e)
			next.presented = w.presented || todo&doPresent != 0
			switch over := todo&(doBury|doDecline) != 0; {
			case over != (next.state == stGone && w.state != stGone):
				t.Errorf("%+v, %s: the process ends without being gone, or is gone without an end", w, e)
			case w.presented && todo&(doPresent|doDecline) != 0:
				t.Errorf("%+v, %s: it is presented, and what is to be done is %b", w, e, todo)
			case w.told && todo&(doBegin|doUnpause) != 0:
				t.Errorf("%+v, %s: it was told to end, and what is to be done is %b", w, e, todo)
			case (w.told || (e == evEnd || e == evKill) && w.state != stGone) && !next.told:
				t.Errorf("%+v, %s: nobody remembers that it was told to end", w, e)
			}
			from(next)
		}
	}
	for _, first := range []life{{}, {quiet: true}, {paired: true}, {quiet: true, paired: true}} {
		from(walk{life: first})
	}
	for w := range seen {
		end := w.life
		for _, e := range []event{evKill, evStarted, evRefused, evUnpaired, evKill, evOver, evLast} {
			end.step(e)
		}
		if end.state != stGone {
			t.Errorf("%+v: it cannot be killed", w)
		}
	}
	if len(seen) < 40 {
		t.Errorf("only %d lives", len(seen))
	}
}

// TestHidden checks which states are hidden and unheard.
func TestHidden(t *testing.T) {
	for head, want := range map[string][2]bool{ // hidden, unheard
		"starting":            {false, false},
		"starting+quiet":      {true, true},
		"starting+quiet+told": {true, false},
		"starting+paired":     {true, false},
		"unready+quiet":       {true, true},
		"unready+quiet+told":  {true, false},
		"pairing+paired":      {true, false},
		"awaiting+paired":     {true, false},
		"running+quiet":       {false, false},
		"draining+quiet":      {false, false},
		"restarting+quiet":    {false, false},
		"gone+paired":         {false, false},
	} {
		l := lifeAt(t, head)
		if got := [2]bool{l.hidden(), l.unheard()}; got != want {
			t.Errorf("%s: %v, want %v", head, got, want)
		}
	}
}

func TestLifeNames(t *testing.T) {
	seen := map[string]bool{}
	for s := range numStates {
		seen[s.String()] = true
	}
	for e := range numEvents {
		seen[e.String()] = true
	}
	if seen[""] || len(seen) != int(numStates)+int(numEvents) {
		t.Errorf("%d names for %d states and %d events", len(seen), numStates, numEvents)
	}
	defer func() {
		if recover() == nil {
			t.Error("a state that is none takes an event")
		}
	}()
	(&life{state: numStates}).step(evStarted)
}
