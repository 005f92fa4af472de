package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestClasses: a table with all keys of a class is read.
func TestClasses(t *testing.T) {
	m := testMachine(t)
	write(t, m, ".erluv.conf", `
limits = ["memory=1G"]

[class.encode]
command = ["/usr/bin/ffmpeg", "-nostdin"]
args = ["-i", "/media/[a-z]+"]
cd = "/media"
env = { LANG = "C", A = "" }
limits = ["memory=512M", "pids=10"]
max = 4

[class.encode.sandbox]
read = ["/media"]
exec = ["/usr"]
connect = [80, 443]

[class.a-b_1]
command = ["/bin/true"]
sandbox = { net = "none" }
`)
	c, _, err := Load(Sources{Machine: m})
	if err != nil {
		t.Fatal(err)
	}
	want := []Class{
		{Name: "a-b_1", Command: []string{"/bin/true"}, Cd: "/", Sandbox: &ClassSandbox{Net: "none"}},
		{
			Name: "encode", Command: []string{"/usr/bin/ffmpeg", "-nostdin"}, Args: []string{"-i", "/media/[a-z]+"}, Cd: "/media",
			Env: []string{"A=", "LANG=C"}, Limits: Limits{Memory: 512 << 20, PIDs: 10}, Max: 4,
			Sandbox: &ClassSandbox{Read: []string{"/media"}, Exec: []string{"/usr"}, Connect: []uint16{80, 443}},
		},
	}
	if diff := cmp.Diff(want, c.Classes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s := c.setting("class"); s.Value != "[a-b_1, encode]" {
		t.Errorf("shown: %+v", s)
	}
}

// TestClassesThatCannotBe: the message names the file, the class and the error.
func TestClassesThatCannotBe(t *testing.T) {
	for text, want := range map[string]string{
		"class = 1":                                                                          "class is a number",
		"[[class]]\ncommand = [\"/bin/true\"]":                                               "class is a table",
		"[class]\ncommand = [\"/bin/true\"]":                                                 "has a class command that is not understood",
		"[class.x]":                                                                          "has a class x that has no command",
		"[class.x]\ncommand = \"/bin/true\"":                                                 "has a class x that is not understood (command is a string)",
		"[class.x]\ncommand = [\"true\"]":                                                    `has the command "true", which is no absolute path`,
		"[class.x]\ncommand = [\"/bin/true\"]\ncommands = 1":                                 `unknown field "commands"`,
		"[class.x]\ncommand = [\"/bin/true\"]\nmax = 0":                                      "has a max that is not from 1",
		"[class.x]\ncommand = [\"/bin/true\"]\nmax = 1.5":                                    "max is a number 1.5",
		"[class.x]\ncommand = [\"/bin/true\"]\nargs = [\"(\"]":                               "no regular expression",
		"[class.x]\ncommand = [\"/bin/true\"]\nargs = [\"a)|(b\"]":                           "no regular expression",
		"[class.x]\ncommand = [\"/bin/true\"]\nargs = ['\\Qa']":                              "no regular expression",
		"[class.x]\ncommand = [\"/bin/true\"]\ncd = \"tmp\"":                                 "no absolute path",
		"[class.x]\ncommand = [\"/bin/true\"]\nuser = \"nosuch\"":                            "who is neither user nor in allow_users",
		"[class.x]\ncommand = [\"/bin/true\"]\nuser = \"a b\"":                               "a user that is no name",
		"[class.x]\ncommand = [\"/bin/true\"]\nlimits = [\"x=1\"]":                           "none of memory, pids and cpu",
		"[class.x]\ncommand = [\"/bin/true\"]\nenv = { \"A=B\" = \"\" }":                     "has an env",
		"[class.x]\ncommand = [\"/bin/true\"]\nsandbox = { read = [\"x\"] }":                 "no absolute path",
		"[class.x]\ncommand = [\"/bin/true\"]\nsandbox = { net = \"all\" }":                  "whose net is not none",
		"[class.x]\ncommand = [\"/bin/true\"]\nsandbox = { net = \"none\", connect = [1] }":  "both net and connect",
		"[class.x]\ncommand = [\"/bin/true\"]\nsandbox = { connect = [0] }":                  "the port 0",
		"[class.x]\ncommand = [\"/bin/true\"]\nsandbox = { connect = [70000] }":              "is not understood",
		"[class.\"a b\"]\ncommand = [\"/bin/true\"]":                                         "other characters",
		"limits = [\"pids=5\"]\n[class.x]\ncommand = [\"/bin/true\"]\nlimits = [\"pids=6\"]": "a class x with more pids than limits allows",
	} {
		m := testMachine(t)
		path := write(t, m, ".erluv.conf", text+"\n")
		_, _, err := Load(Sources{Machine: m})
		wantProblem(t, err, path+":", want)
	}
}

// TestCapsOfKillTimeout: the default follows max_kill_timeout, and an explicit value must fit.
func TestCapsOfKillTimeout(t *testing.T) {
	load := func(args map[string]string) (*Config, error) {
		c, _, err := Load(Sources{Machine: testMachine(t), Args: args})
		return c, err
	}
	c, err := load(map[string]string{"max_kill_timeout": "2s"})
	if err != nil || c.KillTimeout != 2*time.Second || c.setting("kill_timeout").Source != "max_kill_timeout" {
		t.Errorf("%v, %v", c, err)
	}
	c, err = load(map[string]string{"max_kill_timeout": "10s", "kill_timeout": "7s"})
	if err != nil || c.KillTimeout != 7*time.Second || c.MaxKillTimeout != 10*time.Second {
		t.Errorf("%v, %v", c, err)
	}
	_, err = load(map[string]string{"max_kill_timeout": "2s", "kill_timeout": "7s"})
	wantProblem(t, err, "--kill-timeout", "is above max_kill_timeout, 2s")
}

// TestRunOfNoClass: a warning says that nothing can be started.
func TestRunOfNoClass(t *testing.T) {
	_, warnings, err := Load(Sources{Machine: testMachine(t), Args: map[string]string{"run": "classes"}})
	if err != nil || len(warnings) != 1 || warnings[0] != "run from --run is classes, and there is no class: nothing can be started here" {
		t.Errorf("%q, %v", warnings, err)
	}
}
