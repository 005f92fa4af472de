package discover

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestList(t *testing.T) {
	got, err := List([]string{"b@host", "a@host.example.com", "n-1_X@fd00::1", "b@host"})
	want := []Target{{"b@host", "host", 0}, {"a@host.example.com", "host.example.com", 0}, {"n-1_X@fd00::1", "fd00::1", 0}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	longest := "n@" + strings.Repeat("h", 253)
	if got, err := List([]string{longest}); err != nil || got[0].Node != longest {
		t.Errorf("the longest: %v", err)
	}
	for name, want := range map[string]string{
		"":                  "has no @host",
		"n":                 "has no @host",
		"@h":                "before the @",
		"n@":                "after the @",
		"n@h@h":             "after the @",
		"n h@h":             "before the @",
		"n\u00e9@h":         "before the @",
		"n.x@h":             "before the @",
		"n@h h":             "after the @",
		"n@h\n":             "after the @",
		"n@h\u00e9":         "after the @",
		"n@h/x":             "after the @",
		longest + "h":       "longer than 255",
		"n@\xff":            "after the @",
		`n@"h"`:             "after the @",
		"remote_%d@h":       "before the @",
		"n@h\x00":           "after the @",
		"-n@h$(id)@" + "h'": "after the @",
	} {
		if _, err := List([]string{"ok@h", name}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
	many := make([]string, maxTargets+1)
	for i := range many {
		many[i] = fmt.Sprintf("n%d@h", i)
	}
	if _, err := List(many); err == nil || !strings.Contains(err.Error(), "names 1001 nodes, more than 1000") {
		t.Errorf("too many: %v", err)
	}
	if got, err := List(many[1:]); err != nil || len(got) != maxTargets {
		t.Errorf("the most: %d, %v", len(got), err)
	}
}

func TestPattern(t *testing.T) {
	for _, good := range []string{"shop@%h", "shop@node-%h.example.com"} {
		p, err := ParsePattern(good)
		if err != nil {
			t.Errorf("%q: %v", good, err)
			continue
		}
		want := Target{strings.Replace(good, "%h", "db1", 1), "db1", 0}
		if got, err := p.node("db1"); err != nil || got != want {
			t.Errorf("%q: %v, %v", good, got, err)
		}
		if got, err := p.node("h h"); err == nil {
			t.Errorf("%q of a host with a space: %v", good, got)
		}
	}
	for _, bad := range []string{"", "shop", "shop@host", "%h@host", "%h@%h", "shop@%h%h", "shop@%d", "shop@%h%", "@%h", "s p@%h", "shop@%h "} {
		if p, err := ParsePattern(bad); err == nil {
			t.Errorf("%q is %q", bad, p)
		}
	}
}

func TestPorts(t *testing.T) {
	for pattern, c := range map[string]map[string]uint16{
		"remote_%d": {
			"remote_1@h": 1, "remote_65535@h": 65535, "remote_4000@other.example.com": 4000,
			"remote_0@h": 0, "remote_65536@h": 0, "remote_@h": 0, "remote_04000@h": 0, "remote_+1@h": 0,
			"remote_-1@h": 0, "remote_4000x@h": 0, "remote@h": 0, "local_4000@h": 0, "xremote_4000@h": 0,
			"remote_99999999999999999999@h": 0,
		},
		"%d":       {"4000@h": 4000, "n4000@h": 0},
		"a%d-node": {"a4000-node@h": 4000, "a4000@h": 0, "a-node@h": 0},
		"a%da":     {"a@h": 0, "aa@h": 0, "a1a@h": 1},
	} {
		p, err := ParsePorts(pattern, "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		for node, port := range c {
			_, host, _ := strings.Cut(node, "@")
			want := Target{node, host, 0}
			got := p.apply(want)
			if port != 0 {
				want = Target{node, "127.0.0.1", port}
			}
			if got != want {
				t.Errorf("%q of %s: %v, want %v", node, pattern, got, want)
			}
		}
	}
	p, _ := ParsePorts("remote_%d", "::1")
	if told := (Target{"remote_4000@h", "10.0.0.1", 5000}); p.apply(told) != told {
		t.Error("a port that SRV has told is replaced")
	}
	if n := (Target{"remote_4000@h", "h", 0}); (Ports{}).apply(n) != n {
		t.Error("no pattern has a port")
	}
	for _, bad := range [][2]string{
		{"", "h"}, {"remote_", "h"}, {"remote_%d%d", "h"}, {"remote_%d@h", "h"}, {"remote_%h", "h"}, {"r %d", "h"}, {"r%d", ""}, {"r%d", "h h"},
	} {
		if p, err := ParsePorts(bad[0], bad[1]); err == nil {
			t.Errorf("%q is %v", bad, p)
		}
	}
}
