package config

import (
	"testing"
)

func TestParseListen(t *testing.T) {
	for v, want := range map[string]Listen{
		"off": {}, "local": {Host: "local"}, "local:9100": {"local", 9100, 9100}, "db1": {Host: "db1"},
		"db1.example.com:1-65535": {"db1.example.com", 1, 65535}, "0.0.0.0": {Host: "0.0.0.0"}, "::": {Host: "::"},
		"::1": {Host: "::1"}, "[::1]:9": {"::1", 9, 9}, "[fe80::1%eth0]:7-8": {"fe80::1%eth0", 7, 8}, "10.0.0.1:5": {"10.0.0.1", 5, 5},
	} {
		got, err := parseListen(v)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", v, got, err, want)
		}
		if got.On() != (v != "off") || got.Local() != (got.Host == "local") || got.anywhere() != (v == "0.0.0.0" || v == "::") {
			t.Errorf("%s: on %t, local %t, anywhere %t", v, got.On(), got.Local(), got.anywhere())
		}
	}
}

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "a@h", true},
		{"*", "", true},
		{"a@h", "a@h", true},
		{"a@h", "a@h2", false},
		{"a@h", "ba@h", false},
		{"a*@h", "a@h", true},
		{"a*@h", "abc@h", true},
		{"a*@h", "abc@h2", false},
		{"a*@h", "xa@h", false},
		{"*@h", "a@h", true},
		{"*@h", "@h", true},
		{"*@10.0.0.*", "a@10.0.0.7", true},
		{"*@10.0.0.*", "a@10.0.1.7", false},
		{"a*b*c@h", "aXbYc@h", true},
		{"a*b*c@h", "abc@h", true},
		{"a*b*c@h", "acb@h", false},
		{"a*a@h", "a@h", false}, // one character does not match twice
		{"a*ab@h", "aab@h", true},
		{"a**b@h", "ab@h", true},
		{"A@h", "a@h", false},
	} {
		if got := matches(tt.pattern, tt.name); got != tt.want {
			t.Errorf("%s of %s: %t", tt.name, tt.pattern, got)
		}
	}
	c := Config{AllowNodes: []string{"a@h", "b@*"}}
	for name, want := range map[string]bool{"a@h": true, "b@x": true, "a@x": false} {
		if c.MayConnect(name) != want {
			t.Errorf("%s may connect: %t", name, !want)
		}
	}
}

// TestListenAlone: with listen no node need be named. Each case has its own host.
func TestListenAlone(t *testing.T) {
	for _, tt := range []struct{ listen, host, hostname, want string }{
		{"local", "", "vm", "localhost"},
		{"local", "127.0.0.1", "vm", "127.0.0.1"},
		{"0.0.0.0", "", "vm", "vm"},
		{"::", "", "vm.example.com", "vm.example.com"},
		{"127.0.0.1:9100", "", "vm", "127.0.0.1"},
		{"vm", "", "vm.example.com", "vm"},
	} {
		m := testMachine(t)
		m.Hostname = func() (string, error) { return tt.hostname, nil }
		write(t, m, ".erlang.cookie", "OVEN")
		args := map[string]string{"listen": tt.listen}
		if tt.host != "" {
			args["host"] = tt.host
		}
		c, warnings, err := Load(Sources{Machine: m, Args: args})
		if err == nil {
			err = c.Check()
		}
		if err != nil || len(withoutIneffective(warnings)) != 0 || c.Host != tt.want {
			t.Errorf("%+v: host %q, %v, %v", tt, c.Host, warnings, err)
		}
	}
	_, warnings, err := Load(Sources{Machine: testMachine(t), Args: map[string]string{"node": "a@h", "allow_nodes": "b@*"}})
	if want := "allow_nodes from --allow-nodes is ignored: listen is off"; err != nil || !contains(warnings, want) {
		t.Errorf("%v, %q; want %q", err, warnings, want)
	}
}
