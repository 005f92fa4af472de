package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Root's configuration names users, with groups from the databases or with other groups.
func TestAllow(t *testing.T) {
	daemon := Identity{User: "daemon", Group: "daemon", UID: 1, GID: 1}
	for _, test := range []struct {
		entry string
		want  Allowed
	}{
		{"daemon", Allowed{daemon, nil}},
		{"1", Allowed{daemon, nil}},
		{"daemon:daemon", Allowed{daemon, nil}},
		{"daemon:bin,sys,bin,1", Allowed{Identity{User: "daemon", Group: "bin", UID: 1, GID: 2}, []Group{{"daemon", 1}, {"bin", 2}, {"sys", 3}}}},
		{"4711:4712,4713", Allowed{Identity{User: "4711", Group: "4712", UID: 4711, GID: 4712}, []Group{{"4713", 4713}}}},
		{"root", Allowed{Identity{User: "root", Group: "root"}, nil}},
		{"root:bin", Allowed{Identity{User: "root", Group: "bin", GID: 2}, nil}},
		{"daemon:root", Allowed{Identity{User: "daemon", Group: "root", UID: 1}, nil}},
	} {
		c := Config{AllowUsers: []string{test.entry}}
		if err := c.allow(); err != nil || len(c.Allowed) != 1 {
			t.Errorf("%s: %v, %v", test.entry, c.Allowed, err)
			continue
		}
		got := c.Allowed[0]
		if inDatabase := got.UID != 4711; inDatabase && (got.Home == "" || !strings.HasPrefix(got.Shell, "/")) {
			t.Errorf("%s: the home directory is %q, the shell %q", test.entry, got.Home, got.Shell)
		}
		got.Home, got.Shell = "", ""
		if diff := cmp.Diff(test.want.Identity, got.Identity); diff != "" || !slices.Equal(test.want.Groups, got.Groups) && test.entry != "root" {
			t.Errorf("%s: %+v, want %+v", test.entry, got, test.want)
		}
	}
}

// No user is allowed by mistake, least of all root.
func TestAllowRefuses(t *testing.T) {
	for _, test := range []struct {
		uid         int
		entry, want string
	}{
		{0, "nosuchuser", `names "nosuchuser", who is not in the user database`},
		{0, "daemon:nosuchgroup", `names "daemon:nosuchgroup", whose group nosuchgroup is not in the group database`},
		{0, "4711", `names "4711", who is not in the user database: name groups too, as in 4711:4711`},
		{0, "99999999999", `who is not in the user database`},
		{1, "daemon", "only root can become another, and this is daemon: start erluv as root, or leave the key out"},
	} {
		c := Config{AllowUsers: []string{test.entry}, machine: Machine{UID: test.uid}, RunAs: Identity{User: "daemon"}}
		if err := c.allow(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.entry, err, test.want)
		}
	}
	for value, want := range map[string]string{
		"a:":                                    "is empty",
		":b":                                    "is empty",
		"a:b,,c":                                "is empty",
		"a:b:c":                                 "is no name",
		"a a":                                   `has "a" twice`,
		strings.Repeat("a ", maxAllowed+1):      "more than 64 users",
		"a:b" + strings.Repeat(",b", maxGroups): "more than 64 groups",
	} {
		if _, err := parseAllowed(value); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", value, err, want)
		}
	}
}
