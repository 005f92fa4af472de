package mainproc

import (
	"fmt"
	"math"

	"erluv/config"
	"erluv/ipc"
	"erluv/label"
)

// hostOf returns what the configuration says of this machine: labels, classes, bounds.
func hostOf(cfg *config.Config) (ipc.Host, error) {
	labels, err := label.Parse(cfg.Meta)
	if err != nil {
		return ipc.Host{}, fmt.Errorf("cannot claim the labels %q: meta %w", cfg.Meta, err)
	}
	h := ipc.Host{
		Standing: ipc.Standing{Meta: labels.String()}, OnlyClasses: cfg.Run == config.RunClasses, Disks: cfg.Disks,
		MaxKillTimeoutMS: uint32(min(cfg.MaxKillTimeout.Milliseconds(), math.MaxInt32)), Limits: limitsOf(cfg.Limits),
	}
	for _, c := range cfg.Classes {
		h.Classes = append(h.Classes, classOf(c))
	}
	// The labels can grow while erluv runs.
	if size := len(ipc.Append(nil, h)) - len(h.Standing.Meta) + label.MaxText; size > ipc.MaxPacket {
		return h, fmt.Errorf("cannot offer so much: the tables [class.NAME] and disks take %d bytes with room for labels, and %d are possible: name fewer",
			size, ipc.MaxPacket)
	}
	return h, nil
}

func classOf(c config.Class) ipc.Class {
	is := ipc.Class{
		Name: c.Name, Command: c.Command, Args: c.Args, User: uint8(c.Allowed), Dir: c.Cd, Env: c.Env,
		Limits: limitsOf(c.Limits), Max: uint32(c.Max),
	}
	if s := c.Sandbox; s != nil {
		is.Confine = ipc.Confine{
			Files: s.Read != nil || s.Write != nil || s.Exec != nil, Read: s.Read, Write: s.Write, Exec: s.Exec,
			Ports: s.Net != "" || s.Connect != nil, Connect: s.Connect,
		}
	}
	return is
}

func limitsOf(l config.Limits) ipc.Limits {
	return ipc.Limits{Memory: l.Memory, PIDs: l.PIDs, CPU: l.CPU}
}
