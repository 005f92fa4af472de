package config

import (
	"strings"

	"erluv/control"
)

// Control is the value of the key control, or its default.
type Control struct {
	On    bool
	Path  string // of the socket; "": NAME.sock in Dir
	Dir   string
	Asked bool // it was set: erluv must not run without a socket
}

const (
	controlOn  = "on"
	controlOff = "off"
)

func (m Machine) parseControl(v string) (c Control, err error) {
	switch {
	case v == "":
		return c, errEmpty
	case v == controlOn, v == controlOff:
		return Control{On: v == controlOn, Asked: true}, nil
	case !strings.HasPrefix(v, "/") && !strings.HasPrefix(v, "~/"):
		return c, errUnknown // relative to a directory that varies
	}
	c = Control{On: true, Asked: true}
	c.Path, err = m.absolute(v)
	return c, err
}

// control sets the place of the socket, and the default.
func (l *loader) control(c *Config) {
	s := c.setting("control")
	if !c.isSet("control") {
		c.Control.On = c.machine.UID == 0
		s.Value = controlOff
		if c.Control.On {
			s.Value = controlOn
		}
	}
	if !c.Control.On || c.Control.Path != "" {
		return
	}
	var err error
	if c.Control.Dir, err = control.Dir(c.machine.UID, l.env["XDG_RUNTIME_DIR"]); err != nil {
		l.problem("%s: there is no directory for the socket: %v", s.Source, err)
	}
}

// At returns the path of the socket of an erluv with this node name.
func (c Control) At(node string) string {
	if c.Path != "" {
		return c.Path
	}
	name, _, _ := strings.Cut(node, "@")
	return control.PathOf(c.Dir, name)
}
