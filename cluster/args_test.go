package cluster

import (
	"reflect"
	"strings"
	"testing"

	"erluv/wire/etf"
)

func TestArgs(t *testing.T) {
	for text, want := range map[string]etf.List{
		"[]":                      {},
		" [ ] . ":                 {},
		"[total]":                 {etf.Atom("total")},
		`['A b', -1, 1.5, $a]`:    {etf.Atom("A b"), int64(-1), 1.5, int64('a')},
		`["ü", "", <<"ü"/utf8>>]`: {etf.List{int64('ü')}, etf.List(nil), etf.Binary("ü")},
		"[{a, [1, []]}]":          {etf.Tuple{etf.Atom("a"), etf.List{int64(1), etf.List(nil)}}},
	} {
		if got, err := Args(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %#v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"total":                                "is not one list: arguments stand in",
		"[a]. [b]":                             "is not one list",
		"":                                     "is no list of Erlang terms",
		"[a":                                   `"[a" is no list of Erlang terms: line 1`,
		"[#{}]":                                "is no list of Erlang terms",
		"['" + strings.Repeat("x", 300) + "']": "an atom of 300 characters",
	} {
		if _, err := Args(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
