package mainproc

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"strings"

	"erluv/config"
	"erluv/ipc"
	"erluv/mainproc/crew"
	"erluv/sandbox"
)

// maxEnviron bounds, in bytes, the part of our environment that programs may inherit. It travels in
// one packet of ipc.MaxPacket with the child's other settings.
const maxEnviron = 32 << 10

// identity returns the user and group of the roles. The configuration has refused root already;
// this is a second check that no program gets root's ids.
func identity(cfg *config.Config) (sandbox.Identity, error) {
	uid, gid := cfg.RunAs.UID, cfg.RunAs.GID
	euid := os.Geteuid()
	switch {
	case uid <= 0 || gid < 0 || gid == 0 && euid == 0:
		return sandbox.Identity{}, fmt.Errorf("cannot run programs as uid %d, gid %d: set user and group to others than root's", uid, gid)
	case euid != 0 && (uid != euid || gid != os.Getegid()):
		return sandbox.Identity{}, fmt.Errorf("cannot run programs as uid %d, gid %d: only root can choose", uid, gid)
	}
	id := sandbox.Identity{UID: uint32(uid), GID: uint32(gid)}
	id.Keeper = sandbox.DrawKeeper(id)
	return id, nil
}

// settingsOf returns the crew's settings from the configuration.
func settingsOf(cfg *config.Config, parts sandbox.Parts, log *slog.Logger, opts Options) (s crew.Settings, err error) {
	id, err := identity(cfg)
	if err != nil {
		return s, err
	}
	allowed, users, err := usersOf(cfg)
	if err != nil {
		return s, err
	}
	host, err := hostOf(cfg)
	if err != nil {
		return s, err
	}
	environ, left := inheritable(os.Environ())
	if left > 0 {
		log.Warn("the environment is too large: programs cannot inherit all of it", "left_out", left)
	}
	reports, lostAfter := !ipc.PidfdsSuffice(), uint32(0)
	if keeps(cfg) {
		lostAfter = uint32(min(max(cfg.LostAfter.Milliseconds(), 1), math.MaxUint32))
	}
	return crew.Settings{
		Identity: id, Parts: parts, Contain: cfg.Contain, Users: users, Inherits: opts.Alone, Log: log, Host: host,
		Child: ipc.Start{
			Controller:    cfg.Controller,
			ErluvVersion:  opts.Version,
			CookieSource:  cfg.CookieSource(),
			User:          cfg.RunAs.User,
			Allowed:       allowed,
			MaxWorkers:    uint32(cfg.MaxWorkers),
			KillTimeoutMS: uint32(min(cfg.KillTimeout.Milliseconds(), 1<<31)),
			LostAfterMS:   lostAfter,
			Stays:         cfg.Listen.On() || keeps(cfg),
			Reports:       reports,
			RemoteExec:    cfg.RemoteExec,
			Path:          cfg.Path,
			History:       uint32(cfg.History),
			LogRing:       uint32(cfg.LogRing),
			LogRingTotal:  uint64(cfg.LogRingTotal),
			Sandbox:       strings.TrimSpace(cfg.Sandbox + " " + parts.String()),
			Environ:       environ,
		},
		Spawner: ipc.StartSpawner{Path: cfg.Path, Reports: reports, Scope: parts.Has(sandbox.Scope), Deny: parts.Has(sandbox.Seccomp)},
	}, nil
}

// keeps reports whether workers outlive the node of their owner.
func keeps(cfg *config.Config) bool { return cfg.OnDisconnect == config.OnDisconnectKeep }

// inheritable returns the part of our environment that a program may inherit. It excludes erluv's
// own variables, such as the cookie's, and holds at most maxEnviron bytes. left counts the
// variables that did not fit.
func inheritable(environ []string) (list []string, left int) {
	size := 0
	for _, v := range environ {
		switch {
		case strings.HasPrefix(v, "ERLUV_"):
		case size+len(v)+4 > maxEnviron:
			left++
		default:
			size += len(v) + 4 // with the length before it
			list = append(list, v)
		}
	}
	return list, left
}

// usersOf returns the allowed users, by their numbers. The first one is the child's own user, whose
// crew.User is empty.
func usersOf(cfg *config.Config) (list []ipc.Allowed, users []crew.User, err error) {
	own := ipc.Allowed{
		User: cfg.RunAs.User, UID: uint32(cfg.RunAs.UID), Home: cfg.RunAs.Home, Shell: cfg.RunAs.Shell,
		Groups: []ipc.Group{{Name: cfg.RunAs.Group, GID: uint32(cfg.RunAs.GID)}},
	}
	list, users = append(list, own), append(users, crew.User{})
	for _, a := range cfg.Allowed {
		is := ipc.Allowed{
			User: a.User, UID: uint32(a.UID), Home: a.Home, Shell: a.Shell,
			Groups: []ipc.Group{{Name: a.Group, GID: uint32(a.GID)}},
		}
		id := sandbox.Identity{UID: is.UID, GID: uint32(a.GID), MayBeRoot: a.UID == 0 || a.GID == 0}
		for _, g := range a.Groups {
			is.Groups = append(is.Groups, ipc.Group{Name: g.Name, GID: uint32(g.GID)})
			id.Groups = append(id.Groups, uint32(g.GID))
			id.MayBeRoot = id.MayBeRoot || g.GID == 0
		}
		if !id.MayBeRoot {
			id.Keeper = sandbox.DrawKeeper(id)
		}
		list, users = append(list, is), append(users, crew.User{Name: a.User, ID: id})
	}
	if size := len(ipc.Append(nil, ipc.Start{Allowed: list})); size > maxUsers {
		return nil, nil, fmt.Errorf("cannot allow so many users and groups: allow_users takes %d bytes, and %d are possible: name fewer", size, maxUsers)
	}
	return list, users, nil
}

// maxUsers bounds the child's list of users, in bytes. It travels in one packet of ipc.MaxPacket
// with the other settings.
const maxUsers = 16 << 10
