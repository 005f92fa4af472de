package mainproc

import (
	"erluv/config"
	"erluv/control"
	"erluv/mainproc/link"
)

// listenToOperators makes the control socket, unless the configuration has none; the guard removes
// it. If the configuration does not ask for it, a failure is only a warning.
func (g *guard) listenToOperators(cfg config.Control, self *link.Self) error {
	if !cfg.On {
		return nil
	}
	l, err := control.Listen(cfg.At(self.Proposed()), cfg.Path == "")
	switch {
	case err != nil && cfg.Asked:
		return err
	case err != nil:
		g.log.Warn("there is no control socket: set control to off, or to another path", "error", err)
		return nil
	}
	g.log.Debug("listening to operators", "at", l.Path())
	g.doors.list = append(g.doors.list, link.ControlDoor(l))
	return nil
}
