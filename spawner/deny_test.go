package spawner

import (
	"testing"

	"erluv/ipc"
)

// TestFilterOf: all names that may be allowed are known, filters are kept, and a sandbox that
// restricts nothing needs no filter.
func TestFilterOf(t *testing.T) {
	all := &ipc.Confine{Deny: true, Allow: ipc.AllAllowed()}
	one, err := filterOf(all)
	if err != nil || one == nil {
		t.Fatalf("%v, %v", one, err)
	}
	if again, err := filterOf(all); again != one || err != nil {
		t.Errorf("it is made anew: %v", err)
	}
	for name, tt := range map[string]struct {
		c    ipc.Confine
		some bool
	}{
		"nothing":                 {ipc.Confine{}, false},
		"a domain":                {ipc.Confine{Scope: true}, false},
		"allowed where none is":   {ipc.Confine{Allow: ipc.AllowIOUring}, false},
		"files":                   {ipc.Confine{Files: true}, true},
		"all files":               {ipc.Confine{Files: true, Write: []string{"/"}, Exec: []string{"/"}}, false},
		"all but what is written": {ipc.Confine{Files: true, Write: []string{"/tmp"}, Exec: []string{"/"}}, true},
		"attributes":              {ipc.Confine{Allow: ipc.AllowAttributes}, false},
		"flags of files":          {ipc.Confine{Allow: ipc.AllowAttributes, Files: true, Exec: []string{"/"}}, true},
		"no network":              {ipc.Confine{Ports: true}, true},
	} {
		if f, err := filterOf(&tt.c); (f != nil) != tt.some || err != nil {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
}
