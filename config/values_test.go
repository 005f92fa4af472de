package config

import (
	"strings"
	"testing"
)

// Impossible values, in all spellings: the problem names the source and the correct values. For a
// file it has the line.
func TestImpossibleValues(t *testing.T) {
	long := strings.Repeat("x", 256)
	for key, values := range map[string][]string{
		"node":                {"", "app", "@host", "app@", "app@a@b", "a b@host", "app@ho st", "äpp@host", "app@h/x", "app@control", "a@" + long},
		"nodes":               {"", "app", "a@h,", "a@h,,b@h", "a@h,b", "a@h, a@h", "a@h b@h@h"},
		"serve":               {"", "both"},
		"discover":            {"", "x", "dns:", "srv:a b", "file:relative", "ldap:x"},
		"discover_name":       {"", "shop", "shop@h", "%h@h", "shop@%h%h", "a b@%h"},
		"discover_interval":   {"", "30", "0s"},
		"port_from_name":      {"", "remote", "a@%d", "%d%d", "a b%d"},
		"port_from_name_host": {"", "a b", "a@b"},
		"listen":              {"", "h:", ":1", "h:0", "h:9-8", "h:65536", "h:1-", "a b", "off:1", "h:x", "[::1]x"},
		"allow_nodes":         {"", "app", "a@b@c", "a@é", "*@" + long},
		"name":                {"", "a@b", "a.b", "a b", "ä", long},
		"prefix":              {"", "a@", long},
		"host":                {"", "a@b", "a b", "a/b", long},
		"cookie":              {"", "tab\there", "é", long},
		"cookie_file":         {""},
		"address":             {"", "host", "host:", ":1", "host:0", "host:65536", "host:http", "::1:80", "h:+1"},
		"epmd_port":           {"", "0", "65536", "-1", "x", "1.5", "+1", "99999999999999999999"},
		"user":                {"", "no such user", "nosuchuser", "root", "a,b"},
		"group":               {"", "nosuchgroup", "root"},
		"die_timeout":         {"", "5", "0s", "-1s", "5 s", "soon"},
		"kill_timeout":        {"", "0", "-1ms"},
		"reconnect":           {"", "yes", "Retry"},
		"controller":          {"", long, "\xff"},
		"history":             {"", "-1", "4097", "all"},
		"log_ring":            {"", "4095", "1048577", "64K"},
		"log_ring_total":      {"", "-1", "1099511627777", "some"},
		"max_workers":         {"", "0", "1000001", "many"},
		"path":                {"", "bin", "/bin:bin", "/bin:", ":/bin"},
		"contain":             {"", "docker"},
		"remote_exec":         {"", "on", "0"},
		"detach":              {"", "yes", "1", "True"},
		"log_level":           {"", "INFO", "all", "DEBUG-4"},
		"log_format":          {"", "xml"},
		"meta":                {"", ",", "a;", "a=1", "a;=1", strings.Repeat("x", 9000)},
		"run":                 {"", "class"},
		"max_kill_timeout":    {"", "5", "0s"},
		"limits":              {"", "memory", "memory=", "memory=1", "memory=1X", "memory=1MM", "memory=9999999T", "pids=0", "cpu=x", "disk=1", "pids=1,pids=2"},
		"disks":               {"", "tmp", "/,", "/,/"},
	} {
		k := keyNamed(key)
		for _, v := range values {
			m := testMachine(t)
			_, _, err := Load(Sources{Machine: m, Environ: []string{k.Env() + "=" + v}})
			wantProblem(t, err, k.Env(), "it takes "+k.Right)
			_, _, err = Load(Sources{Machine: m, Args: map[string]string{key: v}})
			wantProblem(t, err, "--"+k.Flag(), "it takes "+k.Right)
			if k.Secret && v != "" && strings.Contains(err.Error(), v) {
				t.Errorf("the secret is shown: %v", err)
			}
			if k.kind == text && v != "\xff" {
				path := write(t, m, ".erluv.conf", "\n\n"+key+" = '"+v+"'\n")
				_, _, err = Load(Sources{Machine: m})
				wantProblem(t, err, path+":3: "+key, "it takes "+k.Right, key+" = "+k.Example)
			}
		}
	}
}

// A shadowed value must be correct too.
func TestShadowedValueIsChecked(t *testing.T) {
	m := testMachine(t)
	write(t, m, ".erluv.conf", `die_timeout = "1s"`)
	_, _, err := Load(Sources{Machine: m, Args: map[string]string{"die_timeout": "soon"}})
	wantProblem(t, err, `--die-timeout "soon" is no duration`)
}

func TestAllProblemsAtOnce(t *testing.T) {
	m := testMachine(t)
	write(t, m, ".erluv.conf", "nodee = 1\ndetach = 1\n")
	_, _, err := Load(Sources{Machine: m, Args: map[string]string{"reconnect": "x"}, Environ: []string{"ERLUV_CONTAIN=y"}})
	wantProblem(t, err, ":1: unknown key")
	wantProblem(t, err, ":2: detach")
	wantProblem(t, err, "--reconnect")
	wantProblem(t, err, "ERLUV_CONTAIN")
}

func TestExamplesAreRight(t *testing.T) {
	for _, key := range Keys() {
		m := testMachine(t)
		write(t, m, ".erluv.conf", key.Name+" = "+key.Example)
		if _, _, err := Load(Sources{Machine: m}); err != nil && !strings.Contains(err.Error(), "user database") {
			t.Errorf("the example of %s: %v", key.Name, err)
		}
	}
}

func TestEPMDPortOfErlang(t *testing.T) {
	env := []string{"ERL_EPMD_PORT=5000"}
	c, warnings, err := Load(Sources{Machine: testMachine(t), Environ: env})
	if err != nil || c.EPMDPort != 5000 || c.setting("epmd_port").Source != "ERL_EPMD_PORT" {
		t.Errorf("port %d, %v; want 5000 from ERL_EPMD_PORT", c.EPMDPort, err)
	}
	c, more, err := Load(Sources{Machine: testMachine(t), Environ: env, Args: map[string]string{"epmd_port": "5001"}})
	if err != nil || c.EPMDPort != 5001 {
		t.Errorf("port %d, %v; want 5001 of the command line", c.EPMDPort, err)
	}
	if len(warnings)+len(more) > 0 {
		t.Errorf("warnings %q %q: ERL_EPMD_PORT is a default", warnings, more)
	}
	_, _, err = Load(Sources{Machine: testMachine(t), Environ: []string{"ERL_EPMD_PORT=x"}})
	wantProblem(t, err, "ERL_EPMD_PORT", "is no number")
}

func TestMisspeltEnvironment(t *testing.T) {
	_, warnings, err := Load(Sources{Machine: testMachine(t), Environ: []string{
		"ERLUV_COOKI=x", "ERLUV_BIN=/x", "ERLUV_TEST_AS=user", "ERLUVNODE=x", "erluv_node=x", "ERLUV_CONF=none",
	}})
	if err != nil || len(warnings) != 1 || !strings.Contains(string(warnings[0]), "is ERLUV_COOKIE meant?") {
		t.Errorf("%q, %v; want one warning that names ERLUV_COOKIE", warnings, err)
	}
}

func TestWithoutEffect(t *testing.T) {
	for _, test := range []struct {
		args map[string]string
		want string
	}{
		{map[string]string{"name": "n", "prefix": "p"}, "prefix from --prefix is ignored: name is set by --name"},
		{map[string]string{"address": "h:1", "epmd_port": "1"}, "epmd_port from --epmd-port is ignored: address is set by --address"},
	} {
		_, warnings, err := Load(Sources{Machine: testMachine(t), Args: test.args})
		if err != nil || len(warnings) != 1 || string(warnings[0]) != test.want {
			t.Errorf("%q, %v; want %q", warnings, err, test.want)
		}
	}
}
