package order

import (
	"slices"
	"testing"

	"erluv/ipc"
	"erluv/wire/etf"
)

// TestEnviron checks that each name is there once, with its last value. Inherited variables and
// those of a login neither replace a value nor restore a removed name.
func TestEnviron(t *testing.T) {
	pair := func(name, value etf.Term) etf.Term { return etf.Tuple{name, value} }
	ours := map[string]string{"LANG": "C", "X": "inherited", "HOME": "/inherited"}
	user := ipc.Allowed{User: "games", Home: "/usr/games", Shell: "/bin/sh"}
	for name, tc := range map[string]struct {
		env     etf.Term
		inherit []string
		login   bool
		want    []string
	}{
		"none":          {env: etf.List(nil)},
		"last":          {env: etf.List{pair(etf.String("X"), etf.String("1")), pair(etf.String("X"), etf.String("2"))}, want: []string{"X=2"}},
		"forms":         {env: etf.List{pair(etf.Atom("X"), etf.String("1")), pair(etf.Binary("X"), etf.Binary("2")), pair(etf.String("X"), etf.String("3")), pair(etf.List{int64('X')}, etf.String("4"))}, want: []string{"X=4"}},
		"map":           {env: etf.Map{{Key: etf.Atom("X"), Value: etf.String("1")}, {Key: etf.Binary("X"), Value: etf.String("2")}}, want: []string{"X=2"}},
		"empty":         {env: etf.List{pair(etf.Atom("X"), etf.String(""))}, want: []string{"X="}},
		"word false":    {env: etf.List{pair(etf.Atom("X"), etf.String("false"))}, want: []string{"X=false"}},
		"removed":       {env: etf.List{pair(etf.Atom("X"), etf.String("1")), pair(etf.String("X"), etf.Atom("false"))}},
		"there again":   {env: etf.List{pair(etf.Atom("X"), etf.Atom("false")), pair(etf.String("X"), etf.String("1"))}, want: []string{"X=1"}},
		"inherited":     {env: etf.List{}, inherit: []string{"X", "LANG", "X", "NONE"}, want: []string{"X=inherited", "LANG=C"}},
		"not replaced":  {env: etf.List{pair(etf.Atom("X"), etf.String("1"))}, inherit: []string{"X"}, want: []string{"X=1"}},
		"not inherited": {env: etf.List{pair(etf.Atom("X"), etf.Atom("false"))}, inherit: []string{"X", "LANG"}, want: []string{"LANG=C"}},
		"login":         {env: etf.List{}, login: true, want: []string{"HOME=/usr/games", "USER=games", "LOGNAME=games", "SHELL=/bin/sh"}},
		"login, less":   {env: etf.List{pair(etf.Atom("SHELL"), etf.Atom("false")), pair(etf.Atom("USER"), etf.String("x"))}, inherit: []string{"HOME"}, login: true, want: []string{"USER=x", "HOME=/inherited", "LOGNAME=games"}},
	} {
		t.Run(name, func(t *testing.T) {
			var e environ
			if err := toEnv(&e, tc.env); err != nil {
				t.Fatal(err)
			}
			e.inherit(tc.inherit, ours)
			if tc.login {
				e.login(user)
			}
			if got := e.list(); !slices.Equal(got, tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
	for _, bad := range []etf.Term{
		etf.List{pair(etf.Atom("X"), etf.Atom("true"))},
		etf.List{pair(etf.Atom("X"), etf.Atom("undefined"))},
		etf.List{pair(etf.Atom(""), etf.Atom("false"))},
		etf.List{pair(etf.String("A=B"), etf.Atom("false"))},
		etf.List{pair(int64(1), etf.Atom("false"))},
		etf.List{etf.Atom("X")},
		etf.Atom("clear"),
	} {
		if err := toEnv(&environ{}, bad); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}
