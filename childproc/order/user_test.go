package order

import (
	"slices"
	"testing"

	"erluv/ipc"
	"erluv/wire/etf"

	"github.com/google/go-cmp/cmp"
)

// allowedHere are the accounts that the tests' requests may name.
var allowedHere = []ipc.Allowed{
	{User: "nobody", UID: 65534, Groups: []ipc.Group{{Name: "nogroup", GID: 65534}}, Home: "/nonexistent", Shell: "/usr/sbin/nologin"},
	{User: "games", UID: 5, Groups: []ipc.Group{{Name: "games", GID: 60}}, Home: "/usr/games"},
	{User: "games", UID: 5, Groups: []ipc.Group{{Name: "games", GID: 60}, {Name: "audio", GID: 29}, {Name: "video", GID: 44}}},
	{User: "nobody", UID: 65534, Groups: []ipc.Group{{Name: "games", GID: 60}}},
}

// TestAmong checks that accounts are found by names and numbers, or refused for the first part that
// does not match.
func TestAmong(t *testing.T) {
	type got struct {
		n       int
		refused string
		what    etf.Term
	}
	no := func(what etf.Atom) got { return got{0, "", etf.Tuple{what, etf.Atom("not_allowed")}} }
	for _, tt := range []struct {
		whom whom
		want got
	}{
		{whom{}, got{}},
		{whom{user: "nobody"}, got{}},
		{whom{user: "65534", listed: true}, got{}},
		{whom{user: "games"}, got{n: 1}},
		{whom{user: "5", group: "60"}, got{n: 1}},
		{whom{user: "games", groups: []string{"video", "29"}, listed: true}, got{n: 2}},
		{whom{group: "games"}, got{n: 3}},
		{whom{user: "nobody", group: "60"}, got{n: 3}},
		{whom{user: "root"}, got{refused: "root"}},
		{whom{user: "0", group: "games"}, got{refused: "0"}},
		{whom{user: "games", group: "nogroup"}, no("group")},
		{whom{user: "games", groups: []string{"audio"}, listed: true}, no("groups")},
		{whom{user: "games", groups: []string{"audio", "29", "video"}, listed: true}, no("groups")},
		{whom{user: "games", groups: []string{"audio", "audio"}, listed: true}, no("groups")},
		{whom{groups: []string{"audio"}, listed: true}, no("groups")},
	} {
		n, refused, reason := tt.whom.among(allowedHere)
		if diff := cmp.Diff(tt.want, got{n, refused, reason}, cmp.AllowUnexported(got{})); diff != "" {
			t.Errorf("%+v:\n%s", tt.whom, diff)
		}
	}
}

// TestAccounts checks that a value which is neither the name nor the number of an account is a bad
// option.
func TestAccounts(t *testing.T) {
	for _, v := range []etf.Term{int64(0), int64(1<<32 - 1), etf.Atom("games"), etf.Binary("games"), etf.String("games")} {
		if name, ok := accountName(v); !ok || name == "" {
			t.Errorf("%v is refused", v)
		}
	}
	for _, v := range []etf.Term{int64(-1), int64(1 << 32), etf.Binary(""), etf.Binary("a\x00"), etf.Tuple{}, etf.Binary(make([]byte, maxName+1))} {
		if name, ok := accountName(v); ok {
			t.Errorf("%v is %q", v, name)
		}
		var to string
		if toAccount(&to, v) == nil || toGroups(&whom{}, etf.List{v}) == nil {
			t.Errorf("%v is an option", v)
		}
	}
	var w whom
	if err := toGroups(&w, etf.String{29, 44}); err != nil || !slices.Equal(w.groups, []string{"29", "44"}) || !w.listed {
		t.Errorf("%+v, %v", w, err)
	}
}
