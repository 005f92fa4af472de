package sandbox

import (
	"os"
	"slices"
	"strconv"
	"testing"
)

// TestDropToOthers: root drops to users with groups, and to a root without capabilities.
func TestDropToOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		if got, err := walkAs(Identity{UID: 1, GID: 1, Groups: []uint32{2}}); err == nil {
			t.Errorf("an ordinary user has become another: %+v", got)
		}
		return
	}
	for _, id := range []Identity{
		{UID: 1, GID: 2, Groups: []uint32{3, 8, 60}},
		{UID: 0, GID: 0, Groups: []uint32{2}, MayBeRoot: true},
		{UID: 1, GID: 0, MayBeRoot: true},
	} {
		got, err := walkAs(id)
		if err != nil {
			t.Errorf("%+v: %v", id, err)
			continue
		}
		if got.Check != "" {
			t.Errorf("%+v: %s", id, got.Check)
		}
		var own []string // attempts that regain nothing
		if id.UID == 0 {
			own = append(own, "setuid", "setresuid", "seteuid", "shadow")
		}
		if id.GID == 0 {
			own = append(own, "setgid")
		}
		for _, way := range got.Report.Regained {
			if !slices.Contains(own, way) {
				t.Errorf("%+v: %s works", id, way)
			}
		}
		if got.Other == "" {
			t.Errorf("%+v is taken for another", id)
		}
	}
}

// TestCheckGroups: Check compares the groups one by one.
func TestCheckGroups(t *testing.T) {
	none := "0000000000000000"
	s := status{
		"PPid": strconv.Itoa(os.Getpid()), "Uid": "7\t7\t7\t7", "Gid": "8\t8\t8\t8", "NoNewPrivs": "1", "Groups": "3 8 60",
		"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none,
	}
	for _, tt := range []struct {
		groups []uint32
		want   string
	}{
		{[]uint32{3, 8, 60}, ""},
		{[]uint32{3, 8}, `Groups is "3 8 60" instead of "3 8"`},
		{nil, `Groups is "3 8 60" instead of ""`},
	} {
		got := ""
		if err := checkThread(s, Identity{UID: 7, GID: 8, Groups: tt.groups}, 0, true); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%v: %q, want %q", tt.groups, got, tt.want)
		}
	}
}
