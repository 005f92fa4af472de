package crew

import (
	"fmt"
	"testing"
	"time"
)

// TestStanding: a crew's state is a list of pairs, with the processes of its roles.
func TestStanding(t *testing.T) {
	c := &Crew{child: &process{pid: 7}, spawner: &process{pid: 8}, began: time.Now(), others: make([]other, 3)}
	c.others[1].p = &process{pid: 9}
	c.by.name = containGroup
	got := fmt.Sprint(c.Standing())
	want := fmt.Sprint([]any{
		"child", 7, "spawner", 8, "spawners_of_others", 1, "contained_by", containGroup,
		"since", time.Duration(0), "answers", true, "ending", false,
	})
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
