package config

import (
	"testing"
)

// TestControl: which erluv has a control socket, and where.
func TestControl(t *testing.T) {
	const runtime = "XDG_RUNTIME_DIR=/run/user/7"
	for _, test := range []struct {
		uid           int
		value, env    string
		at            string // of n@h; "": there is none
		shown, source string
		wrong         string
	}{
		{0, "", runtime, "/run/erluv/n.sock", "on", "default", ""},
		{0, "on", runtime, "/run/erluv/n.sock", "on", "--control", ""},
		{0, "off", "", "", "off", "--control", ""},
		{0, "/srv/x", "", "/srv/x", "/srv/x", "--control", ""},
		{7, "", runtime, "", "off", "default", ""},
		{7, "on", runtime, "/run/user/7/erluv/n.sock", "on", "--control", ""},
		{7, "~/x", "", "/home/x", "~/x", "--control", ""},
		{7, "on", "", "", "", "", "--control: there is no directory for the socket: XDG_RUNTIME_DIR is not set: set it, or name a path"},
		{7, "on", "XDG_RUNTIME_DIR=run", "", "", "", "--control: there is no directory for the socket: XDG_RUNTIME_DIR is \"run\""},
		{0, "yes", "", "", "", "", `--control "yes" is unknown: it takes on, off, or an absolute path or one with ~/`},
		{0, "x/y.sock", "", "", "", "", `--control "x/y.sock" is unknown`},
	} {
		m := testMachine(t)
		m.UID, m.Home = test.uid, "/home"
		args := map[string]string{"config": "none", "node": "a@h"}
		if test.value != "" {
			args["control"] = test.value
		}
		c, _, err := Load(Sources{Machine: m, Args: args, Environ: []string{test.env}})
		if test.wrong != "" {
			wantProblem(t, err, test.wrong)
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", test, err)
			continue
		}
		at := ""
		if c.Control.On {
			at = c.Control.At("n@h")
		}
		if s := c.setting("control"); at != test.at || s.Value != test.shown || s.Source != test.source || c.Control.Asked != (test.value != "") {
			t.Errorf("%+v: %+v at %s, %+v", test, c.Control, at, s)
		}
	}
}
