package config

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// testMachine has a home directory that only the test can write to, and no network.
func testMachine(t *testing.T) Machine {
	t.Helper()
	return Machine{
		UID: os.Getuid(), GID: os.Getgid(), Invoker: os.Getuid(), Home: t.TempDir(),
		Hostname:  func() (string, error) { return "vm", nil },
		Canonical: func(string) (string, error) { return "", errors.New("no domain") },
	}
}

// write puts a file into the home directory and returns its path.
func write(t *testing.T, m Machine, name, content string) string {
	t.Helper()
	path := filepath.Join(m.Home, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Three values for each key, one for each source, and the field that they set.
var samples = map[string]struct {
	text  [3]string
	typed [3]any
	field func(*Config) any
}{
	"node":                {strs("a@h1", "b@h2", "c@h3"), anys("a@h1", "b@h2", "c@h3"), func(c *Config) any { return c.Node }},
	"nodes":               {strs("a@h1 b@h1", "a@h2", "a@h3 b@h3"), anys([]string{"a@h1", "b@h1"}, []string{"a@h2"}, []string{"a@h3", "b@h3"}), func(c *Config) any { return c.Nodes }},
	"serve":               {strs("all", "first", "all"), anys("all", "first", "all"), func(c *Config) any { return c.Serve }},
	"discover":            {strs("file:/a", "file:/b", "file:/c"), anys("file:/a", "file:/b", "file:/c"), func(c *Config) any { return c.Discover }},
	"discover_name":       {strs("a@%h", "b@%h", "c@%h"), anys("a@%h", "b@%h", "c@%h"), func(c *Config) any { return c.DiscoverName }},
	"discover_interval":   {strs("1s", "2ms", "3h"), anys(time.Second, 2*time.Millisecond, 3*time.Hour), func(c *Config) any { return c.DiscoverInterval }},
	"port_from_name":      {strs("a_%d", "%d", "%d_c"), anys("a_%d", "%d", "%d_c"), func(c *Config) any { return c.PortFromName }},
	"port_from_name_host": {strs("h1", "h2.x", "::1"), anys("h1", "h2.x", "::1"), func(c *Config) any { return c.PortFromNameHost }},
	"listen":              {strs("local", "h:1", "off"), anys(Listen{Host: "local"}, Listen{"h", 1, 1}, Listen{}), func(c *Config) any { return c.Listen }},
	"allow_nodes":         {strs("a@* b@h", "*", "c@h"), anys([]string{"a@*", "b@h"}, []string{"*"}, []string{"c@h"}), func(c *Config) any { return c.AllowNodes }},
	"name":                {strs("n1", "n2", "n3"), anys("n1", "n2", "n3"), func(c *Config) any { return c.Name }},
	"prefix":              {strs("p1", "p2", "p3"), anys("p1", "p2", "p3"), func(c *Config) any { return c.Prefix }},
	"host":                {strs("h1", "h2.x", "::1"), anys("h1", "h2.x", "::1"), func(c *Config) any { return c.Host }},
	"cookie":              {strs("s3cret1", "s3cret2", "s3cret3"), anys("s3cret1", "s3cret2", "s3cret3"), func(c *Config) any { return string(c.Cookie) }},
	"cookie_file":         {strs("/f1", "/f2", "/f3"), anys("/f1", "/f2", "/f3"), func(c *Config) any { return c.CookieFile }},
	"address":             {strs("h:1", "[::1]:2", "h:3"), anys("h:1", "[::1]:2", "h:3"), func(c *Config) any { return c.Address }},
	"epmd_port":           {strs("1", "2", "65535"), anys(1, 2, 65535), func(c *Config) any { return c.EPMDPort }},
	"tls":                 {strs("on", "off", "on"), anys(true, false, true), func(c *Config) any { return c.TLS }},
	"tls_nodes":           {strs("*@h1 b@h1", "a*@h", "*"), anys([]string{"*@h1", "b@h1"}, []string{"a*@h"}, []string{"*"}), func(c *Config) any { return c.TLSNodes }},
	"tls_ca":              {strs("/f1", "/f2", "/f3"), anys("/f1", "/f2", "/f3"), func(c *Config) any { return c.TLSCA }},
	"tls_cert":            {strs("/f1", "/f2", "/f3"), anys("/f1", "/f2", "/f3"), func(c *Config) any { return c.TLSCert }},
	"tls_key":             {strs("/f1", "/f2", "/f3"), anys("/f1", "/f2", "/f3"), func(c *Config) any { return c.TLSKey }},
	"tls_verify":          {strs("none", "peer", "none"), anys(false, true, false), func(c *Config) any { return c.TLSVerify }},
	"tls_server_name":     {strs("h1", "*", "::1"), anys("h1", "*", "::1"), func(c *Config) any { return c.TLSServerName }},
	"tls_optfile":         {strs("/f1", "/f2", "/f3"), anys("/f1", "/f2", "/f3"), func(c *Config) any { return c.TLSOptfile }},
	"user":                {strs("bin", "daemon", "nobody"), anys("bin", "daemon", "nobody"), func(c *Config) any { return c.User }},
	"group":               {strs("bin", "daemon", "nogroup"), anys("bin", "daemon", "nogroup"), func(c *Config) any { return c.Group }},
	"die_timeout":         {strs("1s", "2ms", "3h"), anys(time.Second, 2*time.Millisecond, 3*time.Hour), func(c *Config) any { return c.DieTimeout }},
	"kill_timeout":        {strs("1s", "2ms", "3h"), anys(time.Second, 2*time.Millisecond, 3*time.Hour), func(c *Config) any { return c.KillTimeout }},
	"reconnect":           {strs("exit", "retry", "always"), anys("exit", "retry", "always"), func(c *Config) any { return c.Reconnect }},
	"on_disconnect":       {strs("keep", "stop", "keep"), anys("keep", "stop", "keep"), func(c *Config) any { return c.OnDisconnect }},
	"lost_after":          {strs("1s", "2ms", "3h"), anys(time.Second, 2*time.Millisecond, 3*time.Hour), func(c *Config) any { return c.LostAfter }},
	"controller":          {strs("x1", "x2", "x 3"), anys("x1", "x2", "x 3"), func(c *Config) any { return c.Controller }},
	"history":             {strs("0", "1", "4096"), anys(0, 1, 4096), func(c *Config) any { return c.History }},
	"log_ring":            {strs("4096", "8192", "1048576"), anys(4096, 8192, 1<<20), func(c *Config) any { return c.LogRing }},
	"log_ring_total":      {strs("0", "1", "1099511627776"), anys(0, 1, 1<<40), func(c *Config) any { return c.LogRingTotal }},
	"max_workers":         {strs("1", "2", "1000000"), anys(1, 2, 1000000), func(c *Config) any { return c.MaxWorkers }},
	"path":                {strs("/a", "/b:/c", "/d"), anys([]string{"/a"}, []string{"/b", "/c"}, []string{"/d"}), func(c *Config) any { return c.Path }},
	"contain":             {strs("pidns", "cgroup", "group"), anys("pidns", "cgroup", "group"), func(c *Config) any { return c.Contain }},
	"sandbox":             {strs("off", "strict", "auto"), anys("off", "strict", "auto"), func(c *Config) any { return c.Sandbox }},
	"allow_users":         {strs("bin daemon:daemon,bin", "daemon", "bin"), anys([]string{"bin", "daemon:daemon,bin"}, nil, nil), func(c *Config) any { return c.AllowUsers }},
	"control":             {strs("off", "/b", "/c.sock"), anys(Control{Asked: true}, Control{On: true, Path: "/b", Asked: true}, Control{On: true, Path: "/c.sock", Asked: true}), func(c *Config) any { return c.Control }},
	"remote_exec":         {strs("false", "true", "false"), anys(false, true, false), func(c *Config) any { return c.RemoteExec }},
	"detach":              {strs("true", "false", "true"), anys(true, false, true), func(c *Config) any { return c.Detach }},
	"log_level":           {strs("trace", "warn", "error"), anys(LevelTrace, slog.LevelWarn, slog.LevelError), func(c *Config) any { return c.LogLevel }},
	"log_format":          {strs("json", "text", "json"), anys("json", "text", "json"), func(c *Config) any { return c.LogFormat }},
	"meta":                {strs("a;b=c, d", "e", "f;g"), anys("a;b=c, d", "e", "f;g"), func(c *Config) any { return c.Meta }},
	"run":                 {strs("classes", "any", "classes"), anys("classes", "any", "classes"), func(c *Config) any { return c.Run }},
	"class":               {strs(`{ a = { command = ["/bin/a"] } }`, "", ""), anys([]Class{{Name: "a", Command: []string{"/bin/a"}, Cd: "/"}}, nil, nil), func(c *Config) any { return c.Classes }},
	"max_kill_timeout":    {strs("10s", "20s", "3h"), anys(10*time.Second, 20*time.Second, 3*time.Hour), func(c *Config) any { return c.MaxKillTimeout }},
	"limits":              {strs("memory=1G cpu=50", "pids=5", "memory=1048576"), anys(Limits{Memory: 1 << 30, CPU: 50}, Limits{PIDs: 5}, Limits{Memory: 1 << 20}), func(c *Config) any { return c.Limits }},
	"disks":               {strs("/ /tmp", "/tmp", "/a"), anys([]string{"/", "/tmp"}, []string{"/tmp"}, []string{"/a"}), func(c *Config) any { return c.Disks }},
}

func strs(a, b, c string) [3]string { return [3]string{a, b, c} }
func anys(a, b, c any) [3]any       { return [3]any{a, b, c} }

// The values of keys without any setting: section 1 of the contract.
var defaults = map[string]any{
	"nodes": []string(nil), "serve": "first", "discover": "", "discover_name": "", "discover_interval": 30 * time.Second,
	"tls": false, "tls_nodes": []string{"*"}, "tls_ca": "", "tls_cert": "", "tls_key": "", "tls_verify": true,
	"tls_server_name": "", "tls_optfile": "",
	"port_from_name": "", "port_from_name_host": "127.0.0.1",
	"listen": Listen{}, "allow_nodes": []string{"*"},
	"node": "", "name": "", "prefix": "erluv_", "host": "", "cookie": "", "address": "",
	"epmd_port": 4369, "user": "nobody", "group": "", "die_timeout": 5 * time.Second,
	"kill_timeout": 5 * time.Second, "reconnect": "retry", "on_disconnect": "stop", "lost_after": 5 * time.Minute, "controller": "erluv", "max_workers": 10000, "history": 256, "log_ring": 64 << 10, "log_ring_total": 64 << 20,
	"path":    []string{"/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"},
	"contain": "auto", "sandbox": "auto", "allow_users": []string(nil), "detach": false, "remote_exec": true,
	"log_level": slog.LevelInfo, "log_format": "text",
	"meta": "", "run": "any", "class": []Class(nil), "max_kill_timeout": time.Duration(0), "limits": Limits{}, "disks": []string{"/"},
	"control": map[bool]Control{true: {On: true, Dir: "/run/erluv"}}[os.Getuid() == 0],
}

// TestEverySourceOfEveryKey goes through all keys and all 8 combinations of file,
// environment and command line.
func TestEverySourceOfEveryKey(t *testing.T) {
	if len(samples) != len(Keys()) {
		t.Fatalf("%d samples for %d keys", len(samples), len(Keys()))
	}
	for _, key := range Keys() {
		for given := range 8 {
			t.Run(fmt.Sprintf("%s/%03b", key.Name, given), func(t *testing.T) {
				testSources(t, &key, given&4 != 0, given&2 != 0, given&1 != 0)
			})
		}
	}
}

func testSources(t *testing.T, key *Key, inFile, inEnv, inArgs bool) {
	s := samples[key.Name]
	src := Sources{Machine: testMachine(t), Args: map[string]string{}}
	var names, values []string // of the sources, the strongest first
	var winner any
	add := func(source string, i int) {
		if len(names) == 0 {
			winner = s.typed[i]
		}
		names = append(names, source)
		values = append(values, s.text[i])
	}
	if inFile {
		path := write(t, src.Machine, ".erluv.conf", "# first line\n"+key.Name+" = "+toTOML(key, s.text[0])+"\n")
		add(path+":2", 0)
	}
	if inEnv {
		src.Environ = []string{"OTHER=1", key.Env() + "=" + s.text[1]}
		add(key.Env(), 1)
	}
	if inArgs {
		src.Args[key.Name] = s.text[2]
		add("--"+key.Flag(), 2)
	}
	c, warnings, err := Load(src)
	if key.FileOnly && (inEnv || inArgs) {
		wantProblem(t, err, key.Name+" can be set in the configuration file alone")
		return
	}
	if key.Name == "allow_users" && inFile && src.Machine.UID != 0 {
		wantProblem(t, err, values[0], names[0]+": ", "start erluv as root, or leave the key out")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	set := c.setting(key.Name)
	if len(names) == 0 {
		winner = defaults[key.Name]
		if key.Name == "cookie_file" {
			winner = filepath.Join(src.Machine.Home, ".erlang.cookie")
		}
		names = []string{"default"}
		if key.Name == "group" && src.Machine.UID == 0 {
			names = []string{"the group of user"}
		}
	}
	if diff := cmp.Diff(winner, s.field(c)); diff != "" {
		t.Errorf("value, want (-) got (+):\n%s", diff)
	}
	if set.Source != names[0] {
		t.Errorf("source %q, want %q", set.Source, names[0])
	}
	if len(set.Shadows) != len(names)-1 {
		t.Errorf("shadows %q, want %d", set.Shadows, len(names)-1)
	}
	warnings = withoutIneffective(warnings)
	if len(warnings) != len(names)-1 {
		t.Fatalf("warnings %q, want %d", warnings, len(names)-1)
	}
	for i, loser := range names[1:] {
		for _, text := range []string{string(warnings[i]), loser} {
			if !strings.Contains(string(warnings[i]), names[0]) || !strings.Contains(text, loser) {
				t.Errorf("warning %q does not name %s and %s", warnings[i], names[0], loser)
			}
		}
		if !strings.Contains(set.Shadows[i], loser) {
			t.Errorf("shadow %q does not name %s", set.Shadows[i], loser)
		}
	}
	said := fmt.Sprint(warnings, set, fmt.Sprintf("%v %+v %#v", *c, *c, *c))
	for _, v := range values {
		if shown := strings.Contains(said, v); shown && key.Secret {
			t.Errorf("the secret %s is shown", v)
		}
	}
}

// withoutIneffective removes warnings that an ordinary user gets about user and group.
func withoutIneffective(warnings []Warning) (rest []Warning) {
	for _, w := range warnings {
		if !strings.Contains(string(w), "only root can become another") && !strings.Contains(string(w), "is ignored: there is no") &&
			!strings.Contains(string(w), "is ignored: listen is off") &&
			!strings.Contains(string(w), "nothing can be started here") &&
			!strings.HasSuffix(string(w), "is ignored: tls is off") {
			rest = append(rest, w)
		}
	}
	return rest
}

func toTOML(key *Key, v string) string {
	switch key.kind {
	case number, truth, tables:
		return v
	case list:
		return `["` + strings.ReplaceAll(v, " ", `", "`) + `"]`
	}
	return strconv.Quote(v)
}

// wantProblem looks for one problem with all of the words.
func wantProblem(t *testing.T, err error, words ...string) {
	t.Helper()
	var problems *Error
	if !errors.As(err, &problems) {
		t.Fatalf("error %v, want a problem with %q", err, words)
	}
	for _, problem := range problems.Problems {
		all := true
		for _, word := range words {
			all = all && strings.Contains(problem, word)
		}
		if all {
			return
		}
	}
	t.Errorf("problems %q, want one with %q", problems.Problems, words)
}

// cookie and cookie_file are one setting with two spellings. The stronger source wins, and one
// source may not use both.
func TestCookieOrCookieFile(t *testing.T) {
	sources := []string{"file", "env", "args"}
	for i, cookie := range sources {
		for j, file := range sources {
			t.Run(cookie+"/"+file, func(t *testing.T) {
				src := Sources{Machine: testMachine(t), Args: map[string]string{}}
				put(t, &src, cookie, "cookie", "s3cret")
				put(t, &src, file, "cookie_file", "/c")
				c, warnings, err := Load(src)
				if i == j {
					wantProblem(t, err, "cookie", "cookie_file", "exclude each other")
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := c.Cookie != ""; got != (i < j) {
					t.Errorf("cookie is used: %v", got)
				}
				if got := c.CookieFile != ""; got != (j < i) {
					t.Errorf("cookie_file is used: %v", got)
				}
				if len(warnings) != 1 || strings.Contains(string(warnings[0]), "s3cret") {
					t.Errorf("warnings %q, want one, without the cookie", warnings)
				}
			})
		}
	}
}

// put gives a key a value in one more source.
func put(t *testing.T, src *Sources, source, key, v string) {
	t.Helper()
	switch k := keyNamed(key); source {
	case "file":
		path := filepath.Join(src.Machine.Home, ".erluv.conf")
		before, _ := os.ReadFile(path) // the file is absent at first
		write(t, src.Machine, ".erluv.conf", string(before)+key+" = "+toTOML(k, v)+"\n")
	case "env":
		src.Environ = append(src.Environ, k.Env()+"="+v)
	case "args":
		src.Args[key] = v
	}
}

// Of three cookies, one warning names each of the two that lose.
func TestThreeCookies(t *testing.T) {
	src := Sources{Machine: testMachine(t), Args: map[string]string{"cookie": "a"}, Environ: []string{"ERLUV_COOKIE=b"}}
	put(t, &src, "file", "cookie_file", "/c")
	c, warnings, err := Load(src)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(src.Machine.Home, ".erluv.conf") + ":1"
	want := []Warning{
		Warning("cookie_file is /c from " + file + "; cookie from ERLUV_COOKIE is ignored"),
		Warning("cookie_file is /c from " + file + "; cookie from --cookie is ignored"),
	}
	if diff := cmp.Diff(want, warnings); diff != "" {
		t.Error(diff)
	}
	if got := c.setting("cookie"); got.Value != "-" {
		t.Errorf("cookie is shown as %q", got.Value)
	}
}
