package workers

import (
	"fmt"
	"strings"
	"testing"
)

// table is the whole life of a worker. For each state and event it has the next state and the
// actions, or a dot if there are none.
//
//	S stop signal  K SIGKILL  D end the wait  W check the group  O drain the output
//	F report that no program was started  R report the end
//
// A state may have the tree option that makes a difference, or the request that came before the
// program was started.
const table = `
                started      not-started exited        group-empty  tree-done    stop         kill         deadline     poll drained   unwatched
starting        running      gone/F      .             .            .            +stop        +kill        .            .    .        purging/KW
starting+stop   stopping/S   gone/F      .             .            .            .            +kill        .            .    .        purging/KW
starting+kill   killing/K    gone/F      .             .            .            .            .            .            .    .        purging/KW
running         .            .           sweeping/SW   .            .            stopping/S   killing/K    .            .    .        .
running(wait)   .            .           waiting/W     .            .            stopping/S   killing/K    .            .    .        .
running(leave)  .            .           draining/O    .            .            stopping/S   killing/K    .            .    .        .
stopping        .            .           sweeping/W    .            .            .            killing/KD   killing/KD   .    .        .
killing         .            .           purging/KW    .            .            .            killing/KD   killing/KD   .    .        .
waiting         .            .           .             .            draining/DO  sweeping/SW  purging/KDW  purging/KDW  /W   .        .
sweeping        .            .           .             draining/DO  draining/DO  .            purging/KDW  purging/KDW  /W   .        .
purging         .            .           .             draining/DO  draining/DO  .            purging/KDW  purging/KDW  /KW  .        .
draining        .            .           .             .            .            .            .            .            .    gone/R   .
gone            .            .           .             .            .            .            .            .            .    .        .
`

func TestEveryStateAndEvent(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(table), "\n")
	var events []event
	for i, name := range strings.Fields(lines[0]) {
		if want := strings.ReplaceAll(event(i).String(), " ", "-"); name != want {
			t.Fatalf("column %d is %q, the event is %q", i, name, want)
		}
		events = append(events, event(i))
	}
	if len(events) != int(numEvents) {
		t.Fatalf("the table has %d events of %d", len(events), numEvents)
	}
	seen := map[State]bool{}
	for _, line := range lines[1:] {
		f := strings.Fields(line)
		if len(f) != 1+len(events) {
			t.Fatalf("a line of %d cells: %s", len(f), line)
		}
		for _, l := range lives(t, f[0]) {
			seen[l.state] = true
			for i, e := range events {
				after := l
				a := after.step(e)
				if got := show(l, after, a); got != f[1+i] {
					t.Errorf("%s, tree %d: %s: %s, want %s", f[0], l.tree, e, got, f[1+i])
				}
			}
		}
	}
	if len(seen) != int(numStates) {
		t.Errorf("the table has %d states of %d", len(seen), numStates)
	}
}

// lives returns the lives that the head of a line stands for.
func lives(t *testing.T, head string) []life {
	t.Helper()
	name, _, _ := strings.Cut(strings.ReplaceAll(head, "(", "+"), "+")
	var l life
	for l.state = 0; l.state.String() != name; l.state++ {
		if l.state+1 == numStates {
			t.Fatalf("no state is called %q", name)
		}
	}
	trees := []Tree{TreeKill, TreeWait, TreeLeave}
	switch {
	case strings.HasSuffix(head, "+stop"):
		l.pending = evStop
	case strings.HasSuffix(head, "+kill"):
		l.pending = evKill
	case strings.HasSuffix(head, "(wait)"):
		trees = []Tree{TreeWait}
	case strings.HasSuffix(head, "(leave)"):
		trees = []Tree{TreeLeave}
	case name == "running":
		trees = []Tree{TreeKill}
	}
	var all []life
	for _, tree := range trees {
		l.tree = tree
		all = append(all, l)
	}
	return all
}

func show(before, after life, a actions) string {
	var b strings.Builder
	if after.state != before.state || a != 0 && a != actWatch && a != actKill|actWatch {
		b.WriteString(after.state.String())
	}
	if after.pending != before.pending {
		fmt.Fprintf(&b, "+%s", after.pending)
	}
	if a != 0 {
		b.WriteByte('/')
	}
	for i := range 16 {
		if a&(1<<i) != 0 {
			b.WriteByte("SKDWOFR"[i])
		}
	}
	if b.Len() == 0 {
		return "."
	}
	return b.String()
}

func TestNames(t *testing.T) {
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
	(&life{state: numStates}).step(evStop)
}
