package config

import (
	"slices"
	"strings"
	"testing"

	"erluv/discover"

	"github.com/google/go-cmp/cmp"
)

// For each way of naming nodes, the test checks the dialled nodes and the own host.
func TestTargets(t *testing.T) {
	for name, test := range map[string]struct {
		args    map[string]string
		targets []discover.Target
		source  string
		host    string
	}{
		"node":  {map[string]string{"node": "a@localhost"}, []discover.Target{{Node: "a@localhost", Host: "localhost"}}, ":", "localhost"},
		"nodes": {map[string]string{"nodes": "a@localhost, b@10.0.0.1"}, []discover.Target{{Node: "a@localhost", Host: "localhost"}, {Node: "b@10.0.0.1", Host: "10.0.0.1"}}, ":", "localhost"},
		"dns":   {map[string]string{"discover": "dns:localhost", "discover_name": "a@%h"}, []discover.Target{}, "dns:localhost", "localhost"},
		"file":  {map[string]string{"discover": "file:/f", "host": "h"}, []discover.Target{}, "file:/f", "h"},
		"both":  {map[string]string{"node": "a@localhost", "discover": "file:/f"}, []discover.Target{{Node: "a@localhost", Host: "localhost"}}, "file:/f", "localhost"},
	} {
		m := testMachine(t)
		write(t, m, ".erlang.cookie", "OVEN")
		c, warnings, err := Load(Sources{Machine: m, Args: test.args})
		if err == nil {
			err = c.Check()
		}
		if err != nil || len(withoutIneffective(warnings)) != 0 {
			t.Errorf("%s: %v, %v", name, warnings, err)
			continue
		}
		if diff := cmp.Diff(test.targets, c.Targets); diff != "" || c.Source.String() != test.source || c.Host != test.host {
			t.Errorf("%s: source %v, host %q, targets, want (-) got (+):\n%s", name, c.Source, c.Host, diff)
		}
	}
}

// These settings exclude each other, are incomplete, or have no effect.
func TestTargetsRefused(t *testing.T) {
	for want, args := range map[string]map[string]string{
		"node and nodes exclude each other":   {"node": "a@h", "nodes": "b@h"},
		"say discover_name, such as":          {"discover": "srv:x.y"},
		"address from --address is where one": {"nodes": "a@h,b@h", "address": "h:1"},
		"is the name of the node itself":      {"nodes": "a@localhost,b@localhost", "name": "b"},
	} {
		_, _, err := Load(Sources{Machine: testMachine(t), Args: args})
		wantProblem(t, err, want)
	}
	m := testMachine(t)
	write(t, m, ".erlang.cookie", "OVEN")
	c, _, err := Load(Sources{Machine: m, Args: map[string]string{"discover": "file:/f"}})
	if err != nil {
		t.Fatal(err)
	}
	wantProblem(t, c.Check(), "not known before discover has found a node: name one by --host")
	for want, args := range map[string]map[string]string{
		"discover_name from --discover-name is ignored: there is no discover":         {"discover_name": "a@%h"},
		"discover_interval from --discover-interval is ignored: there is no discover": {"discover_interval": "1s"},
		"port_from_name_host from --port-from-name-host is ignored: there is no port": {"port_from_name_host": "h"},
		"discover_name from --discover-name is ignored: discover is file:/f":          {"discover_name": "a@%h", "discover": "file:/f", "host": "h"},
	} {
		_, warnings, err := Load(Sources{Machine: testMachine(t), Args: args})
		if err != nil || len(warnings) == 0 || !contains(warnings, want) {
			t.Errorf("%v, %q; want %q", err, warnings, want)
		}
	}
}

func contains(warnings []Warning, text string) bool {
	return slices.ContainsFunc(warnings, func(w Warning) bool { return strings.Contains(string(w), text) })
}

// A node that is the argument is dialled, regardless of settings about nodes to serve.
func TestEntry(t *testing.T) {
	for name, test := range map[string]struct {
		file, args             map[string]string
		entry                  string
		address, ownName, host string
	}{
		"nothing else":                   {nil, nil, "a@localhost", "", "", "localhost"},
		"another is served":              {map[string]string{"node": "b@10.0.0.1", "address": "10.0.0.1:9", "name": "erluv_1"}, nil, "a@localhost", "", "", "localhost"},
		"it is served":                   {map[string]string{"node": "a@localhost", "address": "10.0.0.1:9", "name": "erluv_1"}, nil, "a@localhost", "10.0.0.1:9", "", "localhost"},
		"flags are about it":             {map[string]string{"nodes": "b@h,c@h"}, map[string]string{"address": "h:8", "name": "me", "host": "vm"}, "a@h", "h:8", "me", "vm"},
		"a flag goes before the other's": {map[string]string{"node": "b@h", "address": "b:9", "name": "erluv_1"}, map[string]string{"address": "h:8", "name": "me"}, "a@localhost", "h:8", "me", "localhost"},
		"discovery":                      {map[string]string{"discover": "file:/f"}, nil, "a@localhost", "", "", "localhost"},
	} {
		m := testMachine(t)
		write(t, m, ".erlang.cookie", "OVEN")
		src := Sources{Machine: m, Args: test.args, Entry: test.entry}
		for key, v := range test.file {
			src.Environ = append(src.Environ, keyNamed(key).Env()+"="+v)
		}
		c, warnings, err := Load(src)
		if err == nil {
			err = c.Check()
		}
		if err != nil || len(warnings) != 0 {
			t.Errorf("%s: %v, %v", name, warnings, err)
			continue
		}
		if len(c.Targets) != 1 || c.Targets[0].Node != test.entry || c.Source != (discover.Source{}) ||
			c.Address != test.address || c.Name != test.ownName || c.Host != test.host {
			t.Errorf("%s: %+v, source %v, address %q, name %q, host %q", name, c.Targets, c.Source, c.Address, c.Name, c.Host)
		}
	}
	_, _, err := Load(Sources{Machine: testMachine(t), Entry: "a"})
	wantProblem(t, err, `"a" has no @host: it takes the name of a node`)
}
