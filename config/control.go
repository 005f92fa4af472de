package config

import (
	"strings"

	"erluv/control"
)

// Control is what control says, with its default.
type Control struct {
	On    bool
	Path  string // of the socket; "" is NAME.sock in Dir
	Dir   string
	Asked bool // it was set: without a socket erluv must not run
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
		return c, errUnknown // relative to a directory that is another each time
	}
	c = Control{On: true, Asked: true}
	c.Path, err = m.absolute(v)
	return c, err
}

// control says where the socket is, and what is so without a word about it.
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

// At is where the socket of an erluv is whose node has this name.
func (c Control) At(node string) string {
	if c.Path != "" {
		return c.Path
	}
	name, _, _ := strings.Cut(node, "@")
	return control.PathOf(c.Dir, name)
}
