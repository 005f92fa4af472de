package config

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestFileProblems(t *testing.T) {
	for _, test := range []struct{ name, content, want string }{
		{"unknown key", "\n# x\nnods = 1", `:3: unknown key "nods": is node meant?`},
		{"dashes", "die-timeout = '5s'", `:1: unknown key "die-timeout": is die_timeout meant?`},
		{"capitals", "NODE = 'a@b'", `:1: unknown key "NODE": is node meant?`},
		{"nothing near", "colour = 'red'", `:1: unknown key "colour": there are node, nodes, serve,`},
		{"a table", "\n[server]\nnode = 'a@b'", `:2: unknown key "server"`},
		{"a dotted key", "\n\nserver.a.b = 1", `:3: unknown key "server"`},
		{"a key as a table", "\n[node]\nname = 'x'", `:2: node is a table: it takes a node name, name@host: node = "app@db1.example.com"`},
		{"tables", "[[user]]\nname = 'x'", `:1: user is a table`},
		{"a number", "die_timeout = 5", `:1: die_timeout is a number: it takes a duration above 0 with its unit, such as 500ms or 5s: die_timeout = "5s"`},
		{"a string", "epmd_port = '4369'", `:1: epmd_port is a string: it takes a port, 1 to 65535: epmd_port = 4369`},
		{"a word", "detach = 'true'", `:1: detach is a string: it takes true or false: detach = true`},
		{"a truth", "node = true", `:1: node is true or false: it takes`},
		{"a fraction", "max_workers = 1.5", `:1: max_workers is a number with a point: it takes`},
		{"a date", "name = 2026-01-01", `:1: name is a date or time: it takes`},
		{"a list", "node = ['a@b']", `:1: node is a list: it takes`},
		{"a list of numbers", "allow_users = [1]", `:1: allow_users is a list of something else: it takes`},
		{"a name with a comma", "allow_users = ['a,b']", `:1: allow_users [a,b] has a name that is no name of a user or group`},
		{"a name with a space", "allow_users = ['a b']", `:1: allow_users is a list of something else`},
		{"twice in a list", "allow_users = [\n'bin',\n'bin']", `:1: allow_users [bin, bin] has "bin" twice`},
		{"range", "max_workers = 0", `:1: max_workers "0" is not from 1 to 1000000: it takes`},
		{"huge", "max_workers = 99999999999999999999", `:1: `},
		{"twice", "name = 'a'\nname = 'b'", `:2: `},
		{"no TOML", "node = 'a@b'\nthis is none", `:2: `},
		{"no quotes", "cookie_file = '/c'\nnode = app@host", `:2: expected value but found "app" instead: node = "app@db1.example.com" is how it is written`},
		{"NUL", `controller = "a\u0000b"`, `:1: controller`},
		{"relative", "cookie_file = 'cookie'", `:1: cookie_file "cookie" is relative`},
		{"large", strings.Repeat("#", maxFile+1), "is larger than"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := testMachine(t)
			path := write(t, m, ".erluv.conf", test.content)
			_, _, err := Load(Sources{Machine: m})
			wantProblem(t, err, path, test.want)
		})
	}
}

// The parser's messages quote text that it does not understand, but never a cookie.
func TestSyntaxErrorsKeepTheCookie(t *testing.T) {
	for _, content := range []string{
		"cookie = SECRET", "cookie = 'SECRET", `cookie = "SECRET\q"`, "cookie = 'SECRET' SECRET", "cookie = SECRET'",
		"cookie = 'x'\ncookie = 'SECRET'", "cookie = 1SECRET", "cookie = [SECRET", "cookie = {SECRET = 1}",
		"cookie = '''\nSECRET", "cookie SECRET", "\"cookie\" = SECRET", "cookie = 12SECRET\nnode = 1",
		"cookie = [ 'x',\nSECRET ]", "cookie = '''x\n''' SECRET", "COOKIE = SECRET", "cookie = 'SECRET\x01'",
		"cooki = SECRET", "cookie_file = '/x'\ncookie = 'x' SECRET",
		"cookie = '\u00e9SECRET'", "cookie = ['SECRET']", "cookie = 2026SECRET",
	} {
		m := testMachine(t)
		write(t, m, ".erluv.conf", content)
		_, _, err := Load(Sources{Machine: m})
		if err == nil {
			t.Errorf("%q is taken", content)
		} else if strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "'S'") {
			t.Errorf("%q: the cookie is in %v", content, err)
		}
	}
}

func TestWhichFile(t *testing.T) {
	m := testMachine(t)
	def := write(t, m, ".erluv.conf", `prefix = "def"`)
	named := write(t, m, "named", `prefix = "named"`)
	other := write(t, m, "other", `prefix = "other"`)
	for _, test := range []struct {
		name          string
		env           []string
		args          map[string]string
		prefix, shown string
		warnings      int
	}{
		{name: "default", prefix: "def", shown: "~/.erluv.conf"},
		{name: "flag", args: map[string]string{FileKey: named}, prefix: "named", shown: named},
		{name: "tilde", args: map[string]string{FileKey: "~/named"}, prefix: "named", shown: "~/named"},
		{name: "environment", env: []string{"ERLUV_CONF=" + other}, prefix: "other", shown: other},
		{
			name: "both", env: []string{"ERLUV_CONF=" + other}, args: map[string]string{FileKey: named},
			prefix: "other", shown: other, warnings: 1,
		},
		{name: "none", args: map[string]string{FileKey: "none"}, prefix: "erluv_", shown: "none"},
		{name: "none by the environment", env: []string{"ERLUV_CONF=none"}, prefix: "erluv_", shown: "none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, warnings, err := Load(Sources{Machine: m, Environ: test.env, Args: test.args})
			if err != nil {
				t.Fatal(err)
			}
			if c.Prefix != test.prefix || c.setting(FileKey).Value != test.shown || len(warnings) != test.warnings {
				t.Errorf("prefix %q, file %q, warnings %q", c.Prefix, c.setting(FileKey).Value, warnings)
			}
		})
	}
	for _, missing := range []Sources{
		{Machine: m, Args: map[string]string{FileKey: def + "x"}},
		{Machine: m, Environ: []string{"ERLUV_CONF=/no/such/file"}},
	} {
		_, _, err := Load(missing)
		wantProblem(t, err, "there is no such file; --config none reads none")
	}
	_, _, err := Load(Sources{Machine: m, Environ: []string{"ERLUV_CONF="}})
	wantProblem(t, err, "ERLUV_CONF", "is empty")
}

func TestNobodyHasNoFile(t *testing.T) {
	m := testMachine(t)
	m.Home = filepath.Join(m.Home, "nonexistent")
	c, _, err := Load(Sources{Machine: m})
	if err != nil || !strings.Contains(c.setting(FileKey).Value, "there is none") {
		t.Errorf("%v", err)
	}
	m.Home = ""
	c, _, err = Load(Sources{Machine: m, Args: map[string]string{"node": "a@b"}})
	if err != nil || c.setting(FileKey).Value != "none" {
		t.Fatalf("without a home directory: %v", err)
	}
	wantProblem(t, c.Check(), "no home directory")
	_, _, err = Load(Sources{Machine: m, Args: map[string]string{FileKey: "~/x"}})
	wantProblem(t, err, "no home directory")
}
