package config

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestCookieOfFile(t *testing.T) {
	for content, want := range map[string]string{
		"ABC":            "ABC",
		"ABC\n":          "ABC",
		"A B \r\n\n  \n": "A B ",
		" A~!":           " A~!",
	} {
		got, err := readCookie(write(t, testMachine(t), "c", content), []int{os.Getuid()})
		if err != nil || string(got) != want {
			t.Errorf("%q: %q, %v; want %q", content, string(got), err, want)
		}
	}
	for content, want := range map[string]string{
		"":                         "is empty",
		"\n":                       "is empty",
		"ABC\nDEF":                 "other characters",
		"\tABC":                    "other characters",
		"AB\x00C":                  "other characters",
		strings.Repeat("A", 256):   "longer than 255",
		strings.Repeat("A", 10000): "larger than 4096",
	} {
		_, err := readCookie(write(t, testMachine(t), "c", content), []int{os.Getuid()})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "AB") {
			t.Errorf("%.20q: %v, want %q", content, err, want)
		}
	}
}

func TestCheck(t *testing.T) {
	m := testMachine(t)
	c, _, err := Load(Sources{Machine: m})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Check()
	wantProblem(t, err, "no node is named")
	wantProblem(t, err, ".erlang.cookie does not exist")
	write(t, m, ".erlang.cookie", "OVEN\n")
	c, _, err = Load(Sources{Machine: m, Args: map[string]string{"node": "a@db.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	wantProblem(t, c.Check(), "no domain: name one by --host, ERLUV_HOST or host")
	c, _, err = Load(Sources{Machine: m, Args: map[string]string{"node": "a@h"}})
	if err != nil || c.Check() != nil || string(c.Cookie) != "OVEN" {
		t.Errorf("%v, cookie %q", err, string(c.Cookie))
	}
}

// The default of cookie_file is where a node would find it, then in the home directory of the user
// database. TestCookieOfNode in test/ asks a real node.
func TestCookieFound(t *testing.T) {
	all := []string{"home/.erlang.cookie", "xdg/erlang/.erlang.cookie", "home/.config/erlang/.erlang.cookie", ".erlang.cookie"}
	home, xdg := "HOME=/home", "XDG_CONFIG_HOME=/xdg"
	for _, test := range []struct {
		there   []string
		environ []string
		want    string
	}{
		{all, []string{home, xdg}, all[0]},
		{all[1:], []string{home, xdg}, all[1]},
		{all[1:], []string{home}, all[2]},
		{all[1:], []string{home, "XDG_CONFIG_HOME="}, all[2]},
		{all[1:], []string{home, "XDG_CONFIG_HOME=xdg"}, all[2]},
		{all[3:], []string{home, xdg}, all[3]},
		{all, nil, all[3]},
		{all, []string{"HOME=home"}, all[3]},
		{all[1:2], []string{xdg}, all[1]},
		{nil, []string{home}, all[0]},
		{nil, nil, all[3]},
	} {
		m := testMachine(t)
		for _, name := range test.there {
			if err := os.MkdirAll(filepath.Join(m.Home, filepath.Dir(name)), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, m, name, "OVEN")
		}
		var environ []string
		for _, variable := range test.environ {
			environ = append(environ, strings.Replace(variable, "=/", "="+m.Home+"/", 1))
		}
		c, _, err := Load(Sources{Machine: m, Environ: environ})
		if err != nil || c.CookieFile != filepath.Join(m.Home, test.want) {
			t.Errorf("%q with %q: %v, %v, want %s", test.there, test.environ, c, err, test.want)
		}
	}
	if c, _, err := Load(Sources{}); err != nil || c.CookieFile != "" {
		t.Errorf("without a home directory: %v, %v", c, err)
	}
}

func TestOwnHost(t *testing.T) {
	local := func(string) (string, error) { return "vm.example.com", nil }
	none := func(string) (string, error) { return "", errors.New("no domain") }
	for _, test := range []struct {
		hostname, node string
		canonical      func(string) (string, error)
		want           string
	}{
		{"vm", "a@vm", none, "vm"},
		{"vm", "a@VM", none, "VM"},
		{"vm", "a@other", none, "vm"},
		{"vm", "a@localhost", none, "localhost"},
		{"vm", "a@127.0.0.1", none, "127.0.0.1"},
		{"vm", "a@127.0.0.2", none, "127.0.0.2"},
		{"vm", "a@::1", none, "::1"},
		{"vm", "a@other.example.com", local, "vm.example.com"},
		{"vm", "a@other.example.com", none, ""},
		{"vm.example.com", "a@other.example.com", none, "vm.example.com"},
		{"vm.example.com", "a@other", none, "vm"},
		{"vm.example.com", "a@vm", none, "vm"},
		{"vm.example.com", "a@vm.example.com", none, "vm.example.com"},
	} {
		m := testMachine(t)
		m.Hostname = func() (string, error) { return test.hostname, nil }
		m.Canonical = test.canonical
		c, _, err := Load(Sources{Machine: m, Args: map[string]string{"node": test.node}})
		if err != nil || c.Host != test.want {
			t.Errorf("%s for %s: %q, %v; want %q", test.hostname, test.node, c.Host, err, test.want)
		}
		c, _, err = Load(Sources{Machine: m, Args: map[string]string{"node": test.node, "host": "set"}})
		if err != nil || c.Host != "set" {
			t.Errorf("%s with a host: %q, %v", test.node, c.Host, err)
		}
	}
}

func TestNodeName(t *testing.T) {
	load := func(args map[string]string) *Config {
		c, _, err := Load(Sources{Machine: testMachine(t), Args: args})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := load(map[string]string{"node": "app@vm", "prefix": "p-"})
	drawn := regexp.MustCompile(`^p-[0-9a-f]{8}@vm$`)
	one, two := c.NodeName(), c.NodeName()
	if !drawn.MatchString(one) || !drawn.MatchString(two) || one == two {
		t.Errorf("drawn: %s, %s", one, two)
	}
	if got := load(map[string]string{"node": "app@vm", "name": "fix"}).NodeName(); got != "fix@vm" {
		t.Errorf("fixed: %s", got)
	}
	_, _, err := Load(Sources{Machine: testMachine(t), Args: map[string]string{"node": "app@vm", "name": "app"}})
	wantProblem(t, err, "--name", "is the name of the node itself")
	_, _, err = Load(Sources{Machine: testMachine(t), Args: map[string]string{
		"node": "app@vm", "name": strings.Repeat("n", 200), "host": strings.Repeat("h", 100),
	}})
	wantProblem(t, err, "301 characters")
}

func TestRunAs(t *testing.T) {
	load := func(uid int, args map[string]string) (*Config, []Warning) {
		m := testMachine(t)
		m.UID, m.GID = uid, uid
		args[FileKey] = "none"
		c, warnings, err := Load(Sources{Machine: m, Args: args})
		if err != nil {
			t.Fatal(err)
		}
		return c, warnings
	}
	for _, test := range []struct {
		uid      int
		args     map[string]string
		want     Identity
		warnings int
	}{
		{0, map[string]string{}, Identity{User: "nobody", Group: "nogroup", UID: 65534, GID: 65534}, 0},
		{0, map[string]string{"user": "daemon"}, Identity{User: "daemon", Group: "daemon", UID: 1, GID: 1}, 0},
		{0, map[string]string{"user": "daemon", "group": "bin"}, Identity{User: "daemon", Group: "bin", UID: 1, GID: 2}, 0},
		{0, map[string]string{"group": "bin"}, Identity{User: "nobody", Group: "bin", UID: 65534, GID: 2}, 0},
		{1, map[string]string{}, Identity{User: "daemon", Group: "daemon", UID: 1, GID: 1}, 0},
		{1, map[string]string{"user": "bin", "group": "bin"}, Identity{User: "daemon", Group: "daemon", UID: 1, GID: 1}, 2},
		{1, map[string]string{"user": "daemon", "group": "daemon"}, Identity{User: "daemon", Group: "daemon", UID: 1, GID: 1}, 0},
		{stranger, map[string]string{}, Identity{User: "4711", Group: "4711", UID: 4711, GID: 4711}, 0},
	} {
		c, warnings := load(test.uid, test.args)
		c.RunAs.Home, c.RunAs.Shell = "", ""
		if c.RunAs != test.want || len(warnings) != test.warnings {
			t.Errorf("uid %d, %v: %+v, %q; want %+v", test.uid, test.args, c.RunAs, warnings, test.want)
		}
	}
}

// Under sudo a cookie file may belong to the invoker, but the configuration may not.
func TestInvoker(t *testing.T) {
	for _, test := range []struct {
		uid       int
		sudo      string
		doas      string
		want      int
		allOwners int
	}{
		{0, "", "", 0, 1},
		{0, "4711", "", 4711, 2},
		{0, "", "daemon", 1, 2},
		{0, "x", "nosuchuser", 0, 1},
		{1, "4711", "bin", 1, 1},
	} {
		t.Setenv("SUDO_UID", test.sudo)
		t.Setenv("DOAS_USER", test.doas)
		m := Machine{UID: test.uid, Invoker: invoker(test.uid)}
		if m.Invoker != test.want || len(m.owners()) != test.allOwners {
			t.Errorf("%+v: %d, %v", test, m.Invoker, m.owners())
		}
	}
}

func TestThisMachine(t *testing.T) {
	t.Setenv("HOME", "/elsewhere")
	m := ThisMachine()
	if m.UID != os.Getuid() || m.Home == "/elsewhere" || m.Home == "" {
		t.Errorf("%+v: the home directory is that of the user database", m)
	}
}
